#pragma once
// The codes of small number formats as floats, exactly, by placing their bits in a float's: sign and sign, exponent and
// mantissa where the float has its lowest exponent bits. What comes out is the value times 2^(bias − 127), subnormal codes
// as subnormal floats; one product sets that right. (Denormals must not be flushed: nvcc's default.)

#include <cuda_runtime.h>

#include <bit>
#include <cstdint>

#include "core/base/types.h"
#include "kernels/cuda/device/low_bit.cuh"
#include "quant/float_codes.h"
#include "quant/linear_weight.h"

namespace millrace::cuda {

__device__ inline uint32_t word_of(const uint4& words, int i) {
    return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w;
}

// The 16 codes of 16 bytes. 0x7F and 0xFF are NaN, which no placing of bits gives: they are looked for four at a time, and
// where one is found, it spoils the first value, which every sum takes in.
__device__ inline void decode_e4m3(const uint4& words, float (&out)[16]) {
    uint32_t nan = 0;
    for (int i = 0; i < 4; ++i) {
        const uint32_t word = word_of(words, i);
        nan |= ((word & 0x7F7F7F7Fu) + 0x01010101u) & 0x80808080u;
        for (int b = 0; b < 4; ++b) {
            const uint32_t top = word << (24 - 8 * b);
            const uint32_t bits = (top & 0x80000000u) | (top >> 4 & 0x07F00000u);
            out[4 * i + b] = std::bit_cast<float>(bits) * 0x1p120F;
        }
    }
    if (nan != 0) out[0] = std::bit_cast<float>(0x7FC00000u);
}

// Part `part` of a lane's 16 bytes of weights: 16 columns of FP8, 16 of 32 of FP4 and of a block, 8 of BF16, 4 of F32.
// `mark`: a block's byte.
template <WeightFormat kFormat, int kCount>
__device__ inline void decode_part(const uint4& words, int part, float (&out)[kCount],
                                   [[maybe_unused]] uint32_t mark = 0) {
    if constexpr (is_low_bit(kFormat)) {
        uint32_t book[kBookWords<kFormat>];
        load_book<kFormat>(book_of(mark), book);
        for (int half = 0; half < 2; ++half) {
            // Of columns 16·part + 8·half.
            const EightCodes codes{word_of(words, part) >> (16 * half),
                                   words.z >> (16 * half + 4 * part)};
            levels_to_floats(levels_of<kFormat>(codes, book), out + 8 * half);
        }
    } else if constexpr (kFormat == WeightFormat::kFp8) {
        decode_e4m3(words, out);
    } else if constexpr (kFormat == WeightFormat::kFp4) {
        for (int i = 0; i < kCount; ++i) {
            const uint32_t code = word_of(words, 2 * part + i / 8) >> (4 * (i % 8));
            const uint32_t bits = (code & 8u) << 28 | (code & 7u) << 22;
            out[i] = std::bit_cast<float>(bits) * 0x1p126F;
        }
    } else if constexpr (kFormat == WeightFormat::kBf16) {
        for (int i = 0; i < kCount; ++i) {
            const uint32_t word = word_of(words, i / 2);
            out[i] = std::bit_cast<float>(i % 2 == 0 ? word << 16 : word & 0xFFFF0000u);
        }
    } else {
        static_assert(kFormat == WeightFormat::kF32 && kCount == 4);
        for (int i = 0; i < kCount; ++i) out[i] = std::bit_cast<float>(word_of(words, i));
    }
}

}  // namespace millrace::cuda
