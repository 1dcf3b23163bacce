// Shapes of the experts' launches and of their scratch.

#include "kernels/cuda/experts.h"

#include <algorithm>

#include "core/base/check.h"

namespace millrace::cuda {
namespace {

constexpr int64_t kJobBytes = 12;

bool multiplies(const LinearWeight& weight) {
    const auto at = reinterpret_cast<uintptr_t>(weight.codes);
    return weight.quantised() && weight.layout == WeightLayout::kRows && at % 16 == 0 &&
           weight.rows % 128 == 0 && weight.cols % 128 == 0;
}

}  // namespace

bool computes(const ExpertWeights& weights) {
    const auto& [w1, w2, w3] = weights;
    return multiplies(w1) && multiplies(w2) && multiplies(w3) && w1.format == w3.format &&
           w1.rows == w3.rows && w1.cols == w3.cols && w2.cols == w1.rows && w2.rows == w1.cols;
}

ExpertConfig expert_config(int64_t rows, int64_t pairs, int64_t experts) {
    ExpertConfig config;
    config.grouped = rows > 1;
    if (!config.grouped) {
        config.jobs = pairs;
        return config;
    }
    // With more than one tile's rows for most experts, several tiles share what was decoded.
    config.tiles = pairs >= experts * 3 / 2 * kTileRows ? kExpertTiles : 1;
    config.jobs = std::min(pairs, pairs / (config.tiles * kTileRows) + experts);
    return config;
}

ExpertScratch expert_scratch(int64_t pairs, int64_t inner, int64_t experts) {
    ExpertScratch out;
    const auto take = [&](int64_t bytes) {
        const int64_t at = out.bytes;
        out.bytes += (bytes + 15) / 16 * 16;
        return at;
    };
    out.codes = take(pairs * inner);
    out.scales = take(pairs * (inner / 128));
    out.order = take(pairs * 4);
    out.jobs = take(std::min(pairs, pairs / kTileRows + experts) * kJobBytes);
    out.table = take(kCallsTogether * static_cast<int64_t>(sizeof(ExpertWeights)));
    out.ids = take(pairs * 4);
    out.rows = take(pairs * 4);
    out.weights = take(pairs * 4);
    out.outs = take(pairs * 8);
    return out;
}

int64_t expert_scratch_bytes(int64_t pairs, int64_t inner, int64_t experts) {
    return expert_scratch(pairs, inner, std::max<int64_t>(experts, kCallsTogether)).bytes;
}

}  // namespace millrace::cuda
