#pragma once
// Formulas that several kernels have: aq128's code of a number, and the middle of an expert.

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "kernels/cuda/device/arithmetic.cuh"
#include "quant/float_codes.h"

namespace millrace::cuda {

// |x|, with comparisons that ignore NaN as the reference does.
template <int kCount>
__device__ inline float largest_of(const float (&x)[kCount]) {
    float most = 0;
    for (const float v : x) {
        const float size = std::fabs(v);
        most = most < size ? size : most;
    }
    return most;
}

__device__ inline float clamped(float x, float limit) {
    return x < -limit ? -limit : limit < x ? limit : x;
}

// Dividing by a power of two is exact, or rounds to the subnormal that the reference gets.
__device__ inline uint8_t fp8_code(float x, float scale) {
    return e4m3_code(clamped(x / scale, 448.0F));
}

// silu(min(g, limit)) · clamp(u, ±limit). The gate has no lower clamp. Comparisons as std::min and std::clamp make them:
// NaN stays.
__device__ inline float swiglu_of(float gate, float up, float limit) {
    const float g = limit < gate ? limit : gate;
    return g * sigmoid(g) * clamped(up, limit);
}

}  // namespace millrace::cuda
