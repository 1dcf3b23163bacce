#pragma once
// Who computes an expert that is not in the GPU's memory (spec §3.1 of offload): the CPU where it lies, or the GPU after it
// was copied. Measured on this machine when a model is opened, with an expert of that model's shapes.

#include <cstdint>

#include "core/base/clock.h"
#include "core/base/result.h"
#include "kernels/gpu_experts.h"
#include "kernels/ops.h"

namespace millrace {

// Times of one expert, in nanoseconds.
struct MissRates {
    double copy_ns = 0;      // to the GPU
    double one_row_ns = 0;   // by the CPU, its bytes from memory
    double next_row_ns = 0;  // each further row of the same call
};

// From so many rows on copying takes no longer than the CPU; GpuTierOptions::kNever where it never does. What the GPU then
// takes to compute is little beside both.
[[nodiscard]] int64_t copied_rows_of(const MissRates& rates);

// Medians. `expert` has the shapes, `gpu` a slot 0 that nobody uses; a tenth of a second for experts of 13 MB.
[[nodiscard]] Result<MissRates> measure_misses(Ops& host_ops, Ops& gpu_ops, GpuExperts& gpu,
                                               const ExpertWeights& expert, Clock& clock);

}  // namespace millrace
