#pragma once
// What memory goes where, decided before anything is allocated. It counts everything at its longest: all dense weights read,
// all slots filled, one session at its whole context, a full chunk. What is reserved is given to the process when it is
// first touched, so the process is as large as this once it has seen all of that, and smaller before.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/model/config.h"

namespace millrace {

// What lies on one of a machine's GPUs: consecutive layers of a model.
struct GpuShare {
    int gpu = 0;                          // its number
    int32_t first_layer = 0, layers = 0;  // of the trunk
    bool head = false;                    // and the head and the draft blocks: the last GPU
    uint64_t budget_bytes = 0;            // what may be taken of its memory
    uint64_t dense_bytes = 0, kv_bytes = 0, scratch_bytes = 0, work_bytes = 0;
    uint64_t expert_bytes = 0;  // slots
    int32_t slots = 0;
    uint64_t host_scratch_bytes = 0;  // of its layers, in the host's memory

    // Without slots: those take what is left.
    [[nodiscard]] uint64_t needed_bytes() const {
        return dense_bytes + kv_bytes + scratch_bytes + work_bytes;
    }
    // For people: "layers 0-20", "layers 21-42 and the head".
    [[nodiscard]] std::string layers_text() const;
};

struct MemoryPlan {
    uint64_t dense_bytes = 0;  // arranged copies, and what stays mapped
    // Tables of which a token looks up a row (embedding, hash tables). They are mapped and not counted: the system takes
    // their pages back when it is short of memory and reads them again when they are looked up.
    uint64_t table_bytes = 0;
    uint64_t expert_bytes = 0;  // slots
    int32_t expert_slots = 0, experts_total = 0;
    // One session at its whole context, and what a chunk overwrites in its rings, put aside while it is computed.
    uint64_t kv_bytes = 0;
    uint64_t scratch_bytes = 0;  // activations of a chunk
    uint64_t archive_bytes = 0;  // pages of KV state on their way to and from the drive
    // Dense weights, KV state and activations lie on a GPU, and besides:
    bool on_gpu = false;
    uint64_t gpu_expert_bytes = 0;  // slots there
    int32_t gpu_slots = 0;
    uint64_t gpu_work_bytes = 0;  // what its operations overwrite
    // By GPU, what all of them have together above; empty where nobody has split it.
    std::vector<GpuShare> gpus{};
    // In the host's memory: what the host looks at of a chunk, and what it computes for it.
    uint64_t host_scratch_bytes = 0;

    [[nodiscard]] uint64_t gpu_bytes() const {
        return on_gpu ? dense_bytes + kv_bytes + scratch_bytes + gpu_work_bytes + gpu_expert_bytes
                      : 0;
    }
    [[nodiscard]] uint64_t host_bytes() const { return total_bytes() - gpu_bytes(); }
    [[nodiscard]] uint64_t total_bytes() const {
        return dense_bytes + expert_bytes + kv_bytes + scratch_bytes + archive_bytes +
               gpu_expert_bytes + gpu_work_bytes + host_scratch_bytes;
    }
    [[nodiscard]] std::string text() const;  // a table for people
};

// What a plan is made of, besides the model's shapes.
struct MemoryWishes {
    uint64_t dense_bytes = 0, table_bytes = 0;
    uint64_t slot_bytes = 0;    // of one expert
    int32_t routed_layers = 0;  // the trunk's and those of draft blocks
    uint64_t budget_bytes = 0;  // for slots
    int64_t context_max = 0;
    int32_t rollback_tokens = 0;
    int32_t prefill_chunk = 0;
    // With a GPU: what may be taken of its memory; what its operations and tables take of that, and a slot.
    bool on_gpu = false;
    uint64_t gpu_budget_bytes = 0, gpu_work_bytes = 0, gpu_slot_bytes = 0;
};
[[nodiscard]] MemoryPlan plan_memory(const ModelConfig& config, const MemoryWishes& wishes);

// The plan with these shares for what lies on GPUs.
[[nodiscard]] MemoryPlan with_shares(MemoryPlan plan, std::vector<GpuShare> shares);

// Slots of `slot_bytes` out of a budget: never more than there are experts.
[[nodiscard]] int32_t slots_in(uint64_t budget_bytes, uint64_t slot_bytes, int32_t experts_total);

// Whether what must lie on the GPU fits what may be taken there. If not: a sentence with both and what would help.
[[nodiscard]] Status check_gpu(const MemoryPlan& plan, uint64_t budget_bytes);
// The same of each of several GPUs: the sentence names the one that lacks most.
[[nodiscard]] Status check_gpus(std::span<const GpuShare> shares);

// Whether the plan and the program around it fit what the process's control group allows. If not: a sentence with the plan,
// the limit and what would fit. `slots_min`: with fewer the model does not run.
[[nodiscard]] Status check_limit(const MemoryPlan& plan, int32_t slots_min,
                                 std::optional<uint64_t> limit_bytes);

}  // namespace millrace
