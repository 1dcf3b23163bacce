#include "core/model/dense_tensors.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/memory.h"

namespace millrace {
namespace {

// The kernel reads ahead of every page that is touched. In a shard that is mostly experts it would
// drag them in, so reading ahead is left on only for the pages of dense tensors. Both are hints;
// nothing depends on them.
void advise(const MappedFile& file, std::span<const std::pair<uint64_t, uint64_t>> dense) {
    auto* start = const_cast<std::byte*>(file.bytes().data());
    ::madvise(start, file.bytes().size(), MADV_RANDOM);
    for (const auto& [begin, end] : dense) {
        const uint64_t first = round_down(begin, kPageBytes);
        ::madvise(start + first, end - first, MADV_NORMAL);
    }
}

}  // namespace

Result<DenseTensors> DenseTensors::map(const ShardTable& table,
                                       std::span<const TensorEntry* const> tensors) {
    std::vector<std::vector<std::pair<uint64_t, uint64_t>>> ranges(table.files().size());
    for (const TensorEntry* tensor : tensors) {
        ranges[static_cast<size_t>(tensor->file)].emplace_back(tensor->offset,
                                                               tensor->offset + tensor->bytes);
    }
    DenseTensors dense;
    dense.files_.resize(table.files().size());
    for (size_t i = 0; i < ranges.size(); ++i) {
        if (ranges[i].empty()) continue;
        const File file = TRY(File::open(table.files()[i]));
        dense.files_[i] = TRY(MappedFile::map(file));
        std::sort(ranges[i].begin(), ranges[i].end());
        // Neighbours become one range.
        std::vector<std::pair<uint64_t, uint64_t>> joined;
        for (const auto& range : ranges[i]) {
            if (joined.empty() || range.first > joined.back().second + kPageBytes) {
                joined.push_back(range);
            } else {
                joined.back().second = std::max(joined.back().second, range.second);
            }
        }
        // The file was measured when its header was read; it may have shrunk since.
        if (joined.back().second > dense.files_[i].bytes().size()) {
            return Error{ErrorCode::kCorrupt,
                         table.files()[i].string() +
                             " has become shorter while it was opened; is it still being "
                             "downloaded?"};
        }
        advise(dense.files_[i], joined);
    }
    return dense;
}

std::span<const std::byte> DenseTensors::bytes(const TensorEntry& tensor) const {
    const std::span<const std::byte> file = files_[static_cast<size_t>(tensor.file)].bytes();
    ENSURE(tensor.offset + tensor.bytes <= file.size());
    return file.subspan(tensor.offset, tensor.bytes);
}

void DenseTensors::give_back(std::span<const std::byte> mapped) {
    const auto start = reinterpret_cast<uintptr_t>(mapped.data());
    const uintptr_t first = round_up(start, kPageBytes);
    const uintptr_t last = round_down(start + mapped.size(), kPageBytes);
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

const std::byte* DenseTensors::aligned(const TensorEntry& tensor, size_t alignment) {
    const std::span<const std::byte> stored = bytes(tensor);
    if (reinterpret_cast<uintptr_t>(stored.data()) % alignment == 0) return stored.data();
    // operator new[] aligns for every element type there is.
    copies_.push_back(std::make_unique<std::byte[]>(stored.size()));
    std::memcpy(copies_.back().get(), stored.data(), stored.size());
    return copies_.back().get();
}

}  // namespace millrace
