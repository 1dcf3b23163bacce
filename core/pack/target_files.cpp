#include "core/pack/target_files.h"

#include <algorithm>

#include "core/base/memory.h"

namespace millrace {

Path TargetFiles::path_of(const Piece& piece) const {
    const StoreFile& file = pieces_.file_of(piece);
    return parts_[static_cast<size_t>(file.part)] / file.name;
}

Result<DiskFile*> TargetFiles::open(int32_t index) {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<DiskFile>& file = open_[static_cast<size_t>(index)];
    if (file) return file.get();
    const StoreFile& wanted = pieces_.files[static_cast<size_t>(index)];
    const Path path = parts_[static_cast<size_t>(wanted.part)] / wanted.name;
    std::unique_ptr<DiskFile> opened = TRY(disk_.open(path, OpenFor::kWriting, Through::kDrive));
    if (wanted.header) {
        const auto block = encode_header(*wanted.header);
        PageBuffer memory = TRY(PageBuffer::create(block.size(), HugePages::kNo));
        std::ranges::copy(block, memory.bytes().begin());
        TRY(opened->write(0, memory.bytes()));
    }
    unsynced_.insert(index);
    file = std::move(opened);
    return file.get();
}

Status TargetFiles::write(const Piece& piece, std::span<const std::byte> bytes) {
    DiskFile* file = TRY(open(piece.file));
    TRY(file->write(piece.offset, bytes));
    const std::lock_guard lock(mutex_);
    unsynced_.insert(piece.file);
    return {};
}

Status TargetFiles::sync() {
    std::vector<DiskFile*> files;
    std::set<int32_t> parts;
    {
        const std::lock_guard lock(mutex_);
        for (const int32_t index : unsynced_) {
            files.push_back(open_[static_cast<size_t>(index)].get());
            parts.insert(pieces_.files[static_cast<size_t>(index)].part);
        }
        unsynced_.clear();
    }
    for (DiskFile* file : files) TRY(file->sync());
    for (const int32_t part : parts) {
        TRY(disk_.sync_directory(parts_[static_cast<size_t>(part)]));
    }
    return {};
}

Status TargetFiles::shape(int32_t index) {
    DiskFile* file = TRY(open(index));
    const uint64_t wanted = pieces_.files[static_cast<size_t>(index)].bytes;
    if (TRY(file->size()) == wanted) return {};
    TRY(file->resize(wanted));
    const std::lock_guard lock(mutex_);
    unsynced_.insert(index);
    return {};
}

}  // namespace millrace
