#include "core/engine/gpu_stages.h"

#include <algorithm>

#include "core/base/strings.h"
#include "core/engine/gpu_split.h"

namespace millrace {
namespace {

Status check_numbers(std::span<const int> numbers, int32_t layers) {
    if (numbers.empty()) {
        return Error{ErrorCode::kInvalid, "no GPU is named; name one or several: --gpu 0,1"};
    }
    for (size_t i = 0; i < numbers.size(); ++i) {
        if (std::ranges::count(numbers.first(i), numbers[i]) == 0) continue;
        return Error{ErrorCode::kInvalid, cat("GPU ", numbers[i],
                                              " is named twice; each holds other layers of the "
                                              "model, so name it once (--gpu)")};
    }
    if (std::ssize(numbers) <= layers) return {};
    return Error{ErrorCode::kInvalid,
                 cat(numbers.size(), " GPUs are named, but this model has only ", layers,
                     " layers to lie on them; name fewer (--gpu)")};
}

// A share as if it had no layers, and what does not follow from them: the first, or the last, or one between.
GpuShare bare_share(int gpu, bool first, bool last, Checkpoint& checkpoint,
                    const GpuStageSizes& sizes) {
    const ModelConfig& config = checkpoint.config();
    const ExpertSource& source = checkpoint.experts();
    const auto draft_blocks = static_cast<uint64_t>(source.layers() - config.layer_count());
    const StepBytes scratch = Step::scratch_bytes(config, sizes.step, true, {first, last});
    const int32_t routed = last ? static_cast<int32_t>(draft_blocks) : 0;
    GpuShare share{.gpu = gpu, .head = last};
    share.dense_bytes =
        placed_dense_bytes(checkpoint, {.first_layer = 0, .layers = 0, .head = last});
    share.kv_bytes = last ? draft_blocks * KvCache::draft_block_bytes(config, sizes.kv) : 0;
    share.scratch_bytes = scratch.ops;
    share.work_bytes = gpu_ops_bytes(sizes.ops) +
                       gpu_expert_bytes(gpu_expert_sizes(source, LayerId{0}, routed, sizes.pairs));
    share.host_scratch_bytes = scratch.host;
    return share;
}

// What a layer of the trunk adds to a share.
struct LayerBytes {
    uint64_t dense = 0, kv = 0, tables = 0;
    [[nodiscard]] uint64_t total() const { return dense + kv + tables; }
};

std::vector<LayerBytes> bytes_of_layers(Checkpoint& checkpoint, const GpuStageSizes& sizes) {
    const ModelConfig& config = checkpoint.config();
    const auto tables_of = [&](int32_t layers) {
        return gpu_expert_bytes(
            gpu_expert_sizes(checkpoint.experts(), LayerId{0}, layers, sizes.pairs));
    };
    const uint64_t table = tables_of(1) - tables_of(0);
    std::vector<LayerBytes> out;
    for (int32_t layer = 0; layer < config.layer_count(); ++layer) {
        const LayerKind kind = config.layers[static_cast<size_t>(layer)];
        out.push_back({.dense = placed_dense_bytes(
                           checkpoint, {.first_layer = layer, .layers = 1, .head = false}),
                       .kv = KvCache::trunk_layer_bytes(kind, config, sizes.kv),
                       .tables = table});
    }
    return out;
}

// Gives each share its layers.
void fill_shares(std::span<GpuShare> shares, std::span<const LayerBytes> layers,
                 int32_t draft_blocks) {
    std::vector<uint64_t> layer_bytes;
    for (const LayerBytes& layer : layers) layer_bytes.push_back(layer.total());
    std::vector<GpuRoom> rooms;
    for (const GpuShare& share : shares) {
        rooms.push_back({.budget_bytes = share.budget_bytes,
                         .fixed_bytes = share.needed_bytes(),
                         .more_layers = share.head ? draft_blocks : 0});
    }
    const std::vector<int32_t> counts = split_layers(layer_bytes, rooms);
    int32_t first = 0;
    for (size_t i = 0; i < shares.size(); ++i) {
        GpuShare& share = shares[i];
        share.first_layer = first;
        share.layers = counts[i];
        for (const LayerBytes& layer :
             layers.subspan(static_cast<size_t>(first), static_cast<size_t>(counts[i]))) {
            share.dense_bytes += layer.dense;
            share.kv_bytes += layer.kv;
            share.work_bytes += layer.tables;
        }
        first += counts[i];
    }
}

}  // namespace

Result<std::vector<GpuShare>> split_model(const GpuOptions& options, Checkpoint& checkpoint,
                                          const GpuStageSizes& sizes) {
    const ExpertSource& source = checkpoint.experts();
    const int32_t layers = checkpoint.config().layer_count();
    const std::vector<int>& numbers = options.numbers;
    TRY(check_numbers(numbers, layers));
    std::vector<GpuShare> shares;
    for (size_t i = 0; i < numbers.size(); ++i) {
        const uint64_t budget_bytes = TRY(gpu_budget(numbers[i], options.budget_bytes));
        shares.push_back(
            bare_share(numbers[i], i == 0, i + 1 == numbers.size(), checkpoint, sizes));
        shares.back().budget_bytes = budget_bytes;
    }
    fill_shares(shares, bytes_of_layers(checkpoint, sizes), source.layers() - layers);
    const uint64_t slot_bytes = gpu_expert_sizes(source, LayerId{0}, 1, sizes.pairs).slot_bytes;
    for (GpuShare& share : shares) {
        const uint64_t needed = share.needed_bytes();
        if (needed >= share.budget_bytes) continue;
        share.slots =
            slots_in(share.budget_bytes - needed, slot_bytes,
                     routed_layers(share, source) * source.experts() + GpuTier::kPassingMax);
        share.expert_bytes = static_cast<uint64_t>(share.slots) * slot_bytes;
    }
    return shares;
}

Result<std::unique_ptr<GpuStages>> GpuStages::open(std::span<const GpuShare> shares,
                                                   GpuMisses misses, const GpuSide::Parts& parts,
                                                   const OpenWatch& watch) {
    auto out = std::make_unique<GpuStages>();
    uint64_t done = 0, total = 0;
    for (const GpuShare& share : shares) total += share.dense_bytes;
    for (const GpuShare& share : shares) {
        OpenWatch of_all;
        if (watch) of_all = [&](uint64_t bytes, uint64_t) { return watch(done + bytes, total); };
        out->sides_.push_back(TRY(GpuSide::open(share, parts, of_all)));
        done += share.dense_bytes;
    }
    if (std::ranges::any_of(shares, [](const GpuShare& share) { return share.slots > 0; })) {
        // Copies take the processor's time where the system does not allow it.
        auto pinned = out->sides_.front()->ops().pin(parts.cache.memory());
        if (pinned.ok()) out->pinned_ = *std::move(pinned);
    }
    for (const auto& side : out->sides_) {
        TRY(side->make_tier(misses, parts));
        if (side->tier() != nullptr) out->counts_.push_back(side->tier()->counts());
    }
    return out;
}

std::vector<GpuShare> GpuStages::shares() const {
    std::vector<GpuShare> out;
    for (const auto& side : sides_) out.push_back(side->share());
    return out;
}

std::vector<StepStage> GpuStages::stages() {
    std::vector<StepStage> out;
    for (const auto& side : sides_)
        out.push_back({&side->ops(), side->tier(), side->share().layers});
    return out;
}

std::vector<Ops*> GpuStages::layer_ops(const ExpertSource& source) {
    std::vector<Ops*> out;
    for (const auto& side : sides_) {
        out.insert(out.end(), static_cast<size_t>(routed_layers(side->share(), source)),
                   &side->ops());
    }
    return out;
}

Result<bool> GpuStages::shrink(const Ops& full) {
    for (const auto& side : sides_) {
        if (&side->ops() == &full && side->tier() != nullptr) return side->tier()->shrink();
    }
    return false;
}

void GpuStages::lose() {
    for (const auto& side : sides_) side->lose();
    pinned_.reset();
}

}  // namespace millrace
