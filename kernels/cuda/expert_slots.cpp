// Where an expert's parts lie in a slot and on the way there.

#include "kernels/cuda/expert_slots.h"

#include <algorithm>

#include "core/base/check.h"

namespace millrace::cuda {
namespace {

constexpr int64_t kStripRows = 16;  // of WeightLayout::kStrips
// Parts of a record begin at multiples of 64 bytes of it. What lies between them goes along.
constexpr ptrdiff_t kGapMax = 64;
constexpr uint64_t kVectorBytes = 16;

constexpr uint64_t round_to(uint64_t bytes, uint64_t multiple) {
    return (bytes + multiple - 1) / multiple * multiple;
}

struct Part {
    const std::byte* at;
    uint64_t bytes;
};
using Parts = std::array<Part, kExpertParts>;

Parts parts_of(const ExpertWeights& expert) {
    Parts out{};
    size_t count = 0;
    for (const LinearWeight* w : {&expert.w1, &expert.w3, &expert.w2}) {
        out[count++] = {w->codes, static_cast<uint64_t>(weight_codes_bytes(*w))};
        out[count++] = {w->scales, static_cast<uint64_t>(weight_scales_bytes(*w))};
    }
    return out;
}

class TaskWriter {
public:
    TaskWriter(const RoomCopies& copies, const std::byte* room) : copies_(copies), room_(room) {}

    void codes(const LinearWeight& from, const LinearWeight& to) {
        add(from, from.codes, to.codes, weight_codes_bytes(from), weight_row_bytes(from), 4);
    }
    void scales(const LinearWeight& from, const LinearWeight& to) {
        const int64_t bytes = weight_scales_bytes(from);
        const int64_t bases = from.low_bit() ? from.rows : 0;
        if (bases > 0) add(from, from.scales, to.scales, bases, 0, 1);
        const bool by_row = from.format == WeightFormat::kFp4 || from.low_bit();
        add(from, from.scales + bases, to.scales + bases, bytes - bases,
            by_row ? from.cols / kLowBitBlock : 0, 1);
    }
    [[nodiscard]] const SlotTask& task() const { return task_; }

private:
    // `row_bytes` 0: never turned.
    void add(const LinearWeight& weight, const std::byte* from, const std::byte* to, int64_t bytes,
             int64_t row_bytes, int32_t unit) {
        SlotPart& part = task_.parts[task_.count++];
        part.from = reinterpret_cast<const uint8_t*>(room_) + copies_.offset_of(from);
        part.to = reinterpret_cast<uint8_t*>(const_cast<std::byte*>(to));
        part.bytes = bytes;
        part.row_bytes = row_bytes;
        part.unit = unit;
        if (weight.layout == WeightLayout::kStrips) {
            part.strip_bytes = weight.rows / kStripRows * kStripRows * row_bytes;
        }
        ENSURE(row_bytes % (4 * unit) == 0 &&
               reinterpret_cast<uintptr_t>(part.to) % kVectorBytes == 0);
    }

    const RoomCopies& copies_;
    const std::byte* room_;
    SlotTask task_{};
};

}  // namespace

PlacedExpert place_expert(const ExpertWeights& expert, const std::byte* slot) {
    PlacedExpert out{expert, 0};
    const auto take = [&](int64_t bytes) {
        const std::byte* at =
            reinterpret_cast<const std::byte*>(reinterpret_cast<uintptr_t>(slot) + out.bytes);
        out.bytes += round_to(static_cast<uint64_t>(bytes), kSlotAlignment);
        return at;
    };
    for (LinearWeight* w : {&out.weights.w1, &out.weights.w3, &out.weights.w2}) {
        w->layout = WeightLayout::kRows;
        w->codes = take(weight_codes_bytes(*w));
        w->scales = take(weight_scales_bytes(*w));
    }
    return out;
}

uint64_t RoomCopies::offset_of(const std::byte* at) const {
    const auto copy = std::ranges::find_if(all(), [at](const RoomCopy& candidate) {
        return at >= candidate.from && at < candidate.from + candidate.bytes;
    });
    ENSURE(copy != all().end());
    return copy->offset + static_cast<uint64_t>(at - copy->from);
}

RoomCopies copies_of(const ExpertWeights& expert) {
    Parts parts = parts_of(expert);
    std::ranges::sort(parts, {}, &Part::at);
    RoomCopies out;
    for (const Part& part : parts) {
        if (part.bytes == 0) continue;
        const std::byte* end = part.at + part.bytes;
        RoomCopy* last = out.count > 0 ? &out.copies[static_cast<size_t>(out.count) - 1] : nullptr;
        const auto in_last = [&](const std::byte* at) {
            return static_cast<uint64_t>(at - last->from);
        };
        if (last != nullptr && part.at < last->from + last->bytes + kGapMax) {
            last->bytes = std::max(last->bytes, in_last(end));
            continue;
        }
        const uint64_t begin = last == nullptr ? 0 : last->offset + last->bytes;
        out.copies[static_cast<size_t>(out.count++)] = {
            part.at, part.bytes,
            round_to(begin, kVectorBytes) + reinterpret_cast<uintptr_t>(part.at) % kVectorBytes};
    }
    return out;
}

uint64_t room_bytes(uint64_t slot_bytes) {
    return slot_bytes + kExpertParts * (kGapMax + 2 * kVectorBytes);
}

SlotTask slot_task(const ExpertWeights& expert, const ExpertWeights& placed,
                   const RoomCopies& copies, const std::byte* room) {
    TaskWriter writer(copies, room);
    writer.codes(expert.w1, placed.w1);
    writer.codes(expert.w3, placed.w3);
    writer.codes(expert.w2, placed.w2);
    writer.scales(expert.w1, placed.w1);
    writer.scales(expert.w3, placed.w3);
    writer.scales(expert.w2, placed.w2);
    return writer.task();
}

}  // namespace millrace::cuda
