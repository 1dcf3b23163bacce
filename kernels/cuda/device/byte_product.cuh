#pragma once
// Products of small matrices of signed bytes on tensor cores, and what prepares their operands. Sums of integers are exact:
// the bits are the same on every GPU and in the simulator, which sums of floats in a tensor core's own order are not.

#include <cuda_runtime.h>

#include <bit>
#include <cstdint>

#include "core/base/types.h"
#include "kernels/cuda/config.h"

namespace millrace::cuda {

// sums += A·B, A [16][32] and B [32][8] signed bytes. Lane 4r + j holds of A the bytes k = 4j … 4j + 3 of rows r (a[0]) and
// r + 8 (a[1]), and k + 16 of them (a[2], a[3]); of B those of column r, k (b[0]) and k + 16 (b[1]); of the sums columns
// 2j, 2j + 1 of rows r (sums[0], [1]) and r + 8.
__device__ inline void add_byte_products(int32_t (&sums)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2]) {
#if defined(__CUDACC__)
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    cuda_sim::multiply_s8(a, b, sums);
#endif
}

// Byte i of the result: byte (selectors >> 4i & 7) of the eight of `low` and `high`.
__device__ inline uint32_t select_bytes(uint32_t low, uint32_t high, uint32_t selectors) {
#if defined(__CUDACC__)
    return __byte_perm(low, high, selectors);
#else
    uint32_t out = 0;
    for (int i = 0; i < 4; ++i) {
        const uint32_t from = selectors >> (4 * i) & 7u;
        out |= ((from < 4 ? low : high) >> (8 * (from % 4)) & 255u) << (8 * i);
    }
    return out;
#endif
}

struct FloatPair {
    float low, high;
};

// Both numbers to bf16 and back.
__device__ inline FloatPair through_bf16(float low, float high) {
#if defined(__CUDACC__)
    uint32_t pair = 0;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return {std::bit_cast<float>(pair << 16), std::bit_cast<float>(pair & 0xFFFF0000u)};
#else
    return {to_float(to_bf16(low)), to_float(to_bf16(high))};
#endif
}

}  // namespace millrace::cuda
