#include "offload/expert_layout.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

// No expert and no file is near these; below them no sum of ranges can overflow.
constexpr uint64_t kRangeBytesMax = uint64_t{1} << 36;
constexpr uint64_t kFileBytesMax = uint64_t{1} << 60;

std::string name_range(const ExpertLayout& layout, size_t place, int32_t range) {
    const auto experts = static_cast<size_t>(layout.experts);
    const ExpertKey key{{static_cast<int32_t>(place / experts)},
                        {static_cast<int32_t>(place % experts)}};
    return cat("range ", range, " of ", describe(key));
}

Status validate_range(const ExpertLayout& layout, size_t place, int32_t index) {
    const FileRange& range = layout.places[place].ranges[static_cast<size_t>(index)];
    if (range.file < 0 || static_cast<size_t>(range.file) >= layout.files.size()) {
        return Error{ErrorCode::kInvalid,
                     cat(name_range(layout, place, index), " is said to lie in file ", range.file,
                         " of ", layout.files.size(), "; the checkpoint's index is wrong")};
    }
    if (range.bytes == 0 || range.bytes > kRangeBytesMax || range.offset > kFileBytesMax) {
        return Error{
            ErrorCode::kInvalid,
            cat(name_range(layout, place, index), " in ",
                layout.files[static_cast<size_t>(range.file)].string(), " has ", range.bytes,
                " bytes at byte ", range.offset, ", but a range has 1 to ", kRangeBytesMax,
                "; the file's header is wrong: download or copy it again")};
    }
    return {};
}

}  // namespace

uint64_t ExpertPlace::slot_offset(int32_t range) const {
    ENSURE(range >= 0 && range <= range_count);
    uint64_t offset = 0;
    for (int32_t i = 0; i < range; ++i) offset += ranges[static_cast<size_t>(i)].block_bytes();
    return offset;
}

uint64_t ExpertPlace::data_offset(int32_t range) const {
    ENSURE(range >= 0 && range < range_count);
    const FileRange& r = ranges[static_cast<size_t>(range)];
    return slot_offset(range) + (r.offset - r.first_block());
}

uint64_t ExpertPlace::bytes() const {
    uint64_t sum = 0;
    for (int32_t r = 0; r < range_count; ++r) sum += ranges[static_cast<size_t>(r)].bytes;
    return sum;
}

uint64_t ExpertLayout::slot_bytes() const {
    uint64_t most = 0;
    for (const ExpertPlace& place : places) most = std::max(most, place.slot_bytes());
    return most;
}

Status ExpertLayout::validate() const {
    if (layers <= 0 || experts <= 0 || static_cast<uint64_t>(expert_count()) != places.size()) {
        return Error{ErrorCode::kInvalid,
                     cat("the expert layout lists ", places.size(), " experts for ", layers,
                         " layers of ", experts, "; it must list each of them once")};
    }
    for (size_t i = 0; i < places.size(); ++i) {
        const int32_t count = places[i].range_count;
        if (count < 1 || count > kExpertRangesMax) {
            return Error{ErrorCode::kInvalid,
                         cat("expert ", i % static_cast<size_t>(experts), " of layer ",
                             i / static_cast<size_t>(experts), " consists of ", count,
                             " ranges; 1 to ", kExpertRangesMax, " can be read")};
        }
        for (int32_t r = 0; r < count; ++r) TRY(validate_range(*this, i, r));
    }
    return {};
}

Status ExpertLayout::validate_sizes(const std::vector<uint64_t>& file_bytes) const {
    ENSURE(file_bytes.size() == files.size());
    for (size_t i = 0; i < places.size(); ++i) {
        for (int32_t r = 0; r < places[i].range_count; ++r) {
            const FileRange& range = places[i].ranges[static_cast<size_t>(r)];
            const auto file = static_cast<size_t>(range.file);
            if (range.end() <= file_bytes[file]) continue;
            return Error{ErrorCode::kCorrupt,
                         cat(files[file].string(), " has ", file_bytes[file], " bytes, but ",
                             name_range(*this, i, r), " ends at byte ", range.end(),
                             "; the file is truncated: download or copy it again")};
        }
    }
    return {};
}

std::string describe(ExpertKey key) {
    return cat("expert ", key.expert.value, " of layer ", key.layer.value);
}

}  // namespace millrace
