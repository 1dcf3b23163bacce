#pragma once
// Codes of weights and rows as tensor cores take them: a lane's eight columns of a unit (tile_product.cuh) as four pairs.
//
// A format is a Codes<>: what its units look like and what they decode to, nothing else. FP8 rows are multiplied in f16,
// where all codes of 4 and 8 bits are exact, bf16 rows in bf16. Where codes are placed, not converted, what comes out is
// the value times a power of two, kShift, and whoever writes the totals sets that right.
//
// Operations for eight weights, beside their load: FP8 in f16 6 (before sm_89: 20), in bf16 24; FP4 in f16 11, in bf16 19;
// bf16 none; in f16 kQ2s 12, kQ3s 22, kQ2v 19, and the load of a book each.

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

// Whether e4m3 becomes f16 by an instruction (since sm_89), with its own value and NaN.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
inline constexpr bool kConvertsE4m3 = true;
#else
inline constexpr bool kConvertsE4m3 = false;
#endif
inline constexpr int kE4m3Shift = kConvertsE4m3 ? 0 : 8;

// Four e4m3 codes: the pair of the lower two bytes, and that of the upper.
__device__ inline void convert_e4m3(uint32_t codes, uint32_t& low, uint32_t& high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    asm("{ .reg .b16 l, h; mov.b32 {l, h}, %2; cvt.rn.f16x2.e4m3x2 %0, l; "
        "cvt.rn.f16x2.e4m3x2 %1, h; }"
        : "=r"(low), "=r"(high)
        : "r"(codes));
#else
    const auto one = [](uint32_t code) {
        const uint32_t sign = (code & 0x80u) << 8, size = code & 0x7Fu;
        if (size == 0x7F) return sign | 0x7FFFu;
        if (size >= 8) return sign | (size + 64) << 7;
        // Subnormal: m · 2⁻⁹, a normal f16 unless it is zero.
        const auto top = static_cast<uint32_t>(std::bit_width(size));
        return size == 0 ? sign : sign | (5 + top) << 10 | (size << (11 - top) & 1023u);
    };
    low = one(codes & 255u) | one(codes >> 8 & 255u) << 16;
    high = one(codes >> 16 & 255u) | one(codes >> 24) << 16;
#endif
}

// Where there is no such instruction: codes in the upper bytes of both halves, the lower ones anything, become times 2⁻⁸ as
// f16, times 2⁻¹²⁰ as bf16.
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

// Eight codes in two words, so that the pairs of a word are its bytes 0 1 and 2 3 (for the instruction) or 0 2 and 1 3.
template <Pairs kPairs, bool kConverts>
__device__ inline uint2 arrange(const uint2& codes) {
    constexpr uint32_t kSame = 0x3210u, kSameHigh = 0x7654u;
    constexpr bool kKeeps = kPairs == (kConverts ? Pairs::kNeighbours : Pairs::kAlternate);
    if constexpr (kKeeps) return codes;
    constexpr bool kHalves = kPairs == Pairs::kHalves;
    constexpr uint32_t kLow = !kHalves ? 0x3120u : kConverts ? 0x5140u : 0x5410u;
    constexpr uint32_t kHigh = !kHalves ? 0x7564u : kConverts ? 0x7362u : 0x7632u;
    static_assert(kLow != kSame && kHigh != kSameHigh);
    return {select_bytes(codes.x, codes.y, kLow), select_bytes(codes.x, codes.y, kHigh)};
}

// Eight e4m3 codes as pairs of the numbers that rows of this kind are multiplied in.
template <InputFormat kInput, Pairs kPairs, bool kConverts = kConvertsE4m3>
__device__ inline Eight decode_e4m3_eight(const uint2& codes) {
    constexpr bool kHalf = kInput == InputFormat::kFp8;
    const uint2 words = arrange<kPairs, kHalf && kConverts>(codes);
    if constexpr (kHalf && kConverts) {
        Eight out;
        convert_e4m3(words.x, out.at[0], out.at[1]);
        convert_e4m3(words.y, out.at[2], out.at[3]);
        return out;
    } else {
        Eight out{{words.x << 8, words.x, words.y << 8, words.y}};
        for (uint32_t& pair : out.at)
            pair = kHalf ? e4m3_as_f16(pair) : scale_bf16(e4m3_as_bf16(pair), kBf16Two120);
        if (any_nan_of_e4m3(codes.x, codes.y)) out.at[0] |= kHalf ? 0x7E00u : 0x7FC0u;
        return out;
    }
}

