#pragma once
// How GPUs are used.

#include <cstdint>
#include <vector>

namespace millrace {

// Who computes routed experts that are not in the GPU's memory.
enum class GpuMisses {
    kAuto,  // as measured when the model is opened (gpu_rates.h)
    kCpu,   // the CPU, where they land
    kCopy,  // the GPU, after they were copied: then no result depends on what lies where
};

struct GpuOptions {
    // Which ones, each once. Of several each has consecutive layers of the model, in this order (gpu_split.h).
    std::vector<int> numbers = {0};
    // Of each one's memory, for all that is ours; 0: what is free, but for some.
    uint64_t budget_bytes = 0;
    GpuMisses misses = GpuMisses::kAuto;
};

}  // namespace millrace
