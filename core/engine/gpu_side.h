#pragma once
// What a runtime has on a GPU: its ops, the dense weights, and the experts that lie there.

#include <memory>

#include "core/engine/dense_weights.h"
#include "core/engine/gpu_options.h"
#include "core/engine/gpu_tier.h"
#include "core/engine/memory_plan.h"
#include "core/model/checkpoint.h"
#include "kernels/gpu.h"

namespace millrace {

// What may be taken of a GPU's memory: the budget, as far as it is free. Fails as find_gpu does.
[[nodiscard]] Result<uint64_t> gpu_budget(const GpuOptions& options);

// The largest of a model's experts on a GPU, and what its tier wants of `pairs` rows and experts at once.
[[nodiscard]] GpuExpertSizes gpu_expert_sizes(const ExpertSource& source, int64_t pairs);

class GpuSide {
public:
    struct Parts {
        Checkpoint& checkpoint;  // its dense weights are pointed at the copies
        const MemoryPlan& plan;
        const OpsSizes& sizes;
        const GpuExpertSizes& experts;
        Ops& host_ops;
        ExpertCache& cache;
        Clock& clock;
    };
    // All of `parts` but the plan and sizes must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<GpuSide>> open(const GpuOptions& options,
                                                               const Parts& parts,
                                                               const OpenWatch& watch);

    [[nodiscard]] GpuOps& ops() { return *ops_; }
    // Null where no memory is left for experts.
    [[nodiscard]] GpuTier* tier() { return tier_.get(); }
    // Of the GPU nothing can be had any more: what refers to the cache goes. Its ops stay, memory refers to them.
    void lose();

private:
    [[nodiscard]] Status make_tier(const GpuOptions& options, const Parts& parts);

    std::unique_ptr<GpuOps> ops_;
    OpsMemory dense_;
    std::shared_ptr<void> pinned_;  // the cache's slots
    std::unique_ptr<GpuTier> tier_;
};

}  // namespace millrace
