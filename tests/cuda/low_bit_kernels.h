#pragma once
// Decodes low-bit weights block by block as kernels do (kernels/cuda/device/low_bit.cuh).

#include <cstdint>

#include "quant/linear_weight.h"

namespace millrace::cuda_sim {

struct LowBitTask {
    const uint8_t* codes;
    const uint8_t* marks;  // the scale byte of every block
    int32_t blocks;
    float* steps;
    float* levels;  // [blocks, 32]
    // [blocks, 16]: two a word, columns i and i + 4 of eight
    uint32_t* halves;
    uint32_t* bf16s;
};
void decode_low_bit(WeightFormat format, const LowBitTask& task);

}  // namespace millrace::cuda_sim
