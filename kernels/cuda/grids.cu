// Rows onto the grids of FP8 and FP4: quantise (aq128, spec §2.2), pack_kv (fq64, §2.3), pack_index (Hadamard and fq4,
// §2.4, §4.5).
//
//   quantise    per 128 columns: s = 2^⌈log2(max(amax, 1e-4)/448)⌉, code = e4m3(x/s)      reads 2K, writes K + K/128
//   pack_kv     the same per 64 of 448 columns, 64 columns as they are                     reads 1024, writes 584 a row
//   pack_index  H·x/√128 → bf16, then per 32: s from amax/6, code = e2m1(x/s)              reads 256, writes 68 a vector
//
// Bound: the trip to memory; one warp a group, and groups are many. The one idea: a group lies in the lanes of a warp, so
// that its maximum is five shuffles, and so is what a Hadamard transform exchanges between distant columns. All results are
// exact or rounded as the reference rounds them: bit for bit the same, NaN and infinities too.

#include <cmath>
#include <cstddef>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/formulas.cuh"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/warp.cuh"
#include "quant/float_codes.h"

namespace millrace::cuda {
namespace {

struct QuantiseTask {
    const Bf16* x;
    uint8_t* codes;
    uint8_t* scales;
    int64_t x_stride, codes_stride, scales_stride;
    int64_t groups, items;
};

template <bool kVectors>
__global__ void quantise_kernel(QuantiseTask t) {
    const int64_t item = static_cast<int64_t>(blockIdx.x) * kWarpsTogether + warp_of_thread();
    if (item >= t.items) return;
    const int64_t row = item / t.groups;
    const int64_t group = item % t.groups;
    const int64_t first = group * 128 + lane_of_thread() * 4;
    float v[4];
    load_chunk<kVectors>(t.x + row * t.x_stride, first, t.groups * 128, v);
    const uint8_t scale = fp8_scale(largest_of_lanes<kWarp>(largest_of(v)));
    const float s = e8m0_value(scale);
    uint8_t* codes = t.codes + row * t.codes_stride + first;
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i) word |= static_cast<uint32_t>(fp8_code(v[i], s)) << (8 * i);
    if constexpr (kVectors) {
        store_vector(codes, word);
    } else {
        for (int i = 0; i < 4; ++i) codes[i] = static_cast<uint8_t>(word >> (8 * i));
    }
    if (lane_of_thread() == 0) t.scales[row * t.scales_stride + group] = scale;
}

struct PackKvTask {
    const Bf16* kv;
    KvRow* rows;
    int64_t stride, items;
};

constexpr int kKvParts = kLatentDim / kKvGroup + 1;  // groups on the grid, and what is rotated
static_assert(kKvGroup == 2 * kWarp && kRopeDim == 2 * kWarp);

template <bool kVectors>
__global__ void pack_kv_kernel(PackKvTask t) {
    const int64_t item = static_cast<int64_t>(blockIdx.x) * kWarpsTogether + warp_of_thread();
    if (item >= t.items) return;
    const int64_t row = item / kKvParts;
    const int64_t part = item % kKvParts;
    const int64_t first = part * kKvGroup + lane_of_thread() * 2;
    const Bf16* x = t.kv + row * t.stride;
    auto* out = reinterpret_cast<uint8_t*>(t.rows + row);
    if (part == kKvParts - 1) {
        // Copied, not computed with: a signalling NaN stays one.
        auto* rope = reinterpret_cast<Bf16*>(out + offsetof(KvRow, rope));
        if constexpr (kVectors) {
            store_vector(rope + first - kLatentDim, load_vector<Bf16s<2>>(x + first));
        } else {
            for (int64_t i = first; i < first + 2; ++i) rope[i - kLatentDim] = x[i];
        }
        if (lane_of_thread() == 0) out[offsetof(KvRow, unused)] = 0;
        return;
    }
    float v[2];
    load_chunk<kVectors>(x, first, kHeadDim, v);
    const uint8_t scale = fp8_scale(largest_of_lanes<kWarp>(largest_of(v)));
    const float s = e8m0_value(scale);
    const auto pair = static_cast<uint16_t>(fp8_code(v[0], s) | fp8_code(v[1], s) << 8);
    store_vector(out + first, pair);  // a KvRow begins at an even address
    if (lane_of_thread() == 0) out[offsetof(KvRow, scales) + static_cast<size_t>(part)] = scale;
}

struct PackIndexTask {
    const Bf16* x;
    IndexRow* rows;
    int64_t stride, vectors, items;
};

template <bool kVectors>
__global__ void pack_index_kernel(PackIndexTask t) {
    const int64_t item = static_cast<int64_t>(blockIdx.x) * kWarpsTogether + warp_of_thread();
    if (item >= t.items) return;
    const int lane = lane_of_thread();
    float v[4];
    load_chunk<kVectors>(t.x + item / t.vectors * t.stride + item % t.vectors * kIndexDim, lane * 4,
                         kIndexDim, v);
    // Columns 4·lane … 4·lane + 3: the first two rounds stay inside a lane, the others cross lanes.
    const float sums[4] = {v[0] + v[1], v[0] - v[1], v[2] + v[3], v[2] - v[3]};
    v[0] = sums[0] + sums[2];
    v[1] = sums[1] + sums[3];
    v[2] = sums[0] - sums[2];
    v[3] = sums[1] - sums[3];
    for (int distance = 1; distance < kWarp; distance *= 2) {
        for (float& value : v) {
            const float other = __shfl_xor_sync(kAllLanes, value, distance);
            value = (lane & distance) == 0 ? value + other : other - value;
        }
    }
    constexpr float kFactor = 0.0883883461F;  // 128^−½
    for (float& value : v) value = to_float(to_bf16(value * kFactor));
    constexpr int kGroupLanes = kIndexGroup / 4;
    const uint8_t scale = fp4_scale(largest_of_lanes<kGroupLanes>(largest_of(v)));
    const float s = e8m0_value(scale);
    uint8_t codes[4];
    for (int i = 0; i < 4; ++i) codes[i] = e2m1_code(clamped(v[i] / s, 6.0F));
    auto* out = reinterpret_cast<uint8_t*>(t.rows + item);
    out[lane * 2] = static_cast<uint8_t>(codes[0] | codes[1] << 4);
    out[lane * 2 + 1] = static_cast<uint8_t>(codes[2] | codes[3] << 4);
    const auto group = static_cast<size_t>(lane / kGroupLanes);
    if (lane % kGroupLanes == 0) out[offsetof(IndexRow, scales) + group] = scale;
}

}  // namespace

