#pragma once
// A warp's product of 16 outputs with rows that aq128 left, 128 columns (a slice) at a time, on tensor cores in fp16.
//
//   sums[16 outputs][8 rows] += W[16][128] · x[8][128]      m16n8k16: W on the left, eight rows of x on the right
//
// A lane loads whole pieces of 8 to 32 neighbouring bytes of two outputs, of a quarter of the slice each. Which columns meet
// in one product does not matter as long as both sides agree: a lane's part is eight neighbouring columns, four words of
// two halves, columns i and i + 4. Codes become halves by placing their bits, so that halves are values times a power of
// two (2⁻⁸ of FP8, 2⁻¹⁴ of FP4); products of tensor cores are exact, sums of a slice (FP4: of 32 columns, which have one
// scale) are set right by one factor and then scaled.
//
// FP4 has a scale every 32 columns, so that four lanes must share those: they exchange words, each 4 bytes of each of the
// 32 columns that they loaded. Low-bit formats have their steps in the halves (low_bit.cuh) and need no exchange.
//
// A row's sum follows from columns and formats: it is the same with any rows beside it, however many.

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/low_bit.cuh"
#include "kernels/cuda/device/tensor_core.cuh"
#include "kernels/cuda/device/warp.cuh"
#include "quant/float_codes.h"
#include "quant/linear_weight.h"

namespace millrace::cuda {

inline constexpr int kSliceColumns = 128;
inline constexpr int kTileOutputs = 16;
inline constexpr int kTileRows = 8;
inline constexpr int kParts = 4;

__device__ inline int quarter_of_lane() { return lane_of_thread() % 4; }

// Codes of four columns each as halves times 2⁻⁸, columns i and i + 4. NaN, which no placing of bits gives, spoils the first
// pair.
__device__ inline void e4m3_pairs(uint32_t first, uint32_t second, uint32_t (&out)[4]) {
    for (int i = 0; i < 4; ++i) {
        const auto byte = static_cast<uint32_t>(i);
        // Of each half the upper byte.
        const uint32_t codes = select_bytes(first, second, (byte + 4) << 12 | byte << 4);
        out[i] = (codes & 0x80008000u) | (codes >> 1 & 0x3F803F80u);
    }
    const uint32_t nan =
        ((first & 0x7F7F7F7Fu) + 0x01010101u) | ((second & 0x7F7F7F7Fu) + 0x01010101u);
    if ((nan & 0x80808080u) != 0) out[0] = 0x7E007E00u;
}

// A scale as it lies in memory, and what it says: nobody waits for it before it is needed.
__device__ inline uint32_t load_scale(const LinearWeight& w, int64_t index) {
    const auto* scales = reinterpret_cast<const uint8_t*>(w.scales);
    return w.scale_format == ScaleFormat::kF32 ? std::bit_cast<uint32_t>(load_float(scales + 4 * index))
                                               : scales[index];
}
__device__ inline float scale_value(const LinearWeight& w, uint32_t bits) {
    return w.scale_format == ScaleFormat::kF32 ? std::bit_cast<float>(bits)
                                               : e8m0_value(static_cast<uint8_t>(bits));
}

// What a lane holds of one output in a slice. load() only asks memory; prepare() is for the whole warp.
template <WeightFormat kFormat>
struct Slice;

template <>
struct Slice<WeightFormat::kFp4> {
    uint32_t words[4];
    uint32_t scale_bits;  // of the 32 columns that this lane loaded
    float scale;

    static constexpr bool kScaledParts = true;
    static constexpr float kFactor = 0x1p22F;
    __device__ static int column(int part) { return 32 * part + 8 * quarter_of_lane(); }

