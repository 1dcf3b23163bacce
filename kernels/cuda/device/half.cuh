#pragma once
// Arithmetic on two fp16 numbers in a word, rounded to nearest.

#include <cuda_runtime.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace millrace::cuda {

// fp16 as fp32: exact. Subnormal numbers too; infinities and NaN are nobody's here.
__device__ inline float half_value(uint32_t half) {
    const float size = std::bit_cast<float>((half & 0x7FFFu) << 13) * 0x1p112F;
    return (half & 0x8000u) != 0 ? -size : size;
}

#if !defined(__CUDACC__)
// To nearest, ties to even, of a magnitude below 65520: for the simulator.
inline uint32_t half_of(double x) {
    const double size = std::fabs(x);
    const uint32_t sign = std::signbit(x) ? 0x8000u : 0;
    if (size < 0x1p-14) return sign | static_cast<uint32_t>(std::nearbyint(size * 0x1p24));
    const int exponent = std::ilogb(size);
    const auto mantissa = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, 10 - exponent)));
    return sign | ((static_cast<uint32_t>(exponent + 15) << 10) + mantissa - 1024);
}
#endif

__device__ inline uint32_t add_halves(uint32_t a, uint32_t b) {
#if defined(__CUDACC__)
    uint32_t out = 0;
    asm("add.rn.f16x2 %0, %1, %2;" : "=r"(out) : "r"(a), "r"(b));
    return out;
#else
    const auto one = [&](int shift) {
        return half_of(static_cast<double>(half_value(a >> shift & 0xFFFFu)) +
                       static_cast<double>(half_value(b >> shift & 0xFFFFu)))
               << shift;
    };
    return one(0) | one(16);
#endif
}

}  // namespace millrace::cuda
