#pragma once
// The GPUs of a runtime: how a model is split over them, and what lies on each. A token goes through their layers one GPU
// after another (step.h). All of them have their experts from one cache in the host's memory.

#include <memory>
#include <span>
#include <vector>

#include "core/engine/gpu_side.h"
#include "core/engine/kv_cache.h"
#include "core/engine/step.h"

namespace millrace {

// What each of them must hold follows from these.
struct GpuStageSizes {
    OpsSizes ops;
    StepLimits step;
    KvLimits kv;
    int64_t pairs = 0;  // of a row and one of its experts, at most
};

// What lies on each of the GPUs that the options name. kInvalid, with one sentence, for names that are no list of GPUs of
// this machine; otherwise fails as find_gpu does. Whether everything fits check_gpus says (memory_plan.h).
[[nodiscard]] Result<std::vector<GpuShare>> split_model(const GpuOptions& options,
                                                        Checkpoint& checkpoint,
                                                        const GpuStageSizes& sizes);

class GpuStages {
public:
    // What `parts` refers to must outlive it, but for the sizes.
    [[nodiscard]] static Result<std::unique_ptr<GpuStages>> open(std::span<const GpuShare> shares,
                                                                 GpuMisses misses,
                                                                 const GpuSide::Parts& parts,
                                                                 const OpenWatch& watch);

    // With the slots that there are.
    [[nodiscard]] std::vector<GpuShare> shares() const;
    [[nodiscard]] std::vector<StepStage> stages();
    // Of each layer, and of the draft blocks behind them.
    [[nodiscard]] std::vector<Ops*> layer_ops(const ExpertSource& source);
    // Of the GPUs that have experts, also when these are gone.
    [[nodiscard]] const std::vector<std::shared_ptr<const GpuTierCounts>>& counts() const {
        return counts_;
    }
    // Gives memory of this GPU back, experts' (GpuTier::shrink).
    [[nodiscard]] Result<bool> shrink(const Ops& full);
    // One of them does not answer any more: nothing of any is used from now on (GpuSide::lose).
    void lose();

private:
    std::shared_ptr<void> pinned_;  // the cache's slots
    std::vector<std::unique_ptr<GpuSide>> sides_;
    std::vector<std::shared_ptr<const GpuTierCounts>> counts_;
};

}  // namespace millrace