    __device__ void load(const LinearWeight& w, int64_t output, int64_t slice) {
        const int64_t stretch = (output * w.cols + slice * kSliceColumns) / 32 + quarter_of_lane();
        const uint4 loaded = load_streaming(w.codes + 16 * stretch);
        words[0] = loaded.x;
        words[1] = loaded.y;
        words[2] = loaded.z;
        words[3] = loaded.w;
        scale_bits = load_scale(w, stretch);
    }
    // Afterwards word i is this lane's quarter of the columns that lane i of the four loaded.
    __device__ void prepare(const LinearWeight& w) {
        scale = scale_value(w, scale_bits);
        const int quarter = quarter_of_lane();
        for (int distance = 1; distance <= 2; distance *= 2) {
            const bool upper = (quarter & distance) != 0;
            for (int i = 0; i < 4; ++i) {
                if ((i & distance) != 0) continue;
                const uint32_t given = upper ? words[i] : words[i + distance];
                const uint32_t taken = __shfl_xor_sync(kAllLanes, given, distance);
                (upper ? words[i] : words[i + distance]) = taken;
            }
        }
    }
    __device__ void pairs(int part, uint32_t (&out)[4]) const {
        const uint32_t word = words[part];
        for (int i = 0; i < 4; ++i) {
            const uint32_t codes = word >> (4 * i);
            out[i] = (codes << 12 & 0x80008000u) | (codes << 9 & 0x0E000E00u);
        }
    }
    __device__ float scale_of(int part) const {
        return __shfl_sync(kAllLanes, scale, (lane_of_thread() & ~3) + part);
    }
    __device__ static float finish(const LinearWeight&, int64_t, float sum) { return sum; }
};

template <>
struct Slice<WeightFormat::kFp8> {
    uint32_t words[8];
    uint32_t scale_bits;
    float scale;

    static constexpr bool kScaledParts = false;
    static constexpr float kFactor = 0x1p16F;
    __device__ static int column(int part) {
        return 64 * (part / 2) + 16 * quarter_of_lane() + 8 * (part % 2);
    }

    __device__ void load(const LinearWeight& w, int64_t output, int64_t slice) {
        for (int half = 0; half < 2; ++half) {
            const uint4 loaded =
                load_streaming(w.codes + output * w.cols + slice * kSliceColumns + column(2 * half));
            words[4 * half] = loaded.x;
            words[4 * half + 1] = loaded.y;
            words[4 * half + 2] = loaded.z;
            words[4 * half + 3] = loaded.w;
        }
        const int64_t index = output / 128 * (w.cols / kSliceColumns) + slice;
        scale_bits = load_scale(w, index);
    }
    __device__ void prepare(const LinearWeight& w) { scale = scale_value(w, scale_bits); }
    __device__ void pairs(int part, uint32_t (&out)[4]) const {
        e4m3_pairs(words[2 * part], words[2 * part + 1], out);
    }
    __device__ float scale_of(int) const { return scale; }
    __device__ static float finish(const LinearWeight&, int64_t, float sum) { return sum; }
};

// A lane's block is a quarter of the slice.
template <WeightFormat kFormat>
struct LowBitSlice {
    uint32_t words[kBlockWords<kFormat>];
    uint32_t book[kBookWords<kFormat>];
    uint8_t step;

    static constexpr bool kScaledParts = false;
    static constexpr float kFactor = 0x1p8F;
    __device__ static int column(int part) { return 32 * quarter_of_lane() + 8 * part; }

    __device__ void load(const LinearWeight& w, int64_t output, int64_t slice) {
        const int64_t block = slice * 4 + quarter_of_lane();
        const auto* at =
            w.codes + (output * (w.cols / kLowBitBlock) + block) * block_bytes(kFormat);
        if constexpr (kFormat == WeightFormat::kQ3s) {
            for (int i = 0; i < 3; ++i) words[i] = load_vector<uint32_t>(at + 4 * i);
        } else {
            const auto loaded = load_vector<uint2>(at);
            words[0] = loaded.x;
            words[1] = loaded.y;
        }
        step = static_cast<uint8_t>(w.scales[block_scales_offset(w, output) + block]);
    }
    __device__ void prepare(const LinearWeight&) { load_book<kFormat>(step >> 4, book); }
    __device__ void pairs(int part, uint32_t (&out)[4]) const {
        levels_to_halves(levels_of<kFormat>(words, part, book), step_halves(step), out);
    }
    __device__ float scale_of(int) const { return 1; }
    __device__ static float finish(const LinearWeight& w, int64_t output, float sum) {
        return times_base(sum, static_cast<uint8_t>(w.scales[base_offset(output)]));
    }
};
template <>
struct Slice<WeightFormat::kQ3s> : LowBitSlice<WeightFormat::kQ3s> {};
template <>
struct Slice<WeightFormat::kQ2s> : LowBitSlice<WeightFormat::kQ2s> {};
template <>
struct Slice<WeightFormat::kQ2v> : LowBitSlice<WeightFormat::kQ2v> {};

// The rows of x that a lane feeds (row lane/4 of each tile) and scales (rows 2·(lane%4) and the next: of its sums).
template <int kTiles>
struct InputRows {
    const uint8_t* codes[kTiles];
    const uint8_t* scales[kTiles][2];
    bool vectors;  // codes lie at multiples of 8

