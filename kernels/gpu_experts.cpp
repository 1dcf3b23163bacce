// What experts take of a GPU's memory; the same in builds that have none.

#include "kernels/gpu_experts.h"

#include "kernels/cuda/expert_slots.h"
#include "kernels/cuda/experts.h"

namespace millrace {

uint64_t gpu_slot_bytes(const ExpertWeights& expert) {
    return cuda::place_expert(expert, nullptr).bytes;
}

uint64_t gpu_expert_bytes(const GpuExpertSizes& sizes) {
    const uint64_t entries =
        static_cast<uint64_t>(sizes.tables) * static_cast<uint64_t>(sizes.experts);
    return entries * sizeof(ExpertWeights) + cuda::room_bytes(sizes.slot_bytes) +
           static_cast<uint64_t>(
               cuda::expert_scratch_bytes(sizes.pairs, sizes.inner, sizes.experts));
}

}  // namespace millrace