void CudaOps::quantise(MatrixView<const Bf16> x, Fp8Rows out) {
    ENSURE(x.cols % 128 == 0 && x.rows == out.codes.rows && x.cols == out.codes.cols &&
           out.scales.rows == x.rows && out.scales.cols == x.cols / 128);
    const int64_t groups = x.cols / 128;
    const QuantiseTask task{x.data,           out.codes.data,    out.scales.data, x.stride,
                            out.codes.stride, out.scales.stride, groups,          x.rows * groups};
    if (fits_vectors({x.data, out.codes.data}, {2 * x.stride, out.codes.stride})) {
        launch<quantise_kernel<true>>(warp_config(task.items), stream_, task);
    } else {
        launch<quantise_kernel<false>>(warp_config(task.items), stream_, task);
    }
}

void CudaOps::pack_kv(MatrixView<const Bf16> kv, std::span<KvRow> rows) {
    ENSURE(kv.cols == kHeadDim && static_cast<size_t>(kv.rows) == rows.size());
    const PackKvTask task{kv.data, rows.data(), kv.stride, kv.rows * kKvParts};
    const bool vectors = fits_vectors({kv.data}, {2 * kv.stride}) &&
                         reinterpret_cast<uintptr_t>(rows.data()) % 4 == 0;
    if (vectors) {
        launch<pack_kv_kernel<true>>(warp_config(task.items), stream_, task);
    } else {
        launch<pack_kv_kernel<false>>(warp_config(task.items), stream_, task);
    }
}

void CudaOps::pack_index(MatrixView<const Bf16> x, std::span<IndexRow> rows) {
    const int64_t vectors = x.cols / kIndexDim;
    ENSURE(x.cols % kIndexDim == 0 && static_cast<size_t>(x.rows * vectors) == rows.size());
    const PackIndexTask task{x.data, rows.data(), x.stride, vectors, x.rows * vectors};
    if (fits_vectors({x.data}, {2 * x.stride})) {
        launch<pack_index_kernel<true>>(warp_config(task.items), stream_, task);
    } else {
        launch<pack_index_kernel<false>>(warp_config(task.items), stream_, task);
    }
}

}  // namespace millrace::cuda
