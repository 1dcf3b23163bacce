#pragma once
// Codes of weights and rows as tensor cores take them: a lane's eight columns of a unit (tile_product.cuh) as four pairs.
//
// A format is a Codes<>: what its units look like and what they decode to, nothing else. FP8 rows are multiplied in f16,
// where all codes of 4 and 8 bits are exact, bf16 rows in bf16. In f16 codes are placed, not converted: what comes out is
// the value times a power of two, kShift, and whoever writes the totals sets that right.
//
// Operations for eight weights, beside their load: FP8 in f16 14 and 6 for NaN, FP4 in f16 15, bf16 none, kQ2s in f16 12,
// kQ3s 22, kQ2v 19 and a load of a book each.

#include <cuda_runtime.h>

#include <bit>
#include <cstdint>

#include "core/base/types.h"
#include "kernels/cuda/config.h"
#include "kernels/cuda/device/byte_product.cuh"
#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/low_bit.cuh"
#include "quant/float_codes.h"
#include "quant/linear_weight.h"

namespace millrace::cuda {

// A lane's eight columns of a unit, two in a register: step 0 takes the first two registers, step 1 the others.
struct Eight {
    uint32_t at[4];
};

// Which of the eight share a register: (0 1)(2 3)(4 5)(6 7), (0 2)(1 3)(4 6)(5 7), or (0 4)(1 5)(2 6)(3 7).
enum class Pairs : uint8_t { kNeighbours, kAlternate, kHalves };

// e4m3 codes in the upper bytes of both halves, the lower ones anything: times 2⁻⁸ as f16, times 2⁻¹²⁰ as bf16.
__device__ inline uint32_t e4m3_as_f16(uint32_t codes) {
    return (codes >> 1 & 0x3F803F80u) | (codes & 0x80008000u);
}
__device__ inline uint32_t e4m3_as_bf16(uint32_t codes) {
    return (codes >> 4 & 0x07F007F0u) | (codes & 0x80008000u);
}
// 0x7F and 0xFF are NaN, which no placing of bits gives: eight are looked at together, and one spoils the first.
__device__ inline bool any_nan_of_e4m3(uint32_t low, uint32_t high) {
    const uint32_t carried =
        ((low & 0x7F7F7F7Fu) + 0x01010101u) | ((high & 0x7F7F7F7Fu) + 0x01010101u);
    return (carried & 0x80808080u) != 0;
}

inline constexpr uint32_t kBf16Two120 = 0x7B807B80u, kBf16Two126 = 0x7E807E80u;

// Both bf16 of `pair` times a power of two, exactly.
__device__ inline uint32_t scale_bf16(uint32_t pair, uint32_t factors) {
#if defined(__CUDACC__)
    uint32_t out = 0;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(out) : "r"(pair), "r"(factors), "r"(0x80008000u));
    return out;
#else
    const float factor = std::bit_cast<float>(factors << 16);
    const auto scaled = [factor](uint32_t bits) {
        return uint32_t{to_bf16(std::bit_cast<float>(bits) * factor).bits};
    };
    return scaled(pair << 16) | scaled(pair & 0xFFFF0000u) << 16;
#endif
}

// Four registers of two e4m3 codes each (in their upper bytes) as the numbers that rows of this kind are multiplied in.
template <InputFormat kInput>
__device__ inline Eight decode_e4m3_pairs(const uint32_t (&codes)[4], bool nan) {
    Eight out;
    for (int i = 0; i < 4; ++i) {
        out.at[i] = kInput == InputFormat::kFp8 ? e4m3_as_f16(codes[i])
                                                : scale_bf16(e4m3_as_bf16(codes[i]), kBf16Two120);
    }
    if (nan) out.at[0] |= kInput == InputFormat::kFp8 ? 0x7E00u : 0x7FC0u;
    return out;
}

// The shape of a weight as tiles see it; rows of codes begin at multiples of 16 bytes.
struct TileWeight {
    const uint8_t* codes;
    const uint8_t* scales;
    bool float_scales;
    int64_t cols;
    int64_t outputs;  // of all groups
};

