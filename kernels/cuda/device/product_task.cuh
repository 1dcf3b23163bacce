#pragma once
// The task of a product's kernels, and where its results go: product.cu makes it, tile_product.cu takes what tensor cores
// can do of it.

#include <cuda_runtime.h>

#include <cstdint>

#include "core/base/types.h"
#include "kernels/cuda/config.h"
#include "kernels/cuda/stream.h"

namespace millrace::cuda {

struct ProductTask {
    const uint8_t* codes;
    const uint8_t* scales;
    bool float_scales;
    const Bf16* x;
    const uint8_t* x_codes;
    const uint8_t* x_scales;
    int64_t x_stride, x_codes_stride, x_scales_stride;
    Bf16* y_bf16;  // one of the two
    float* y_f32;
    int64_t y_stride;
    int64_t rows, cols, outputs;  // outputs of one group
    int splits;                   // of the columns
    const float* shift;           // [ratio, outputs], added at the row's position; or null
    const int32_t* positions;
    int ratio;
};

__device__ inline void put(const ProductTask& t, int64_t row, int64_t output, float value) {
    if (t.shift != nullptr) value += t.shift[t.positions[row] % t.ratio * t.outputs + output];
    if (t.y_bf16 != nullptr) {
        t.y_bf16[row * t.y_stride + output] = to_bf16(value);
    } else {
        t.y_f32[row * t.y_stride + output] = value;
    }
}

// Launches the product in the shape of `config`, which is one of tensor cores.
void launch_tiles(WeightFormat format, InputFormat input, const ProductConfig& config,
                  Stream stream, const ProductTask& task);

}  // namespace millrace::cuda
