// Compressed KV entries (spec §4.5): a softmax over the tokens of a block, per channel, weighs what they contribute.
//
//   entry_i = Σ_t e^(s_ti − max)·u_ti / Σ_t e^(s_ti − max) → bf16;   8 or 128 contributors of 2·coff·c fp32
//   reads 8·c·contributors (twice, once from the caches), writes 2c an entry
//
// Bound: latency; a token in four (or in 128) makes one entry a layer. The one idea: a thread owns a channel and walks the
// contributors in their order, so that nothing is shared; neighbouring threads read neighbouring floats.

#include <limits>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/arithmetic.cuh"
#include "kernels/cuda/device/launch.cuh"

namespace millrace::cuda {
namespace {

struct PoolTask {
    const PoolSource* sources;
    Bf16* entries;
    int64_t stride, channels;
    int ratio, coff;
};

__global__ void pool_kernel(PoolTask t) {
    const int64_t i = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
    if (i >= t.channels) return;
    const float* const* rows = t.sources[blockIdx.x].rows;
    // Overlapped blocks: the previous one gives its low channels, the current one its high channels.
    const auto channel = [&](int row) {
        return t.coff == 2 && row >= t.ratio ? t.channels + i : i;
    };
    const int64_t to_scores = t.coff * t.channels;
    float most = -std::numeric_limits<float>::infinity();
    for (int row = 0; row < t.coff * t.ratio; ++row) {
        if (rows[row] == nullptr) continue;
        const float score = rows[row][to_scores + channel(row)];
        most = most < score ? score : most;
    }
    float sum = 0;
    float weights = 0;
    for (int row = 0; row < t.coff * t.ratio; ++row) {
        if (rows[row] == nullptr) continue;
        const float weight = exponential(rows[row][to_scores + channel(row)] - most);
        sum = std::fma(weight, rows[row][channel(row)], sum);
        weights += weight;
    }
    t.entries[static_cast<int64_t>(blockIdx.x) * t.stride + i] = to_bf16(sum / weights);
}

}  // namespace

void CudaOps::compressor_pool(std::span<const PoolSource> sources, int ratio,
                              MatrixView<Bf16> entries) {
    ENSURE(static_cast<size_t>(entries.rows) == sources.size());
    const PoolTask task{sources.data(), entries.data, entries.stride,
                        entries.cols,   ratio,        ratio == 4 ? 2 : 1};
    launch<pool_kernel>(channel_config(entries.rows, entries.cols), stream_, task);
}

}  // namespace millrace::cuda
