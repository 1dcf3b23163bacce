#include "core/model/expert_source.h"

namespace millrace {
namespace {

LinearWeight placed(const ExpertPart& part, const std::array<const std::byte*, 6>& range_data) {
    LinearWeight weight = part.layout;
    weight.codes = range_data[static_cast<size_t>(part.codes_range)] + part.codes_offset;
    if (weight.scale_format != ScaleFormat::kNone) {
        weight.scales = range_data[static_cast<size_t>(part.scales_range)] + part.scales_offset;
    }
    return weight;
}

}  // namespace

uint64_t ExpertRecord::bytes() const {
    uint64_t sum = 0;
    for (int32_t i = 0; i < range_count; ++i) sum += ranges[static_cast<size_t>(i)].bytes;
    return sum;
}

ExpertWeights ExpertRecord::at(const std::array<const std::byte*, 6>& range_data) const {
    return {placed(w1, range_data), placed(w2, range_data), placed(w3, range_data)};
}

}  // namespace millrace