    __device__ void pairs(int tile, int64_t column, uint32_t (&out)[4]) const {
        const uint8_t* at = codes[tile] + column;
        uint2 words{};
        if (vectors) {
            words = load_vector<uint2>(at);
        } else {
            const uint4 bytes = load_bytes(at, 8);
            words = {bytes.x, bytes.y};
        }
        e4m3_pairs(words.x, words.y, out);
    }
};

// What kMatrices matrices make of the same rows. totals[m][tile]: outputs lane/4 and 8 more, rows 2·(lane%4) and the next.
template <WeightFormat kFormat, int kMatrices, int kTiles>
struct SliceProduct {
    float totals[kMatrices][kTiles][4] = {};

    // `slices`: of output lane/4, of output lane/4 + 8.
    __device__ void add(const LinearWeight (&matrices)[kMatrices], Slice<kFormat> (&slices)[kMatrices][2],
                        const InputRows<kTiles>& x, int64_t slice) {
        float x_scales[kTiles][2];
        for (int tile = 0; tile < kTiles; ++tile)
            for (int i = 0; i < 2; ++i) x_scales[tile][i] = e8m0_value(x.scales[tile][i][slice]);
#pragma unroll
        for (int m = 0; m < kMatrices; ++m)
            for (int i = 0; i < 2; ++i) slices[m][i].prepare(matrices[m]);
        Sums sums[kMatrices][kTiles] = {};
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
            uint32_t left[kMatrices][2][4];
#pragma unroll
            for (int m = 0; m < kMatrices; ++m)
                for (int i = 0; i < 2; ++i) slices[m][i].pairs(part, left[m][i]);
#pragma unroll
            for (int tile = 0; tile < kTiles; ++tile) {
                uint32_t right[4];
                x.pairs(tile, slice * kSliceColumns + Slice<kFormat>::column(part), right);
#pragma unroll
                for (int m = 0; m < kMatrices; ++m) {
                    const auto& [a, b] = left[m];
                    multiply_f16({{a[0], b[0], a[1], b[1]}}, {{right[0], right[1]}}, sums[m][tile]);
                    multiply_f16({{a[2], b[2], a[3], b[3]}}, {{right[2], right[3]}}, sums[m][tile]);
                }
            }
            if (Slice<kFormat>::kScaledParts || part == kParts - 1) scale(slices, x_scales, part, sums);
        }
    }

private:
    __device__ void scale(const Slice<kFormat> (&slices)[kMatrices][2],
                          const float (&x_scales)[kTiles][2], int part,
                          Sums (&sums)[kMatrices][kTiles]) {
#pragma unroll
        for (int m = 0; m < kMatrices; ++m) {
            const float scales[2] = {slices[m][0].scale_of(part), slices[m][1].scale_of(part)};
#pragma unroll
            for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    // One after the other: a product of the scales might not be a normal number.
                    totals[m][tile][i] += sums[m][tile].at[i] * Slice<kFormat>::kFactor *
                                          x_scales[tile][i % 2] * scales[i / 2];
                }
                sums[m][tile] = {};
            }
        }
    }
};

}  // namespace millrace::cuda
