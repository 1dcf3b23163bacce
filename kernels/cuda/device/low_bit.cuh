#pragma once
// The low-bit formats (quant/linear_weight.h draws their blocks): eight neighbouring columns of a block at a time.
//
// A level is looked up by choosing bytes of registers: a book is 4, 8 or 2 · 16 levels, one, two or eight words, which a
// lane loads for each block, and a code is what select_bytes wants in a nibble. Levels are stored plus 128, so that a byte
// behind 0x64 is the half 1024 + 128 + level. With the block's step, fma(1152 + level, step/4, −1152 · step/4) is
// level · step/4: every part of it and the result are exact in fp16 (at most nine bits, at most 127 · 48). So all blocks of
// a row have one scale, 4 · 2^(base − 127), and a sum over blocks needs none on its way.
//
// The books lie in constant global memory, 64 to 512 bytes, which the first cache holds: no barrier, nothing to copy.

#include <cuda_runtime.h>

#include <bit>
#include <cstdint>

#include "kernels/cuda/device/byte_product.cuh"
#include "kernels/cuda/device/half.cuh"
#include "kernels/cuda/device/loads.cuh"
#include "quant/blocks.h"
#include "quant/codebook.h"
#include "quant/float_codes.h"
#include "quant/linear_weight.h"

namespace millrace::cuda {

[[nodiscard]] constexpr bool is_low_bit(WeightFormat format) {
    return format == WeightFormat::kQ3s || format == WeightFormat::kQ2s ||
           format == WeightFormat::kQ2v;
}

// Words of a block's codes, words of a book.
template <WeightFormat kFormat>
inline constexpr int kBlockWords = block_bytes(kFormat) / 4;
template <WeightFormat kFormat>
inline constexpr int kBookWords = kFormat == WeightFormat::kQ2s   ? 1
                                  : kFormat == WeightFormat::kQ3s ? 2
                                                                  : 8;

struct LowBitBooks {
    alignas(16) uint32_t q2v[kLowBitBooks][8];  // even columns of the 16 points, then odd ones
    alignas(16) uint32_t q3s[kLowBitBooks][2];
    alignas(16) uint32_t q2s[kLowBitBooks][1];

    static constexpr void put(uint32_t* words, size_t index, int8_t level) {
        words[index / 4] |= static_cast<uint32_t>(level + 128) << (8 * (index % 4));
    }
    static constexpr LowBitBooks all() {
        LowBitBooks out{};
        for (size_t book = 0; book < kLowBitBooks; ++book) {
            for (size_t i = 0; i < 4; ++i) put(out.q2s[book], i, kQ2sBooks[book][i]);
            for (size_t i = 0; i < 8; ++i) put(out.q3s[book], i, kQ3sBooks[book][i]);
            for (size_t i = 0; i < 16; ++i) {
                put(out.q2v[book], i, kQ2vBooks[book][i][0]);
                put(out.q2v[book], 16 + i, kQ2vBooks[book][i][1]);
            }
        }
        return out;
    }
};
static __device__ const LowBitBooks kBooks = LowBitBooks::all();

template <WeightFormat kFormat>
__device__ inline void load_book(int book, uint32_t (&out)[kBookWords<kFormat>]) {
    if constexpr (kFormat == WeightFormat::kQ2s) {
        out[0] = kBooks.q2s[book][0];
    } else if constexpr (kFormat == WeightFormat::kQ3s) {
        const auto words = load_vector<uint2>(kBooks.q3s[book]);
        out[0] = words.x;
        out[1] = words.y;
    } else {
        for (int half = 0; half < 2; ++half) {
            const auto words = load_vector<uint4>(kBooks.q2v[book] + 4 * half);
            out[4 * half] = words.x;
            out[4 * half + 1] = words.y;
            out[4 * half + 2] = words.z;
            out[4 * half + 3] = words.w;
        }
    }
}

// Levels plus 128 of eight columns: 0, 2, 4, 6 and 1, 3, 5, 7.
struct EightLevels {
    uint32_t even, odd;
};

// Columns 8·part … 8·part + 7 of a block.
template <WeightFormat kFormat>
__device__ inline EightLevels levels_of(const uint32_t (&block)[kBlockWords<kFormat>], int part,
                                        const uint32_t (&book)[kBookWords<kFormat>]) {
    const uint32_t codes = (part < 2 ? block[0] : block[1]) >> (16 * (part % 2));
    if constexpr (kFormat == WeightFormat::kQ2s) {
        return {select_bytes(book[0], 0, codes & 0x3333u),
                select_bytes(book[0], 0, codes >> 2 & 0x3333u)};
    } else if constexpr (kFormat == WeightFormat::kQ3s) {
        // Bits 0 … 3 of bytes 0 and 1: of these columns.
        const uint32_t third = block[2] >> (16 * (part % 2) + 4 * (part / 2));
        const uint32_t even = (third & 0x0101u) << 2 | (third & 0x0404u) << 4;
        const uint32_t odd = (third & 0x0202u) << 1 | (third & 0x0808u) << 3;
        return {select_bytes(book[0], book[1], (codes & 0x3333u) | even),
                select_bytes(book[0], book[1], (codes >> 2 & 0x3333u) | odd)};
    } else {
        // The upper eight points where bit 3 of a nibble is set.
        const uint32_t low = codes & 0x7777u;
        const uint32_t upper = select_bytes(0xFF00u, 0, codes >> 3 & 0x1111u);
        const auto of = [&](int first) {
            return (select_bytes(book[first], book[first + 1], low) & ~upper) |
                   (select_bytes(book[first + 2], book[first + 3], low) & upper);
        };
        return {of(0), of(4)};
    }
}

// The eight levels as floats, in order.
__device__ inline void levels_to_floats(const EightLevels& levels, float* out) {
    for (int i = 0; i < 8; ++i) {
        const uint32_t word = i % 2 == 0 ? levels.even : levels.odd;
        // 2²³ + byte
        const uint32_t bits =
            select_bytes(word, 0x4B000000u, 0x7540u + static_cast<uint32_t>(i / 2));
        out[i] = std::bit_cast<float>(bits) - 8388736.0F;
    }
}

// A block's step over four as two halves.
__device__ inline uint32_t step_halves(uint8_t scale) {
    return (0x3400u + (static_cast<uint32_t>(scale & 15) << 9)) * 0x00010001u;
}

// level · step/4 of the eight columns as halves, two a word: columns i and i + 4.
__device__ inline void levels_to_halves(const EightLevels& levels, uint32_t step,
                                        uint32_t (&out)[4]) {
    const uint32_t shift = multiply_halves(step, 0xE480E480u);  // −1152
    for (int i = 0; i < 4; ++i) {
        const uint32_t biased = select_bytes(i % 2 == 0 ? levels.even : levels.odd, 0x64646464u,
                                             i < 2 ? 0x4240u : 0x4341u);
        out[i] = fused_halves(biased, step, shift);
    }
}

// What a sum of input · (level · step/4) is to be multiplied with, in two steps: 4 alone leaves the range of no float.
__device__ inline float times_base(float sum, uint8_t base) { return 4 * sum * e8m0_value(base); }

}  // namespace millrace::cuda
