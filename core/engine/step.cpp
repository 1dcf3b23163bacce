#include "core/engine/step.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace millrace {
namespace {

int64_t target_columns(const ModelConfig& config) {
    return static_cast<int64_t>(config.dspark.target_layers.size()) * config.hidden;
}

// So many rows of logits at a time come from a GPU: a row is half a megabyte.
constexpr int64_t kLogitRows = 16;

int64_t launch_limit(int64_t end, int64_t context_max) {
    constexpr uint64_t kLimitMin = 128;
    const uint64_t power = std::bit_ceil(std::max(static_cast<uint64_t>(end), kLimitMin));
    return std::min(static_cast<int64_t>(power), context_max);
}

}  // namespace

StepScratch StepScratch::take(Arenas& arenas, const ModelConfig& config, const StepLimits& limits) {
    const int64_t n = limits.chunk_max;
    Arena& arena = arenas.ops;
    StepScratch s;
    s.positions = arena.list<int32_t>(n);
    s.visible = arena.list<int32_t>(n);
    if (arenas.apart) {
        s.row_ids = arena.list<TokenId>(n);
        s.host_rows = arenas.host.rows<Bf16>(n, config.hidden);
        s.logits = arena.rows<float>(std::min(n, kLogitRows), config.vocabulary);
    }
    s.streams = arena.rows<Bf16>(n, kStreams * config.hidden);
    s.z = arena.rows<Bf16>(n, config.hidden);
    s.normed = arena.rows<Bf16>(n, config.hidden);
    s.main_hidden = arena.rows<Bf16>(n, target_columns(config));
    s.block = BlockScratch::take(arenas, config, n, limits.context_max);
    return s;
}

Step::Step(const Checkpoint& checkpoint, const StepOps& ops, ExpertCache& cache,
           const StepLimits& limits)
    : checkpoint_(checkpoint),
      ops_(ops),
      cache_(cache),
      limits_(limits),
      rope_(RopeTables::of(checkpoint.config().rope)) {}

Result<std::unique_ptr<Step>> Step::create(const Checkpoint& checkpoint, const StepOps& ops,
                                           ExpertCache& cache, const StepLimits& limits) {
    ENSURE(ops.experts.on_host());
    std::unique_ptr<Step> step(new Step(checkpoint, ops, cache, limits));
    step->memory_ =
        TRY(ScratchMemory::create(ops.dense, HugePages::kIfGranted, [&](Arenas& arenas) {
            step->scratch_ = StepScratch::take(arenas, checkpoint.config(), limits);
        }));
    if (!ops.dense.on_host()) {
        std::vector<TokenId> ids(step->scratch_.row_ids.size());
        for (size_t i = 0; i < ids.size(); ++i) ids[i].value = static_cast<int32_t>(i);
        const auto bytes = std::as_bytes(std::span(ids));
        TRY(ops.dense.write(step->scratch_.row_ids.data(), bytes.data(), bytes.size()));
    }
    ops.dense.count(step->scratch_.block.moe.all_rows, 0, 1, 1);
    return step;
}

StepBytes Step::scratch_bytes(const ModelConfig& config, const StepLimits& limits, bool apart) {
    Arenas counting{.ops = {}, .host = {}, .apart = apart};
    (void)StepScratch::take(counting, config, limits);
    const uint64_t ops = counting.ops.peak_bytes(), host = counting.host.peak_bytes();
    return apart ? StepBytes{ops, host} : StepBytes{ops + host, 0};
}

