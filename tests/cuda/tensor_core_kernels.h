#pragma once
// A warp that multiplies two small matrices the way large kernels do: copies, matrices, tensor cores.

#include <cstdint>

namespace millrace::cuda_sim {

struct TensorTask {
    const uint8_t* a;  // [16][32 bytes]
    const uint8_t* b;  // [8][32 bytes]: a column of b each
    float* c;          // [16][8], added to
    bool wait;         // for the copies, as one must
};
void multiply_on_warp_bf16(const TensorTask& task);  // 16 values a row
void multiply_on_warp_f16(const TensorTask& task);   // 16
void multiply_on_warp_e4m3(const TensorTask& task);  // 32

}  // namespace millrace::cuda_sim
