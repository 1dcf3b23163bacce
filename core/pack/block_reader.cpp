#include "core/pack/block_reader.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace millrace {

Result<BlockReader::OpenFile> BlockReader::open_file(Disk& disk, const Path& path) {
    OpenFile file;
    file.path = path;
    file.direct = TRY(disk.open(path, OpenFor::kReading, Through::kDrive));
    file.cached = TRY(disk.open(path, OpenFor::kReading, Through::kPageCache));
    file.bytes = TRY(file.direct->size());
    return file;
}

Result<BlockReader> BlockReader::open(Disk& disk, const std::vector<Path>& paths) {
    BlockReader reader;
    for (const Path& path : paths) reader.files_.push_back(TRY(open_file(disk, path)));
    return reader;
}

BlockReader BlockReader::open_what_is_there(Disk& disk, const std::vector<Path>& paths) {
    BlockReader reader;
    for (const Path& path : paths) {
        Result<OpenFile> file = open_file(disk, path);
        reader.files_.push_back(file ? *std::move(file)
                                     : OpenFile{path, 0, nullptr, nullptr, file.error()});
    }
    return reader;
}

Result<std::span<const std::byte>> BlockReader::read(int32_t file, uint64_t offset, uint64_t bytes,
                                                     std::span<std::byte> memory) const {
    constexpr uint64_t kSmallBytes = uint64_t{64} << 10;
    const OpenFile& open = files_[static_cast<size_t>(file)];
    if (open.problem) return *open.problem;
    const uint64_t first = round_down(offset, kPageBytes);
    const uint64_t end = round_up(offset + bytes, kPageBytes);
    ENSURE(end - first <= memory.size());
    // Only a file's last block may be cut off, and that is no read for the drive.
    const uint64_t direct_end =
        bytes < kSmallBytes ? first : std::clamp(round_down(open.bytes, kPageBytes), first, end);
    if (direct_end > first) TRY(open.direct->read(first, memory.first(direct_end - first)));
    if (offset + bytes > direct_end) {
        TRY(open.cached->read(direct_end,
                              memory.subspan(direct_end - first, offset + bytes - direct_end)));
    }
    return std::span<const std::byte>(memory.subspan(offset - first, bytes));
}

}  // namespace millrace
