#include "offload/record_checksum.h"

#include <xxhash.h>

#include "core/base/check.h"

namespace millrace {

struct RecordChecksum::State {
    XXH3_state_t* of_ranges = XXH3_createState();

    State() { ENSURE(of_ranges != nullptr); }
    ~State() { XXH3_freeState(of_ranges); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
};

RecordChecksum::RecordChecksum() : state_(std::make_unique<State>()) {}
RecordChecksum::~RecordChecksum() = default;

uint64_t RecordChecksum::of(const ExpertPlace& place, const std::byte* slot) {
    const auto bytes = [&](int32_t r) { return place.ranges[static_cast<size_t>(r)].bytes; };
    if (place.range_count == 1) return XXH3_64bits(slot + place.data_offset(0), bytes(0));
    XXH3_64bits_reset(state_->of_ranges);
    for (int32_t r = 0; r < place.range_count; ++r) {
        XXH3_64bits_update(state_->of_ranges, slot + place.data_offset(r), bytes(r));
    }
    return XXH3_64bits_digest(state_->of_ranges);
}

}  // namespace millrace
