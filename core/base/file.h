#pragma once
// Files: opened once, read by position, mapped, written whole. Every failure names the file and the likely fix.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/result.h"

namespace millrace {

using Path = std::filesystem::path;

// A sentence for errno: `io_error("reading", path, errno)`; ENOSPC and EDQUOT become kNoSpace, ENOENT kNotFound.
[[nodiscard]] Error io_error(std::string_view doing, const Path& path, int error_number);

// Fills all of `out` from `fd`, or fails; end of file inside it is kCorrupt ("… ends at byte …").
[[nodiscard]] Status read_exactly(int fd, const Path& path, uint64_t offset,
                                  std::span<std::byte> out);

// An open file descriptor; closes itself. Reading by position may be done from any thread.
class File {
public:
    File() = default;
    File(File&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
    File& operator=(File&& other) noexcept;
    ~File();

    // Read-only, close-on-exec. Whatever is no regular file is refused.
    [[nodiscard]] static Result<File> open(const Path& path);
    // The same with extra open(2) flags such as O_DIRECT.
    [[nodiscard]] static Result<File> open(const Path& path, int extra_flags);

    [[nodiscard]] bool is_open() const { return fd_ >= 0; }
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] const Path& path() const { return path_; }
    [[nodiscard]] Result<uint64_t> size() const;
    [[nodiscard]] Status read_at(uint64_t offset, std::span<std::byte> out) const {
        return read_exactly(fd_, path_, offset, out);
    }

private:
    File(int fd, Path path) : fd_(fd), path_(std::move(path)) {}

    int fd_ = -1;
    Path path_;
};

// A whole file mapped read-only. The file must not shrink while it is mapped.
class MappedFile {
public:
    MappedFile() = default;
    MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    MappedFile& operator=(MappedFile&& other) noexcept;
    ~MappedFile();

    [[nodiscard]] static Result<MappedFile> map(const File& file);
    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

private:
    std::span<const std::byte> bytes_;
};

// The whole file, refused when larger than `bytes_max`.
[[nodiscard]] Result<std::string> read_text_file(const Path& path, uint64_t bytes_max);

// Replaces `path` with `bytes` or leaves it as it was: written beside it, synced, renamed.
[[nodiscard]] Status write_file(const Path& path, std::span<const std::byte> bytes);
[[nodiscard]] Status write_file(const Path& path, std::string_view text);

}  // namespace millrace