Status Step::forward(KvCache& kv, std::span<const TokenId> tokens, int64_t first,
                     LogitsWanted wanted, MatrixView<float> logits) {
    Chunk chunk = chunk_of(tokens, first);
    if (chunk.rows() == 1 && !ops_.dense.on_host() && !wants_rows(observer_)) {
        chunk.recordings = &kv.recordings();
        chunk.recordings->set_limit(chunk.limit);
    }
    // Nothing but recordings is started between two layers.
    const bool leaves_end = chunk.recordings != nullptr;
    const ModelWeights& weights = checkpoint_.weights();
    rows_ = chunk.rows();
    begin_part(observer_, StepPart::kEnds);
    TRY(embed(tokens, streams()));
    hint_hash_layers(tokens);
    for (int32_t i = 0; i < checkpoint_.config().layer_count(); ++i) {
        const LayerId layer{i};
        TRY(go_on(watch_, {i, checkpoint_.config().layer_count()}));
        const BlockEnd before = end_of({i - 1});
        TRY(begin_layer(chunk, layer, weights.layers[static_cast<size_t>(i)],
                        leaves_end && i > 0 ? &before : nullptr, kv.layer(layer), streams()));
        if (leaves_end && i + 1 < checkpoint_.config().layer_count()) continue;
        TRY(end_block(context(), end_of(layer), scratch_.block, observer_, streams()));
    }
    begin_part(observer_, StepPart::kEnds);
    switch (wanted) {
        case LogitsWanted::kNone: break;
        case LogitsWanted::kLast:
            return logits_of(streams().slice_rows(rows_ - 1, 1), weights.final_head, logits);
        case LogitsWanted::kKept:
            keep_logits(streams().slice_rows(rows_ - 1, 1), weights.final_head);
            break;
        case LogitsWanted::kAll: return logits_of(streams(), weights.final_head, logits);
    }
    return {};
}

Status Step::embed(std::span<const TokenId> tokens, MatrixView<Bf16> streams) {
    const LinearWeight& table = checkpoint_.weights().embed;
    Ops& ops = ops_.dense;
    if (ops.on_host()) {
        ops.embed(table, tokens, streams);
        return {};
    }
    // The table stays with the host: its rows are the table that the ops see.
    ENSURE(table.format == WeightFormat::kBf16);
    const size_t count = tokens.size(), row_bytes = static_cast<size_t>(table.cols) * sizeof(Bf16);
    for (size_t i = 0; i < count; ++i) {
        ENSURE(tokens[i].value >= 0 && tokens[i].value < table.rows);
        std::memcpy(scratch_.host_rows.row(static_cast<int64_t>(i)).data(),
                    table.codes + static_cast<size_t>(tokens[i].value) * row_bytes, row_bytes);
    }
    LinearWeight rows = table;
    rows.codes = reinterpret_cast<const std::byte*>(scratch_.normed.data);
    rows.rows = streams.rows;
    TRY(ops.write(scratch_.normed.data, scratch_.host_rows.data, count * row_bytes));
    ops.embed(rows, scratch_.row_ids.first(count), streams);
    return {};
}

Chunk Step::chunk_of(std::span<const TokenId> tokens, int64_t first) {
    ENSURE(!tokens.empty() && static_cast<int64_t>(tokens.size()) <= limits_.chunk_max);
    ENSURE(first >= 0 && first + static_cast<int64_t>(tokens.size()) <= limits_.context_max);
    const auto positions = scratch_.positions.first(tokens.size());
    const auto visible = scratch_.visible.first(tokens.size());
    ops_.dense.count(positions, first, 1, 1);
    ops_.dense.count(visible, first + 1, 1, compress_ratio(LayerKind::kSparse));
    const int64_t end = first + static_cast<int64_t>(tokens.size());
    // One token after another on a GPU: the same launches as long as the power of two is the same.
    const bool fixed = tokens.size() == 1 && !ops_.dense.on_host();
    const int64_t limit = fixed ? launch_limit(end, limits_.context_max) : end;
    return {tokens, first, limit, positions, visible};
}

Status Step::run_layer(const Chunk& chunk, LayerId layer, const BlockWeights& weights, LayerKv& kv,
                       MatrixView<Bf16> streams) {
    TRY(begin_layer(chunk, layer, weights, nullptr, kv, streams));
    return end_block(context(), {layer, {}}, scratch_.block, observer_, streams);
}

