#pragma once
// Decodes low-bit weights block by block as kernels do (kernels/cuda/device/low_bit.cuh).

#include <cstdint>

#include "quant/linear_weight.h"

namespace millrace::cuda_sim {

struct LowBitTask {
    const uint8_t* codes;
    const uint8_t* steps;  // the scale byte of every block
    int32_t blocks;
    float* levels;    // [blocks, 32]
    uint32_t* pairs;  // [blocks, 16]: halves of level · step/4, columns i and i + 4 of eight
};
void decode_low_bit(WeightFormat format, const LowBitTask& task);

}  // namespace millrace::cuda_sim