// The shape of a weight as tiles see it; rows of codes begin at multiples of 16 bytes.
struct TileWeight {
    const uint8_t* codes;
    const uint8_t* scales;
    bool float_scales;
    int64_t cols;
    int64_t outputs;  // of all groups
};

// e8m0_value without a branch: its two special bytes want the same bit.
__device__ inline float e8m0_of(uint32_t byte) {
    const uint32_t special = ((byte + 1) & 255u) < 2 ? 0x00400000u : 0;
    return std::bit_cast<float>(byte << 23 | special);
}

__device__ inline float stored_scale(const TileWeight& w, int64_t index) {
    return w.float_scales ? load_float(w.scales + 4 * index) : e8m0_of(w.scales[index]);
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
//   first_scale       the index of an output's first scale; where kScaled
template <WeightFormat kFormat>
struct Codes;

template <>
struct Codes<WeightFormat::kFp8> {
    static constexpr int kUnitBytes = 32, kStageUnits = 4, kScaleUnits = 4, kSwizzle = 2;
    static constexpr Pairs kPairs = Pairs::kAlternate;
    static constexpr bool kScaled = true;
    template <InputFormat kInput>
    static constexpr int kShift = kInput == InputFormat::kFp8 ? kE4m3Shift : 0;
    using Lane = uint2;
    template <InputFormat kInput>
    __device__ static Eight decode(const Lane& codes) {
        return decode_e4m3_eight<kInput, kPairs>(codes);
    }
    __device__ static int64_t first_scale(const TileWeight& w, int64_t output) {
        return output / 128 * ((w.cols + 127) / 128);
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
        if constexpr (kInput == InputFormat::kFp8) {
            // The upper bytes of f16, of even columns and of odd ones; the lower bytes are zero.
            const uint32_t even = (w << 1 & 0x0E0E0E0Eu) | (w << 4 & 0x80808080u);
            const uint32_t odd = (w >> 3 & 0x0E0E0E0Eu) | (w & 0x80808080u);
            return {{select_bytes(even, 0, 0x2404u), select_bytes(odd, 0, 0x2404u),
                     even & 0xFF00FF00u, odd & 0xFF00FF00u}};
        } else {
            const auto signs = [](uint32_t moved) { return moved & 0x80008000u; };
            const auto sizes = [](uint32_t moved) { return moved & 0x01C001C0u; };
            Eight out{{sizes(w << 6) | signs(w << 12), sizes(w << 2) | signs(w << 8),
                       sizes(w >> 2) | signs(w << 4), sizes(w >> 6) | signs(w)}};
            for (uint32_t& pair : out.at) pair = scale_bf16(pair, kBf16Two126);
            return out;
        }
    }
    __device__ static int64_t first_scale(const TileWeight& w, int64_t output) {
        return output * w.cols / 32;
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
    __device__ static int64_t first_scale(const TileWeight&, int64_t) { return 0; }
};

// The low-bit formats: a unit is a block. Its byte (mark), book and step, is needed before its codes mean anything, so that
// decode() has it, too; a scale is the byte's step times the base of the output.
template <WeightFormat kFormat>
    requires(is_low_bit(kFormat))
struct Codes<kFormat> {
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
    return decode_e4m3_eight<InputFormat::kFp8, kPairs>(codes);
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
inline constexpr float kTotalUnit =
    static_cast<float>(1u << (Codes<kFormat>::template kShift<kInput> +
                              (kInput == InputFormat::kFp8 ? kE4m3Shift : 0)));

}  // namespace millrace::cuda
