#pragma once
// Functions whose bits are the same on every GPU and in the simulator: made of additions, products, fused products,
// quotients and roots, all of them rounded to nearest. nvcc is told not to fuse on its own (--fmad=false).

#include <cuda_runtime.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace millrace::cuda {

// e^x within two units: 2^k · e^r with |r| ≤ ln 2 / 2, a polynomial for e^r.
__device__ inline float exponential(float x) {
    if (x > 88.8F) return std::bit_cast<float>(0x7F800000u);
    if (!(x >= -104.0F)) return x < -104.0F ? 0 : x;  // NaN is no whole number below
    const float k = std::rint(x * 1.44269504F);
    float r = std::fma(-k, 0.693145752F, x);
    r = std::fma(-k, 1.42860677e-6F, r);
    float p = 1.98412698e-4F;  // 1/7!
    p = std::fma(p, r, 1.38888889e-3F);
    p = std::fma(p, r, 8.33333333e-3F);
    p = std::fma(p, r, 4.16666667e-2F);
    p = std::fma(p, r, 1.66666667e-1F);
    p = std::fma(p, r, 0.5F);
    p = std::fma(p, r, 1.0F);
    p = std::fma(p, r, 1.0F);
    // In two steps: 2^k alone may lie outside the normal numbers.
    const int whole = static_cast<int>(k);
    const int half = whole / 2;
    p *= std::bit_cast<float>(static_cast<uint32_t>(half + 127) << 23);
    return p * std::bit_cast<float>(static_cast<uint32_t>(whole - half + 127) << 23);
}

__device__ inline float sigmoid(float x) { return 1.0F / (1.0F + exponential(-x)); }

struct Angle {
    float cosine, sine;
};

// Cosine and sine of an angle below 2²¹, rounded to fp32 from double. Angles are fp32 products of up to a million
// radians: they are reduced by π/2 in three parts, of which each product is exact inside the fused operation.
__device__ inline Angle angle_of(float radians) {
    const auto x = static_cast<double>(radians);
    const double k = std::rint(x * 0.63661977236758134308);
    double r = std::fma(-k, 1.57079632679489655800, x);
    r = std::fma(-k, 6.12323399573676603587e-17, r);
    r = std::fma(-k, -1.49738490485916983294e-33, r);
    const double z = r * r;
    double s = -7.6471637318198164759e-13;  // −1/15!
    s = std::fma(s, z, 1.6059043836821614599e-10);
    s = std::fma(s, z, -2.5052108385441718775e-8);
    s = std::fma(s, z, 2.7557319223985890653e-6);
    s = std::fma(s, z, -1.9841269841269841270e-4);
    s = std::fma(s, z, 8.3333333333333333333e-3);
    s = std::fma(s, z, -1.6666666666666666667e-1);
    s = std::fma(s * z, r, r);
    double c = 4.7794773323873852974e-14;  // 1/16!
    c = std::fma(c, z, -1.1470745597729724714e-11);
    c = std::fma(c, z, 2.0876756987868098979e-9);
    c = std::fma(c, z, -2.7557319223985890653e-7);
    c = std::fma(c, z, 2.4801587301587301587e-5);
    c = std::fma(c, z, -1.3888888888888888889e-3);
    c = std::fma(c, z, 4.1666666666666666667e-2);
    c = std::fma(c, z, -0.5);
    c = std::fma(c, z, 1.0);
    const int quadrant = static_cast<int>(k) & 3;
    const double sine = (quadrant & 1) != 0 ? c : s;
    const double cosine = (quadrant & 1) != 0 ? s : c;
    return {static_cast<float>(quadrant == 1 || quadrant == 2 ? -cosine : cosine),
            static_cast<float>(quadrant >= 2 ? -sine : sine)};
}

}  // namespace millrace::cuda