__device__ inline float stored_scale(const TileWeight& w, int64_t index) {
    return w.float_scales ? load_float(w.scales + 4 * index) : e8m0_value(w.scales[index]);
}

// What a format is:
//   kUnitBytes        of 32 columns of one output
//   kStageUnits       in a stage: kStageUnits · kUnitBytes ≤ 128, a multiple of 16; kStageUnits a multiple of kScaleUnits
//   kScaleUnits       units of one scale
//   kSwizzle          so that the lanes of a unit's load meet no bank twice
//   kPairs            in which order decode() pairs columns
//   kShift<kInput>    decode() gives the value times 2^−kShift
//   Lane, load        a lane's part of a unit; `unit` is where the first of the lane's bytes lies
//   decode<kInput>    the eight numbers of it, in f16 for FP8 rows, in bf16 for bf16 rows
//   scale             of an output from column `col` (< cols) on; where kScaled
template <WeightFormat kFormat>
struct Codes;

template <>
struct Codes<WeightFormat::kFp8> {
    static constexpr int kUnitBytes = 32, kStageUnits = 4, kScaleUnits = 4, kSwizzle = 2;
    static constexpr Pairs kPairs = Pairs::kAlternate;
    static constexpr bool kScaled = true;
    template <InputFormat kInput>
    static constexpr int kShift = kInput == InputFormat::kFp8 ? 8 : 0;
    using Lane = uint2;
    template <InputFormat kInput>
    __device__ static Eight decode(const Lane& codes) {
        const uint32_t pairs[4] = {codes.x << 8, codes.x, codes.y << 8, codes.y};
        return decode_e4m3_pairs<kInput>(pairs, any_nan_of_e4m3(codes.x, codes.y));
    }
    __device__ static float scale(const TileWeight& w, int64_t output, int64_t col) {
        return stored_scale(w, output / 128 * ((w.cols + 127) / 128) + col / 128);
    }
};

template <>
struct Codes<WeightFormat::kFp4> {
    static constexpr int kUnitBytes = 16, kStageUnits = 8, kScaleUnits = 1, kSwizzle = 1;
    static constexpr Pairs kPairs = Pairs::kHalves;
    static constexpr bool kScaled = true;
    template <InputFormat kInput>
    static constexpr int kShift = kInput == InputFormat::kFp8 ? 14 : 0;
    using Lane = uint32_t;
    template <InputFormat kInput>
    __device__ static Eight decode(const Lane& w) {
        const auto signs = [](uint32_t moved) { return moved & 0x80008000u; };
        if constexpr (kInput == InputFormat::kFp8) {
            const auto sizes = [](uint32_t moved) { return moved & 0x0E000E00u; };
            return {{sizes(w << 9) | signs(w << 12), sizes(w << 5) | signs(w << 8),
                     sizes(w << 1) | signs(w << 4), sizes(w >> 3) | signs(w)}};
        } else {
            const auto sizes = [](uint32_t moved) { return moved & 0x01C001C0u; };
            Eight out{{sizes(w << 6) | signs(w << 12), sizes(w << 2) | signs(w << 8),
                       sizes(w >> 2) | signs(w << 4), sizes(w >> 6) | signs(w)}};
            for (uint32_t& pair : out.at) pair = scale_bf16(pair, kBf16Two126);
            return out;
        }
    }
    __device__ static float scale(const TileWeight& w, int64_t output, int64_t col) {
        return stored_scale(w, (output * w.cols + col) / 32);
    }
};

template <>
struct Codes<WeightFormat::kBf16> {
    static constexpr int kUnitBytes = 64, kStageUnits = 2, kScaleUnits = 2, kSwizzle = 4;
    static constexpr Pairs kPairs = Pairs::kNeighbours;
    static constexpr bool kScaled = false;
    template <InputFormat kInput>
    static constexpr int kShift = 0;
    using Lane = uint4;
    template <InputFormat kInput>
    __device__ static Eight decode(const Lane& codes) {
        static_assert(kInput == InputFormat::kBf16);
        return {{codes.x, codes.y, codes.z, codes.w}};
    }
    __device__ static float scale(const TileWeight&, int64_t, int64_t) { return 1; }
};

