#pragma once
// What a runtime has on one GPU: its ops, the dense weights of its layers, and those of their experts that lie there.

#include <memory>

#include "core/engine/dense_weights.h"
#include "core/engine/gpu_options.h"
#include "core/engine/gpu_tier.h"
#include "core/engine/memory_plan.h"
#include "core/model/checkpoint.h"
#include "kernels/gpu.h"

namespace millrace {

// What may be taken of a GPU's memory: the budget, as far as it is free. Fails as find_gpu does.
[[nodiscard]] Result<uint64_t> gpu_budget(int gpu, uint64_t budget_bytes);

// The largest of a model's experts on a GPU, what formats those of `layers` layers from `first` on have, and what a tier of
// them wants of `pairs` rows and experts at once.
[[nodiscard]] GpuExpertSizes gpu_expert_sizes(const ExpertSource& source, LayerId first,
                                              int32_t layers, int64_t pairs);

// What of the dense weights lies there.
[[nodiscard]] DenseShare dense_share(const GpuShare& share);
// Layers with experts, the trunk's and those of draft blocks.
[[nodiscard]] int32_t routed_layers(const GpuShare& share, const ExpertSource& source);

class GpuSide {
public:
    struct Parts {
        Checkpoint& checkpoint;  // its dense weights are pointed at the copies
        const OpsSizes& sizes;
        int64_t pairs = 0;  // of a row and one of its experts, at most
        Ops& host_ops;
        ExpertCache& cache;
        Clock& clock;
    };
    // Its ops and dense weights. What `parts` refers to must outlive it, but for the sizes.
    [[nodiscard]] static Result<std::unique_ptr<GpuSide>> open(const GpuShare& share,
                                                               const Parts& parts,
                                                               const OpenWatch& watch);
    // Its experts, if it has memory for any: without them all are computed by the CPU.
    [[nodiscard]] Status make_tier(GpuMisses misses, const Parts& parts);

    // With the slots that it has.
    [[nodiscard]] const GpuShare& share() const { return share_; }
    [[nodiscard]] GpuOps& ops() { return *ops_; }
    // Null where no memory is left for experts.
    [[nodiscard]] GpuTier* tier() { return tier_.get(); }
    // Of the GPU nothing can be had any more: what refers to the cache goes. Its ops stay, memory refers to them.
    void lose();

private:
    [[nodiscard]] Status try_tier(GpuMisses misses, const Parts& parts);

    GpuShare share_;
    std::unique_ptr<GpuOps> ops_;
    OpsMemory dense_;
    std::unique_ptr<GpuTier> tier_;
};

}  // namespace millrace
