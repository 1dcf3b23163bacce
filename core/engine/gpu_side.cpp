#include "core/engine/gpu_side.h"

#include <algorithm>

#include "core/engine/gpu_rates.h"

namespace millrace {
namespace {

// Left alone where nobody named a budget: for what others do with the GPU, and for the driver's own.
constexpr uint64_t kSpareBytes = uint64_t{512} << 20;

// Formats and shapes alone.
ExpertWeights shape_of(const ExpertRecord& record) {
    return {.w1 = record.w1.layout, .w2 = record.w2.layout, .w3 = record.w3.layout};
}

// The largest expert's. Those of a store may differ within a layer.
ExpertWeights largest_expert(const ExpertSource& source) {
    ExpertWeights largest;
    uint64_t most = 0;
    for (int32_t layer = 0; layer < source.layers(); ++layer) {
        for (int32_t e = 0; e < source.experts(); ++e) {
            const ExpertWeights expert = shape_of(source.record({{layer}, {e}}));
            const uint64_t bytes = gpu_slot_bytes(expert);
            if (bytes <= most) continue;
            most = bytes;
            largest = expert;
        }
    }
    return largest;
}

// Of each layer's table, and of those behind them, through which experts of all these layers pass.
std::vector<ExpertFormats> formats_of(const ExpertSource& source, LayerId first, int32_t layers) {
    std::vector<ExpertFormats> out(static_cast<size_t>(layers));
    ExpertFormats all;
    for (int32_t layer = 0; layer < layers; ++layer) {
        for (int32_t e = 0; e < source.experts(); ++e) {
            const ExpertWeights expert = shape_of(source.record({{first.value + layer}, {e}}));
            out[static_cast<size_t>(layer)].add(expert);
            all.add(expert);
        }
    }
    out.resize(out.size() + GpuTier::kPassingTables, all);
    return out;
}

}  // namespace

Result<uint64_t> gpu_budget(int gpu, uint64_t budget_bytes) {
    const Gpu found = TRY(find_gpu(gpu));
    if (budget_bytes != 0) return std::min(budget_bytes, found.free_bytes);
    return found.free_bytes - std::min(kSpareBytes, found.free_bytes / 8);
}

GpuExpertSizes gpu_expert_sizes(const ExpertSource& source, LayerId first, int32_t layers,
                                int64_t pairs) {
    const ExpertWeights expert = largest_expert(source);
    return {.hidden = expert.w1.cols,
            .inner = expert.w1.rows,
            .tables = layers + GpuTier::kPassingTables,
            .experts = source.experts(),
            .slot_bytes = gpu_slot_bytes(expert),
            .pairs = pairs,
            .formats = formats_of(source, first, layers)};
}

DenseShare dense_share(const GpuShare& share) {
    return {.first_layer = share.first_layer, .layers = share.layers, .head = share.head};
}

int32_t routed_layers(const GpuShare& share, const ExpertSource& source) {
    return share.head ? source.layers() - share.first_layer : share.layers;
}

Result<std::unique_ptr<GpuSide>> GpuSide::open(const GpuShare& share, const Parts& parts,
                                               const OpenWatch& watch) {
    auto side = std::make_unique<GpuSide>();
    side->share_ = share;
    side->ops_ = TRY(make_cuda_ops(share.gpu, parts.sizes));
    side->dense_ =
        TRY(place_dense_weights(parts.checkpoint, *side->ops_, dense_share(share), watch));
    return side;
}

Status GpuSide::make_tier(GpuMisses misses, const Parts& parts) {
    if (share_.slots > 0) {
        const Status made = try_tier(misses, parts);
        if (!made.ok() && made.error().code != ErrorCode::kCapacity) return made.error();
    }
    const uint64_t slot_bytes =
        share_.slots > 0 ? share_.expert_bytes / static_cast<uint64_t>(share_.slots) : 0;
    share_.slots = tier_ == nullptr ? 0 : tier_->gpu_slots();
    share_.expert_bytes = static_cast<uint64_t>(share_.slots) * slot_bytes;
    return {};
}

Status GpuSide::try_tier(GpuMisses misses, const Parts& parts) {
    const ExpertSource& source = parts.checkpoint.experts();
    GpuTierOptions tier;
    tier.slots = share_.slots;
    tier.first_layer = share_.first_layer;
    tier.layers = routed_layers(share_, source);
    std::unique_ptr<GpuExperts> experts = TRY(
        ops_->make_experts(gpu_expert_sizes(source, {tier.first_layer}, tier.layers, parts.pairs)));
    if (misses == GpuMisses::kCpu) tier.copied_rows = GpuTierOptions::kNever;
    if (misses == GpuMisses::kAuto) {
        TRY(experts->grow(1));
        const MissRates rates = TRY(
            measure_misses(parts.host_ops, *ops_, *experts, largest_expert(source), parts.clock));
        static_cast<void>(experts->shrink());
        tier.copied_rows = copied_rows_of(rates);
        tier.promotion.uses_to_pay = static_cast<float>(rates.copy_ns / rates.one_row_ns);
    }
    // What is copied for every use anyway costs nothing to keep.
    if (tier.copied_rows == 1) tier.promotion.uses_to_pay = 0;
    tier_ = TRY(GpuTier::create(std::move(experts), parts.cache, source, tier));
    return {};
}

void GpuSide::lose() {
    tier_.reset();
    dense_ = {};
}

}  // namespace millrace
