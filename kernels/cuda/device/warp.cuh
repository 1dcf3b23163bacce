#pragma once
// Sums and maxima over the lanes of a warp and the warps of a block, in one order.

#include <cuda_runtime.h>

#include <bit>
#include <cstdint>

#include "kernels/cuda/config.h"

namespace millrace::cuda {

inline constexpr uint32_t kAllLanes = 0xFFFFFFFFu;

__device__ inline int lane_of_thread() { return static_cast<int>(threadIdx.x % kWarp); }
__device__ inline int warp_of_thread() { return static_cast<int>(threadIdx.x / kWarp); }

// How many bits are set.
__device__ inline int32_t bits_of(uint32_t lanes) {
#if defined(__CUDACC__)
    return __popc(lanes);
#else
    return std::popcount(lanes);
#endif
}

// Every lane gets the sum: the same tree for all of them, since addition commutes.
__device__ inline float sum_of_warp(float value) {
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(kAllLanes, value, distance);
    return value;
}

// The largest magnitude among kLanes neighbouring lanes, in all of them; NaN does not count.
template <int kLanes>
__device__ inline float largest_of_lanes(float value) {
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(kAllLanes, value, distance);
        value = value < other ? other : value;
    }
    return value;
}

// Every thread of a block of kWarps warps gets the sum of all; `partial` is shared and free afterwards only behind another
// barrier.
template <int kWarps>
__device__ inline float sum_of_block(float value, float (&partial)[kWarps]) {
    value = sum_of_warp(value);
    if (lane_of_thread() == 0) partial[warp_of_thread()] = value;
    __syncthreads();
    float total = 0;
    for (int w = 0; w < kWarps; ++w) total += partial[w];
    return total;
}

}  // namespace millrace::cuda
