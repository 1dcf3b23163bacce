#pragma once
// Tiny kernels, wrong and right, for the tests of the simulator.

#include <cstdint>
#include <span>

#include "tests/support/cuda_sim/cuda_runtime.h"
#include "tests/support/cuda_sim/simulator.h"

namespace millrace::cuda_sim {

struct KernelTask {
    uint32_t* out;
    const uint32_t* in;
    int32_t count;
    cudaStream_t stream = nullptr;
};

// One block of 64 threads over 64 numbers `in` (in[i] = i) and 64 `out`, with 256 bytes of dynamic shared memory.
struct KernelCase {
    const char* name;
    bool right;
    Fault fault;  // of a wrong one
    void (*launch)(const KernelTask& task);
};
[[nodiscard]] std::span<const KernelCase> kernel_cases();

}  // namespace millrace::cuda_sim
