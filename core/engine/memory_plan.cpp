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

std::string where_text(const MemoryPlan& plan) {
    if (!plan.on_gpu) return "";
    return plan.gpus.size() > 1 ? "on the GPUs: " : "on the GPU: ";
}

std::string gpu_rows(const MemoryPlan& plan) {
    if (!plan.on_gpu) return "";
    std::string out =
        row("GPU slots", plan.gpu_expert_bytes,
            cat(where_text(plan), plan.gpu_slots, " slots for the experts used most")) +
        row("GPU work", plan.gpu_work_bytes,
            cat(where_text(plan), "what ", plan.gpus.size() > 1 ? "their" : "its",
                " operations overwrite")) +
        row("copies", plan.host_scratch_bytes, "what the host sees and computes of a chunk");
    if (plan.gpus.size() < 2) return out;
    for (const GpuShare& share : plan.gpus) {
        out += row(cat("  on GPU ", share.gpu), share.needed_bytes() + share.expert_bytes,
                   cat("of these: ", share.layers_text(), ", ", share.slots, " slots"));
    }
    return out;
}

// `seen` says of which GPU so much may be taken, `layers` what for.
Error too_small(std::string_view seen, std::string_view layers, const GpuShare& share) {
    return Error{
        ErrorCode::kCapacity,
        cat(human_bytes(share.budget_bytes), " of ", seen, " memory may be taken, and ",
            human_bytes(share.needed_bytes()), " are needed there", layers, " (dense weights ",
            human_bytes(share.dense_bytes), ", KV state ", human_bytes(share.kv_bytes),
            ", activations ", human_bytes(share.scratch_bytes + share.work_bytes),
            "); close what else uses it, raise --vram-budget if there is one, lower --context or "
            "--prefill-chunk, or take --ops cpu")};
}

}  // namespace

std::string GpuShare::layers_text() const {
    std::string text = layers == 1 ? cat("layer ", first_layer)
                                   : cat("layers ", first_layer, "-", first_layer + layers - 1);
    return head ? text + " and the head" : text;
}

std::string MemoryPlan::text() const {
    const std::string where = where_text(*this);
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

MemoryPlan with_shares(MemoryPlan plan, std::vector<GpuShare> shares) {
    plan.on_gpu = true;
    plan.dense_bytes = plan.kv_bytes = plan.scratch_bytes = 0;
    plan.gpu_work_bytes = plan.gpu_expert_bytes = plan.host_scratch_bytes = 0;
    plan.gpu_slots = 0;
    for (const GpuShare& share : shares) {
        plan.dense_bytes += share.dense_bytes;
        plan.kv_bytes += share.kv_bytes;
        plan.scratch_bytes += share.scratch_bytes;
        plan.gpu_work_bytes += share.work_bytes;
        plan.gpu_expert_bytes += share.expert_bytes;
        plan.gpu_slots += share.slots;
        plan.host_scratch_bytes += share.host_scratch_bytes;
    }
    plan.gpus = std::move(shares);
    return plan;
}

int32_t slots_in(uint64_t budget_bytes, uint64_t slot_bytes, int32_t experts_total) {
    return static_cast<int32_t>(
        std::min(budget_bytes / slot_bytes, static_cast<uint64_t>(experts_total)));
}

Status check_gpu(const MemoryPlan& plan, uint64_t budget_bytes) {
    const GpuShare all{.budget_bytes = budget_bytes,
                       .dense_bytes = plan.dense_bytes,
                       .kv_bytes = plan.kv_bytes,
                       .scratch_bytes = plan.scratch_bytes,
                       .work_bytes = plan.gpu_work_bytes};
    if (!plan.on_gpu || all.needed_bytes() <= budget_bytes) return {};
    return too_small("the GPU's", "", all);
}

Status check_gpus(std::span<const GpuShare> shares) {
    const auto lacks = [](const GpuShare& share) {
        return share.needed_bytes() - std::min(share.needed_bytes(), share.budget_bytes);
    };
    const auto worst = std::ranges::max_element(shares, {}, lacks);
    if (worst == shares.end() || lacks(*worst) == 0) return {};
    if (shares.size() == 1) return too_small("the GPU's", "", *worst);
    return too_small(cat("GPU ", worst->gpu, "'s"), cat(" for ", worst->layers_text()), *worst);
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
