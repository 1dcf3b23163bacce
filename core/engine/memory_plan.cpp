#include "core/engine/memory_plan.h"

#include <algorithm>
#include <limits>

#include "core/base/strings.h"
#include "core/engine/gpu_tier.h"
#include "core/engine/kv_cache.h"
#include "core/engine/step.h"

namespace millrace {
namespace {

// The program itself, its tokenizer, and what the operations keep beside the activations.
constexpr uint64_t kProgramBytes = uint64_t{32} << 20;

// As --ram-budget takes it, not rounded up.
std::string budget_text(uint64_t bytes) {
    constexpr uint64_t kKibi = 1024, kMebi = kKibi * 1024;
    return bytes >= 16 * kMebi ? cat(bytes / kMebi, "M") : cat(bytes / kKibi, "K");
}

std::string row(std::string_view what, uint64_t bytes, std::string_view how) {
    std::string name(what);
    name.resize(18, ' ');
    std::string size = human_bytes(bytes);
    size.insert(0, size.size() < 12 ? 12 - size.size() : 0, ' ');
    return cat(name, size, how.empty() ? "" : "  ", how, "\n");
}

std::string gpu_rows(const MemoryPlan& plan) {
    if (!plan.on_gpu) return "";
    return row("GPU slots", plan.gpu_expert_bytes,
               cat("on the GPU: ", plan.gpu_slots, " slots for the experts used most")) +
           row("GPU work", plan.gpu_work_bytes, "on the GPU: what its operations overwrite") +
           row("copies", plan.host_scratch_bytes, "what the host sees and computes of a chunk");
}

}  // namespace

std::string MemoryPlan::text() const {
    const std::string where = on_gpu ? "on the GPU: " : "";
    return row("dense weights", dense_bytes, where + "copied or mapped from the checkpoint") +
           row("tables", table_bytes, "mapped, not counted: rows of them are read as tokens come") +
           row("expert slots", expert_bytes,
               cat(expert_slots, " slots for ", experts_total, " experts")) +
           row("KV state", kv_bytes,
               where + (on_gpu ? "one session at its longest"
                               : "one session at its longest; taken as it fills")) +
           row("activations", scratch_bytes, where + "one chunk") + gpu_rows(*this) +
           (archive_bytes == 0 ? "" : row("KV archive", archive_bytes, "pages on their way")) +
           row("plan", total_bytes(), "all of this, once all of it was used");
}

MemoryPlan plan_memory(const ModelConfig& config, const MemoryWishes& wishes) {
    const int32_t experts_total = wishes.routed_layers * config.experts;
    const int32_t slots = slots_in(wishes.budget_bytes, wishes.slot_bytes, experts_total);
    const int32_t draft_blocks = wishes.routed_layers - config.layer_count();
    // A drafted block goes through the same scratch, so a chunk is never smaller than that.
    const int32_t chunk = std::max(wishes.prefill_chunk, config.dspark.block_size);
    const StepBytes scratch =
        Step::scratch_bytes(config, {chunk, wishes.context_max}, wishes.on_gpu);
    MemoryPlan plan{.dense_bytes = wishes.dense_bytes,
                    .table_bytes = wishes.table_bytes,
                    .expert_bytes = static_cast<uint64_t>(slots) * wishes.slot_bytes,
                    .expert_slots = slots,
                    .experts_total = experts_total,
                    .kv_bytes = KvCache::bytes(config, draft_blocks,
                                               {wishes.context_max, wishes.rollback_tokens, chunk}),
                    .scratch_bytes = scratch.ops,
                    .on_gpu = wishes.on_gpu,
                    .gpu_work_bytes = wishes.gpu_work_bytes,
                    .host_scratch_bytes = scratch.host};
    if (plan.gpu_bytes() < wishes.gpu_budget_bytes) {
        plan.gpu_slots = slots_in(wishes.gpu_budget_bytes - plan.gpu_bytes(), wishes.gpu_slot_bytes,
                                  experts_total + GpuTier::kPassingMax);
        plan.gpu_expert_bytes = static_cast<uint64_t>(plan.gpu_slots) * wishes.gpu_slot_bytes;
    }
    return plan;
}

int32_t slots_in(uint64_t budget_bytes, uint64_t slot_bytes, int32_t experts_total) {
    return static_cast<int32_t>(
        std::min(budget_bytes / slot_bytes, static_cast<uint64_t>(experts_total)));
}

Status check_gpu(const MemoryPlan& plan, uint64_t budget_bytes) {
    const uint64_t needed = plan.gpu_bytes() - plan.gpu_expert_bytes;
    if (!plan.on_gpu || needed <= budget_bytes) return {};
    return Error{
        ErrorCode::kCapacity,
        cat(human_bytes(budget_bytes), " of the GPU's memory may be taken, and ",
            human_bytes(needed), " are needed there (dense weights ", human_bytes(plan.dense_bytes),
            ", KV state ", human_bytes(plan.kv_bytes), ", activations ",
            human_bytes(plan.scratch_bytes + plan.gpu_work_bytes),
            "); close what else uses it, raise --vram-budget if there is one, lower --context or "
            "--prefill-chunk, or take --ops cpu")};
}

Status check_limit(const MemoryPlan& plan, int32_t slots_min, std::optional<uint64_t> limit_bytes) {
    if (!limit_bytes || plan.host_bytes() + kProgramBytes <= *limit_bytes) return {};
    const std::string seen =
        cat("the plan takes ", human_bytes(plan.host_bytes()), " of memory (dense weights ",
            human_bytes(plan.dense_bytes), ", experts ", human_bytes(plan.expert_bytes),
            ", KV state ", human_bytes(plan.kv_bytes), ", activations ",
            human_bytes(plan.scratch_bytes), ") and the program ", human_bytes(kProgramBytes),
            ", but the control group of this process allows ", human_bytes(*limit_bytes));
    const uint64_t others = plan.host_bytes() - plan.expert_bytes + kProgramBytes;
    const uint64_t slot_bytes =
        plan.expert_slots > 0 ? plan.expert_bytes / static_cast<uint64_t>(plan.expert_slots) : 0;
    const uint64_t least = slot_bytes * static_cast<uint64_t>(slots_min);
    if (slot_bytes > 0 && others + least <= *limit_bytes) {
        return Error{ErrorCode::kCapacity, cat(seen, "; use --ram-budget ",
                                               budget_text(*limit_bytes - others), " or less")};
    }
    return Error{ErrorCode::kCapacity,
                 cat(seen, "; raise that limit to ", human_bytes(others + least),
                     " or more, or lower --context or --prefill-chunk")};
}

}  // namespace millrace
