#include "core/pack/block_reader.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace millrace {

Result<BlockReader::OpenFile> BlockReader::open_file(const Path& path) const {
    OpenFile file {
        path, 0, TRY(disk_->open(path, OpenFor::kReading, Through::kDrive))
        , {}
    };
    file.bytes = TRY(file.file->size());
    return file;
}

Result<BlockReader> BlockReader::open(Disk& disk, const std::vector<Path>& paths) {
    BlockReader reader(disk);
    for (const Path& path : paths) reader.files_.push_back(TRY(reader.open_file(path)));
    return reader;
}

BlockReader BlockReader::open_what_is_there(Disk& disk, const std::vector<Path>& paths) {
    BlockReader reader(disk);
    for (const Path& path : paths) {
        Result<OpenFile> file = reader.open_file(path);
        reader.files_.push_back(file ? *std::move(file) : OpenFile{path, 0, nullptr, file.error()});
    }
    return reader;
}

Result<std::span<const std::byte>> BlockReader::read(int32_t file, uint64_t offset, uint64_t bytes,
                                                     std::span<std::byte> memory) const {
    const OpenFile& open = files_[static_cast<size_t>(file)];
    if (open.problem) return *open.problem;
    const uint64_t first = round_down(offset, kPageBytes);
    const uint64_t end = round_up(offset + bytes, kPageBytes);
    ENSURE(end - first <= memory.size());
    const uint64_t direct_end = std::clamp(round_down(open.bytes, kPageBytes), first, end);
    if (direct_end > first) TRY(open.file->read(first, memory.first(direct_end - first)));
    // Only a file's last block may be cut off, and that is no read for the drive.
    if (offset + bytes > direct_end) {
        const std::unique_ptr<DiskFile> tail =
            TRY(disk_->open(open.path, OpenFor::kReading, Through::kPageCache));
        TRY(tail->read(direct_end,
                       memory.subspan(direct_end - first, offset + bytes - direct_end)));
    }
    return std::span<const std::byte>(memory.subspan(offset - first, bytes));
}

}  // namespace millrace
