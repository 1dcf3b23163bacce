#pragma once
// Any bytes of a set of files. Large parts are read in whole blocks around the page cache: what is read once must not push
// out what others need. Small ones, which often are neighbours, are read through it. Any thread may call.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/base/disk.h"
#include "core/base/memory.h"
#include "core/base/result.h"

namespace millrace {

class BlockReader {
public:
    // Opens every file.
    [[nodiscard]] static Result<BlockReader> open(Disk& disk, const std::vector<Path>& paths);
    // The same, but a file that cannot be opened fails only who reads it.
    [[nodiscard]] static BlockReader open_what_is_there(Disk& disk, const std::vector<Path>& paths);

    // How much memory reading `bytes` from anywhere may need.
    [[nodiscard]] static uint64_t memory_for(uint64_t bytes) {
        return round_up(bytes, kPageBytes) + kPageBytes;
    }
    // Reads the blocks around [offset, offset + bytes) into `memory`, whose start is aligned to 4096; returns those
    // bytes of it.
    [[nodiscard]] Result<std::span<const std::byte>> read(int32_t file, uint64_t offset,
                                                          uint64_t bytes,
                                                          std::span<std::byte> memory) const;
    [[nodiscard]] uint64_t size(int32_t file) const {
        return files_[static_cast<size_t>(file)].bytes;
    }
    [[nodiscard]] const std::optional<Error>& problem(int32_t file) const {
        return files_[static_cast<size_t>(file)].problem;
    }
    [[nodiscard]] const Path& path(int32_t file) const {
        return files_[static_cast<size_t>(file)].path;
    }

private:
    struct OpenFile {
        Path path;
        uint64_t bytes = 0;
        std::unique_ptr<DiskFile> direct, cached;
        std::optional<Error> problem;  // why it is not open
    };
    [[nodiscard]] static Result<OpenFile> open_file(Disk& disk, const Path& path);
    std::vector<OpenFile> files_;
};

}  // namespace millrace