// The low-bit formats: a unit is a block. Its byte (mark), book and step, is needed before its codes mean anything, so that
// decode() has it, too; a scale is the byte's step times the base of the output.
template <WeightFormat kFormat>
requires(is_low_bit(kFormat)) struct Codes<kFormat> {
    static constexpr int kUnitBytes = block_bytes(kFormat);
    static constexpr int kStageUnits = 8, kScaleUnits = 1;
    static constexpr int kSwizzle = kFormat == WeightFormat::kQ3s ? 1 : 5;
    static constexpr Pairs kPairs = Pairs::kHalves;
    static constexpr bool kScaled = true;
    template <InputFormat kInput>
    static constexpr int kShift = 0;
    using Lane = EightCodes;
    template <InputFormat kInput>
    __device__ static Eight decode(const Lane& codes, uint32_t mark) {
        uint32_t book[kBookWords<kFormat>];
        load_book<kFormat>(book_of(mark), book);
        const EightLevels levels = levels_of<kFormat>(codes, book);
        Eight out;
        if constexpr (kInput == InputFormat::kFp8) {
            levels_to_halves(levels, out.at);
        } else {
            levels_to_bf16(levels, out.at);
        }
        return out;
    }
    __device__ static uint32_t mark(const TileWeight& w, int64_t output, int64_t col) {
        return w.scales[w.outputs + (output * w.cols + col) / kLowBitBlock];
    }
    __device__ static float base(const TileWeight& w, int64_t output) {
        return e8m0_value(w.scales[output]);
    }
};

// Eight columns of a row as they are stored.
template <InputFormat kInput>
struct RowOf {
    using Lane = uint2;
};
template <>
struct RowOf<InputFormat::kBf16> {
    using Lane = uint4;
};

// The same as pairs, in the order of the weight.
template <Pairs kPairs>
__device__ inline Eight pairs_of(const uint2& codes) {
    const bool nan = any_nan_of_e4m3(codes.x, codes.y);
    if constexpr (kPairs == Pairs::kAlternate) {
        const uint32_t pairs[4] = {codes.x << 8, codes.x, codes.y << 8, codes.y};
        return decode_e4m3_pairs<InputFormat::kFp8>(pairs, nan);
    } else {
        // Bytes 1 and 3 count.
        constexpr bool kHalves = kPairs == Pairs::kHalves;
        const uint32_t pairs[4] = {select_bytes(codes.x, codes.y, kHalves ? 0x4000u : 0x1000u),
                                   select_bytes(codes.x, codes.y, kHalves ? 0x5010u : 0x3020u),
                                   select_bytes(codes.x, codes.y, kHalves ? 0x6020u : 0x5040u),
                                   select_bytes(codes.x, codes.y, kHalves ? 0x7030u : 0x7060u)};
        return decode_e4m3_pairs<InputFormat::kFp8>(pairs, nan);
    }
}
template <Pairs kPairs>
__device__ inline Eight pairs_of(const uint4& row) {
    constexpr uint32_t kLower = 0x5410u, kUpper = 0x7632u;
    if constexpr (kPairs == Pairs::kNeighbours) {
        return {{row.x, row.y, row.z, row.w}};
    } else if constexpr (kPairs == Pairs::kAlternate) {
        return {{select_bytes(row.x, row.y, kLower), select_bytes(row.x, row.y, kUpper),
                 select_bytes(row.z, row.w, kLower), select_bytes(row.z, row.w, kUpper)}};
    } else {
        return {{select_bytes(row.x, row.z, kLower), select_bytes(row.x, row.z, kUpper),
                 select_bytes(row.y, row.w, kLower), select_bytes(row.y, row.w, kUpper)}};
    }
}

// What totals of sums are to be multiplied with: FP8 rows are decoded like FP8 weights.
template <WeightFormat kFormat, InputFormat kInput>
inline constexpr float kTotalUnit = static_cast<float>(1u
                                                       << (Codes<kFormat>::template kShift<kInput> +
                                                           (kInput == InputFormat::kFp8 ? 8 : 0)));

}  // namespace millrace::cuda
