// Norms and rotation (spec §2.6, §4.3, §4.4), in place where the caller wants it so.
//
//   rms_norm   out = b(w · (x · f(1/√(mean(x²) + eps))))        x [n, d]: reads 4d (twice, once from the caches), writes 2d
//              norm_quantise: and aq128 of that, as in grids.cu: writes d + d/128 besides
//   head_norm  the same of each 512-vector without weight, bf16 at every step; q [n, nh·512]: reads, writes 1024·nh
//   rope       the last 64 of every `width` columns, turned in pairs by position · frequency; reads, writes 128 m a row
//
// Bound: the trip to memory and the barrier of one block a row; bandwidth in a prefill. The one idea: what a row shares (a
// factor, 32 angles) is made once a block, and the order of its sum follows from the columns: a thread's chunks one after
// the other, then the lanes of a warp as a tree, then the warps.

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/formulas.cuh"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/warp.cuh"

namespace millrace::cuda {
namespace {

constexpr int kWarps = kRowThreads / kWarp;

struct NormTask {
    const Bf16* x;
    const Bf16* weight;
    Bf16* out;
    int64_t x_stride, out_stride, cols;
    float eps;
    Fp8Rows quantised;  // with kCodes
};

// aq128 of a thread's eight columns from `first` on, which exist or do not for all lanes of a group of 128 columns.
template <bool kVectors>
__device__ inline void put_codes(const NormTask& t, const float (&v)[kChunk], int64_t first) {
    float rounded[kChunk];
    for (int i = 0; i < kChunk; ++i) rounded[i] = to_float(to_bf16(v[i]));
    constexpr int kGroupLanes = 128 / kChunk;
    const uint8_t scale = fp8_scale(largest_of_lanes<kGroupLanes>(largest_of(rounded)));
    if (first >= t.cols) return;
    const float s = e8m0_value(scale);
    uint32_t words[2] = {};
    for (int i = 0; i < kChunk; ++i)
        words[i / 4] |= static_cast<uint32_t>(fp8_code(rounded[i], s)) << (8 * (i % 4));
    const auto row = static_cast<int64_t>(blockIdx.x);
    uint8_t* codes = t.quantised.codes.data + row * t.quantised.codes.stride + first;
    if constexpr (kVectors) {
        store_vector(codes, uint2{words[0], words[1]});
    } else {
        for (int i = 0; i < kChunk; ++i)
            codes[i] = static_cast<uint8_t>(words[i / 4] >> (8 * (i % 4)));
    }
    if (first % 128 == 0)
        t.quantised.scales.data[row * t.quantised.scales.stride + first / 128] = scale;
}

template <bool kVectors, bool kCodes>
__global__ void __launch_bounds__(kRowThreads) rms_norm_kernel(NormTask t) {
    __shared__ float partial[kWarps];
    const Bf16* x = t.x + static_cast<int64_t>(blockIdx.x) * t.x_stride;
    Bf16* out = t.out + static_cast<int64_t>(blockIdx.x) * t.out_stride;
    const int64_t begin = static_cast<int64_t>(threadIdx.x) * kChunk;
    float squares = 0;
    float v[kChunk];
    for (int64_t first = begin; first < t.cols; first += kRowThreads * kChunk) {
        load_chunk<kVectors>(x, first, t.cols, v);
        for (const float value : v) squares = std::fma(value, value, squares);
    }
    const float mean = sum_of_block(squares, partial) / static_cast<float>(t.cols);
    const float factor = 1.0F / std::sqrt(mean + t.eps);
    // With codes all lanes go along to the end: their groups may be halves of a warp.
    const int64_t end = kCodes ? t.cols + begin : t.cols;
    for (int64_t first = begin; first < end; first += kRowThreads * kChunk) {
        if (first < t.cols) {
            float weight[kChunk];
            load_chunk<kVectors>(x, first, t.cols, v);
            load_chunk<kVectors>(t.weight, first, t.cols, weight);
            for (int i = 0; i < kChunk; ++i) v[i] = weight[i] * (v[i] * factor);
            store_chunk<kVectors>(v, first, t.cols, out);
        }
        if constexpr (kCodes) put_codes<kVectors>(t, v, first);
    }
}

struct HeadNormTask {
    Bf16* q;
    int64_t stride, heads, items;
    float eps;
};

__device__ inline float rounded(float x) { return to_float(to_bf16(x)); }

template <bool kVectors>
__global__ void head_norm_kernel(HeadNormTask t) {
    const int64_t item = static_cast<int64_t>(blockIdx.x) * kWarpsTogether + warp_of_thread();
    if (item >= t.items) return;
    Bf16* head = t.q + item / t.heads * t.stride + item % t.heads * kHeadDim;
    constexpr int kParts = kHeadDim / (kWarp * kChunk);
    float v[kParts][kChunk];
    float squares = 0;
    for (int part = 0; part < kParts; ++part) {
        const int64_t first = (part * kWarp + lane_of_thread()) * kChunk;
        load_chunk<kVectors>(head, first, kHeadDim, v[part]);
        for (const float value : v[part]) squares += rounded(value * value);
    }
    const float mean = rounded(sum_of_warp(squares) * (1.0F / kHeadDim));
    const float factor = rounded(1.0F / std::sqrt(rounded(mean + t.eps)));
    for (int part = 0; part < kParts; ++part) {
        const int64_t first = (part * kWarp + lane_of_thread()) * kChunk;
        for (float& value : v[part]) value *= factor;
        store_chunk<kVectors>(v[part], first, kHeadDim, head);
    }
}

struct RopeTask {
    Bf16* x;
    const int32_t* positions;
    RopeTable table;
    int64_t stride, width, vectors;
    float direction;  // 1 or −1
};

template <bool kVectors>
__global__ void __launch_bounds__(kRowThreads) rope_kernel(RopeTask t) {
    __shared__ float cosines[kRopePairs];
    __shared__ float sines[kRopePairs];
    const int64_t row = blockIdx.x;
    if (threadIdx.x < kRopePairs) {
        // The rounding of this product is part of the function: at a million positions one unit is 1/16 rad.
        const float radians =
            static_cast<float>(t.positions[row]) * t.table.frequencies[threadIdx.x];
        const Angle angle = angle_of(radians);
        cosines[threadIdx.x] = angle.cosine;
        sines[threadIdx.x] = angle.sine * t.direction;
    }
    __syncthreads();
    // A lane keeps its pair, a warp goes from vector to vector.
    const float c = cosines[lane_of_thread()];
    const float s = sines[lane_of_thread()];
    for (int64_t v = warp_of_thread(); v < t.vectors; v += kWarps) {
        Bf16* tail = t.x + row * t.stride + (v + 1) * t.width - kRopeDim;
        float pair[2];
        load_chunk<kVectors>(tail, 2 * lane_of_thread(), kRopeDim, pair);
        const float turned[2] = {std::fma(pair[0], c, -(pair[1] * s)),
                                 std::fma(pair[0], s, pair[1] * c)};
        store_chunk<kVectors>(turned, 2 * lane_of_thread(), kRopeDim, tail);
    }
}

}  // namespace

void CudaOps::rms_norm(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                       MatrixView<Bf16> out) {
    ENSURE(static_cast<size_t>(x.cols) == weight.size() && x.cols == out.cols &&
           x.rows == out.rows);
    const NormTask task{x.data, weight.data(), out.data, x.stride, out.stride, x.cols, eps, {}};
    if (fits_vectors({x.data, weight.data(), out.data},
                     {2 * x.cols, 2 * x.stride, 2 * out.stride})) {
        launch<rms_norm_kernel<true, false>>(row_config(x.rows), stream_, task);
    } else {
        launch<rms_norm_kernel<false, false>>(row_config(x.rows), stream_, task);
    }
}

void CudaOps::norm_quantise(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                            MatrixView<Bf16> out, Fp8Rows quantised) {
    ENSURE(static_cast<size_t>(x.cols) == weight.size() && x.cols == out.cols &&
           x.rows == out.rows && x.cols % 128 == 0);
    ENSURE(quantised.codes.rows == x.rows && quantised.codes.cols == x.cols &&
           quantised.scales.rows == x.rows && quantised.scales.cols == x.cols / 128);
    const NormTask task{x.data,     weight.data(), out.data, x.stride,
                        out.stride, x.cols,        eps,      quantised};
    if (fits_vectors({x.data, weight.data(), out.data, quantised.codes.data},
                     {2 * x.stride, 2 * out.stride, quantised.codes.stride})) {
        launch<rms_norm_kernel<true, true>>(row_config(x.rows), stream_, task);
    } else {
        launch<rms_norm_kernel<false, true>>(row_config(x.rows), stream_, task);
    }
}

void CudaOps::head_norm(MatrixView<Bf16> q, float eps) {
    ENSURE(q.cols % kHeadDim == 0);
    const int64_t heads = q.cols / kHeadDim;
    const HeadNormTask task{q.data, q.stride, heads, q.rows * heads, eps};
    if (fits_vectors({q.data}, {2 * q.stride})) {
        launch<head_norm_kernel<true>>(warp_config(task.items), stream_, task);
    } else {
        launch<head_norm_kernel<false>>(warp_config(task.items), stream_, task);
    }
}

void CudaOps::rope(MatrixView<Bf16> x, int64_t width, std::span<const int32_t> positions,
                   const RopeTable& table, Rotation rotation) {
    ENSURE(width >= kRopeDim && x.cols % width == 0 &&
           positions.size() == static_cast<size_t>(x.rows));
    const RopeTask task{x.data,
                        positions.data(),
                        table,
                        x.stride,
                        width,
                        x.cols / width,
                        rotation == Rotation::kInverse ? -1.0F : 1.0F};
    if (fits_vectors({x.data}, {2 * x.stride, 2 * width})) {
        launch<rope_kernel<true>>(row_config(x.rows), stream_, task);
    } else {
        launch<rope_kernel<false>>(row_config(x.rows), stream_, task);
    }
}

}  // namespace millrace::cuda
