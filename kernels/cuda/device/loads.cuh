#pragma once
// Loads and stores of 16 bytes a lane where addresses allow it, element by element where they do not. Both read the same
// columns into the same lanes: which one is used changes no bit of a result.

#include <cuda_runtime.h>

#include <bit>
#include <cstdint>

#include "core/base/types.h"
#include "kernels/cuda/config.h"

namespace millrace::cuda {

template <int kCount>
struct alignas(2 * kCount) Bf16s {
    Bf16 at[kCount];
};
using Bf16x8 = Bf16s<8>;

// What is read once (weights) and should not drive out of the caches what is read again.
__device__ inline uint4 load_streaming(const void* at) {
#if defined(__CUDACC__)
    return __ldcs(static_cast<const uint4*>(at));
#else
    return cuda_sim::vector_load<uint4>(at);
#endif
}

template <class Vector>
__device__ inline Vector load_vector(const void* at) {
#if defined(__CUDACC__)
    return *static_cast<const Vector*>(at);
#else
    return cuda_sim::vector_load<Vector>(at);
#endif
}
template <class Vector>
__device__ inline void store_vector(void* at, const Vector& value) {
#if defined(__CUDACC__)
    *static_cast<Vector*>(at) = value;
#else
    cuda_sim::vector_store(at, value);
#endif
}

// The first `count` of 16 bytes, the others zero.
__device__ inline uint4 load_bytes(const uint8_t* at, int count) {
    uint32_t words[4] = {};
    for (int i = 0; i < 16; ++i) {
        if (i < count) words[i / 4] |= static_cast<uint32_t>(at[i]) << (8 * (i % 4));
    }
    return {words[0], words[1], words[2], words[3]};
}

// A float anywhere.
__device__ inline float load_float(const uint8_t* at) {
    uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits |= static_cast<uint32_t>(at[i]) << (8 * i);
    return std::bit_cast<float>(bits);
}

// kCount columns from `first` of a row of `cols`; columns that do not exist are zero, and are not written.
template <bool kVectors, int kCount>
__device__ inline void load_chunk(const Bf16* row, int64_t first, int64_t cols,
                                  float (&out)[kCount]) {
    if constexpr (kVectors) {
        const auto chunk = load_vector<Bf16s<kCount>>(row + first);
        for (int i = 0; i < kCount; ++i) out[i] = to_float(chunk.at[i]);
    } else {
        for (int i = 0; i < kCount; ++i) out[i] = first + i < cols ? to_float(row[first + i]) : 0;
    }
}
template <bool kVectors, int kCount>
__device__ inline void store_chunk(const float (&values)[kCount], int64_t first, int64_t cols,
                                   Bf16* row) {
    if constexpr (kVectors) {
        Bf16s<kCount> chunk;
        for (int i = 0; i < kCount; ++i) chunk.at[i] = to_bf16(values[i]);
        store_vector(row + first, chunk);
    } else {
        for (int i = 0; i < kCount; ++i) {
            if (first + i < cols) row[first + i] = to_bf16(values[i]);
        }
    }
}

}  // namespace millrace::cuda
