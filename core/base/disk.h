#pragma once
// The file system as those who write large files see it (pack, repair, the KV archive): a seam, so that a simulation can
// run out of space, tear writes and lose power at any of them (tests/support/simulated_disk.h). Reading alone: file.h.
//
// What survives a loss of power: bytes after DiskFile::sync, names (new, renamed, removed) after Disk::sync_directory.
// What was written since may be there, in part or not at all.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"

namespace millrace {

// One open file. Any thread may call, several at once where the bytes differ.
class DiskFile {
public:
    virtual ~DiskFile() = default;
    // Fills all of `out` or fails; end of file inside it is kCorrupt.
    [[nodiscard]] virtual Status read(uint64_t offset, std::span<std::byte> out) = 0;
    // Writes all of `bytes` or fails; kNoSpace when the disk is full. The file grows as needed.
    [[nodiscard]] virtual Status write(uint64_t offset, std::span<const std::byte> bytes) = 0;
    [[nodiscard]] virtual Status resize(uint64_t bytes) = 0;
    [[nodiscard]] virtual Result<uint64_t> size() = 0;
    [[nodiscard]] virtual Status sync() = 0;
};

enum class OpenFor {
    kReading,  // it must exist
    kWriting,  // reading too; made when it does not exist, kept as it is when it does
};

enum class Through {
    kPageCache,
    // O_DIRECT: offset, length and memory are multiples of 4096. Where the file system refuses, the page cache.
    kDrive,
};

class Disk {
public:
    virtual ~Disk() = default;
    [[nodiscard]] virtual Result<std::unique_ptr<DiskFile>> open(const Path& path, OpenFor purpose,
                                                                 Through through) = 0;
    // Replaces what `to` names.
    [[nodiscard]] virtual Status rename(const Path& from, const Path& to) = 0;
    // Removing what is not there is no error.
    [[nodiscard]] virtual Status remove(const Path& path) = 0;
    // With its parents, for the owner alone where they are new.
    [[nodiscard]] virtual Status make_directory(const Path& path) = 0;
    [[nodiscard]] virtual Status sync_directory(const Path& path) = 0;
    // Names of the regular files in a directory, sorted; one that does not exist has none.
    [[nodiscard]] virtual Result<std::vector<std::string>> list(const Path& directory) = 0;
    // What this process may still write where `path` lies; its last parts need not exist yet.
    [[nodiscard]] virtual Result<uint64_t> free_bytes(const Path& path) = 0;
};

// The machine's.
class SystemDisk final : public Disk {
public:
    [[nodiscard]] Result<std::unique_ptr<DiskFile>> open(const Path& path, OpenFor purpose,
                                                         Through through) override;
    [[nodiscard]] Status rename(const Path& from, const Path& to) override;
    [[nodiscard]] Status remove(const Path& path) override;
    [[nodiscard]] Status make_directory(const Path& path) override;
    [[nodiscard]] Status sync_directory(const Path& path) override;
    [[nodiscard]] Result<std::vector<std::string>> list(const Path& directory) override;
    [[nodiscard]] Result<uint64_t> free_bytes(const Path& path) override;
};

// `path` holds `bytes` or what it held before, whatever happens on the way: written beside it, synced, renamed, and the
// name synced.
[[nodiscard]] Status replace_file(Disk& disk, const Path& path, std::span<const std::byte> bytes);
[[nodiscard]] Status replace_file(Disk& disk, const Path& path, std::string_view text);

}  // namespace millrace
