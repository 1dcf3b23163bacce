#pragma once
// The low-bit formats (quant/linear_weight.h draws their blocks): eight neighbouring columns of a block at a time.
//
// A level is looked up by choosing bytes of registers: a book is 4, 8 or 2 · 16 levels, one, two or eight words, which a
// lane loads for each block, and a code is what select_bytes wants in a nibble. Levels are stored plus 128, so that a byte
// behind 0x64 is the half 1152 + level, and one behind 0x4B0000 the float 2²³ + 128 + level. Levels are exact in every
// format that products are made in; what a block is worth, step · 2^(base − 127), is exact in fp32.
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
#include "quant/linear_weight.h"

namespace millrace::cuda {

[[nodiscard]] constexpr bool is_low_bit(WeightFormat format) {
    return format == WeightFormat::kQ3s || format == WeightFormat::kQ2s ||
           format == WeightFormat::kQ2v;
}

// Words of a book.
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

// A quarter of a block's codes, columns 8·part … 8·part + 7: the lower 16 bits, and of kQ3s the third bits of the first
// four columns at bit 0, of the others at bit 8. What else stands in the words is nothing.
struct EightCodes {
    uint32_t lower, third;
};
// place(byte): where a byte of the block lies, two by two and in order.
template <WeightFormat kFormat, class Place>
__device__ inline EightCodes load_codes_of(int part, const Place& place) {
    EightCodes out{load_vector<uint16_t>(place(2 * part)), 0};
    if constexpr (kFormat == WeightFormat::kQ3s)
        out.third =
            static_cast<uint32_t>(load_vector<uint16_t>(place(8 + part % 2 * 2))) >> (part / 2 * 4);
    return out;
}

template <WeightFormat kFormat>
__device__ inline EightLevels levels_of(const EightCodes& eight,
                                        const uint32_t (&book)[kBookWords<kFormat>]) {
    const uint32_t codes = eight.lower;
    if constexpr (kFormat == WeightFormat::kQ2s) {
        return {select_bytes(book[0], 0, codes & 0x3333u),
                select_bytes(book[0], 0, codes >> 2 & 0x3333u)};
    } else if constexpr (kFormat == WeightFormat::kQ3s) {
        const uint32_t third = eight.third;
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

// As halves, two a word: columns i and i + 4.
__device__ inline void levels_to_halves(const EightLevels& levels, uint32_t (&out)[4]) {
    for (int i = 0; i < 4; ++i) {
        const uint32_t biased = select_bytes(i % 2 == 0 ? levels.even : levels.odd, 0x64646464u,
                                             i < 2 ? 0x4240u : 0x4341u);
        out[i] = add_halves(biased, 0xE480E480u);  // −1152
    }
}

// The same in bf16.
__device__ inline void levels_to_bf16(const EightLevels& levels, uint32_t (&out)[4]) {
    float floats[8];
    levels_to_floats(levels, floats);
    for (int i = 0; i < 4; ++i) {
        out[i] = select_bytes(std::bit_cast<uint32_t>(floats[i]),
                              std::bit_cast<uint32_t>(floats[i + 4]), 0x7632u);
    }
}

// Of a block's byte: its step, and which book.
__device__ inline float step_of(uint32_t byte) {
    return std::bit_cast<float>(0x3F800000u + ((byte & 15u) << 22));
}
__device__ inline int book_of(uint32_t byte) { return static_cast<int>(byte >> 4 & 15u); }

}  // namespace millrace::cuda