Status Step::begin_layer(const Chunk& chunk, LayerId layer, const BlockWeights& weights,
                         const BlockEnd* before, LayerKv& kv, MatrixView<Bf16> streams) {
    Experts experts = this->experts();
    const auto next = static_cast<size_t>(layer.value) + 1;
    const std::vector<BlockWeights>& layers = checkpoint_.weights().layers;
    // Layers that look their experts up are hinted, and drafts have nobody behind them.
    if (next < layers.size() && layers[next].moe.tid2eid.empty()) experts.next = &layers[next].moe;
    return run_block({context(), chunk, layer, weights, experts, scratch_.block, observer_, before},
                     kv, streams);
}

MatrixView<Bf16> Step::reduce_head(MatrixView<const Bf16> streams, const HeadWeights& head) {
    const MatrixView<Bf16> z = scratch_.z.slice_rows(0, streams.rows);
    ops_.dense.hc_head(streams, site_of(head.hc, checkpoint_.config()), z);
    return z;
}

void Step::keep_logits(MatrixView<const Bf16> streams, const HeadWeights& head) {
    ENSURE(!ops_.dense.on_host());
    const MatrixView<Bf16> normed = scratch_.normed.slice_rows(0, 1);
    ops_.dense.rms_norm(reduce_head(streams, head), head.norm, checkpoint_.config().norm_eps,
                        normed);
    ops_.dense.linear_f32(normed, checkpoint_.weights().head, scratch_.logits.slice_rows(0, 1));
}

Status Step::project_head(MatrixView<const Bf16> z, const HeadWeights& head,
                          MatrixView<float> logits) {
    const MatrixView<Bf16> normed = scratch_.normed.slice_rows(0, z.rows);
    ops_.dense.rms_norm(z, head.norm, checkpoint_.config().norm_eps, normed);
    return project(normed, checkpoint_.weights().head, logits);
}

Status Step::project(MatrixView<const Bf16> x, const LinearWeight& weight, MatrixView<float> y) {
    if (ops_.dense.on_host()) {
        ops_.dense.linear_f32(x, weight, y);
        return {};
    }
    for (int64_t first = 0; first < x.rows; first += scratch_.logits.rows) {
        const int64_t rows = std::min(scratch_.logits.rows, x.rows - first);
        const MatrixView<float> some(scratch_.logits.data, rows, weight.rows);
        ops_.dense.linear_f32(x.slice_rows(first, rows), weight, some);
        TRY(on_host(ops_.dense, some, y.slice_rows(first, rows)));
    }
    return {};
}

Status Step::logits_of(MatrixView<const Bf16> streams, const HeadWeights& head,
                       MatrixView<float> logits) {
    return project_head(reduce_head(streams, head), head, logits);
}

BlockEnd Step::end_of(LayerId layer) const {
    const ModelConfig& config = checkpoint_.config();
    const std::vector<int32_t>& targets = config.dspark.target_layers;
    const auto target = std::ranges::find(targets, layer.value);
    if (target == targets.end()) return {layer, {}};
    const int64_t d = config.hidden;
    return {layer,
            {scratch_.main_hidden.data + (target - targets.begin()) * d, rows_, d,
             scratch_.main_hidden.stride}};
}

// The first layer is asked for at once; what later hash layers want can already be on its way.
void Step::hint_hash_layers(std::span<const TokenId> tokens) {
    const ModelWeights& weights = checkpoint_.weights();
    for (size_t i = 1; i < weights.layers.size(); ++i) {
        const MoeWeights& moe = weights.layers[i].moe;
        if (moe.tid2eid.empty()) continue;
        hint_hash_layer(LayerId{static_cast<int32_t>(i)}, moe, tokens,
                        checkpoint_.config().experts_per_token, experts(), scratch_.block.moe);
    }
}

}  // namespace millrace
