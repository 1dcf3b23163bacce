#pragma once
// How a GPU is used.

#include <cstdint>

namespace millrace {

// Who computes routed experts that are not in the GPU's memory.
enum class GpuMisses {
    kAuto,  // as measured when the model is opened (gpu_rates.h)
    kCpu,   // the CPU, where they land
    kCopy,  // the GPU, after they were copied: then no result depends on what lies where
};

struct GpuOptions {
    int number = 0;
    uint64_t budget_bytes =
        0;  // of its memory, for all that is ours; 0: what is free, but for some
    GpuMisses misses = GpuMisses::kAuto;
};

}  // namespace millrace
