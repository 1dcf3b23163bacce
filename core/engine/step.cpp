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

StepScratch StepScratch::take(Arenas& arenas, const ModelConfig& config, const StepLimits& limits,
                              const StageEnds& ends) {
    const int64_t n = limits.chunk_max;
    Arena& arena = arenas.ops;
    StepScratch s;
    s.positions = arena.list<int32_t>(n);
    s.visible = arena.list<int32_t>(n);
    if (arenas.apart && (ends.first || ends.last)) {
        s.row_ids = arena.list<TokenId>(n);
        s.host_rows = arenas.host.rows<Bf16>(n, config.hidden);
    }
    if (arenas.apart && ends.last)
        s.logits = arena.rows<float>(std::min(n, kLogitRows), config.vocabulary);
    s.streams = arena.rows<Bf16>(n, kStreams * config.hidden);
    if (ends.last) s.z = arena.rows<Bf16>(n, config.hidden);
    if (ends.first || ends.last) s.normed = arena.rows<Bf16>(n, config.hidden);
    s.main_hidden = arena.rows<Bf16>(n, target_columns(config));
    s.block = BlockScratch::take(arenas, config, n, limits.context_max);
    if (!ends.last) {
        s.moving_streams = arenas.copy_rows<Bf16>(n, s.streams.cols);
        s.moving_hidden = arenas.copy_rows<Bf16>(n, s.main_hidden.cols);
    }
    return s;
}

Step::Step(const Checkpoint& checkpoint, Ops& expert_ops, ExpertCache& cache,
           const StepLimits& limits)
    : checkpoint_(checkpoint),
      expert_ops_(expert_ops),
      cache_(cache),
      limits_(limits),
      rope_(RopeTables::of(checkpoint.config().rope)) {}

Result<std::unique_ptr<Step>> Step::create(const Checkpoint& checkpoint, const StepOps& ops,
                                           ExpertCache& cache, const StepLimits& limits) {
    ENSURE(ops.experts.on_host() && !ops.stages.empty());
    std::unique_ptr<Step> step(new Step(checkpoint, ops.experts, cache, limits));
    for (size_t i = 0; i < ops.stages.size(); ++i)
        TRY(step->add_stage(ops.stages[i], {i == 0, i + 1 == ops.stages.size()}));
    ENSURE(step->stages_.back().end == checkpoint.config().layer_count());
    return step;
}

Status Step::add_stage(const StepStage& by, const StageEnds& ends) {
    // Streams move between memories that are not the host's.
    ENSURE((ends.first && ends.last) || !by.ops->on_host());
    const int32_t first = stages_.empty() ? 0 : stages_.back().end;
    Stage stage{.ops = *by.ops,
                .tier = by.tier,
                .first = first,
                .end = first + by.layers,
                .memory = {},
                .scratch = {}};
    stage.memory = TRY(ScratchMemory::create(*by.ops, HugePages::kIfGranted, [&](Arenas& arenas) {
        stage.scratch = StepScratch::take(arenas, checkpoint_.config(), limits_, ends);
    }));
    if (!stage.scratch.row_ids.empty()) {
        std::vector<TokenId> ids(stage.scratch.row_ids.size());
        for (size_t i = 0; i < ids.size(); ++i) ids[i].value = static_cast<int32_t>(i);
        const auto bytes = std::as_bytes(std::span(ids));
        TRY(by.ops->write(stage.scratch.row_ids.data(), bytes.data(), bytes.size()));
    }
    by.ops->count(stage.scratch.block.moe.all_rows, 0, 1, 1);
    stages_.push_back(std::move(stage));
    return {};
}

StepBytes Step::scratch_bytes(const ModelConfig& config, const StepLimits& limits, bool apart,
                              const StageEnds& ends) {
    Arenas counting{.ops = {}, .host = {}, .apart = apart};
    (void)StepScratch::take(counting, config, limits, ends);
    const uint64_t ops = counting.ops.peak_bytes(), host = counting.host.peak_bytes();
    return apart ? StepBytes{ops, host} : StepBytes{ops + host, 0};
}

Status Step::forward(KvCache& kv, std::span<const TokenId> tokens, int64_t first,
                     LogitsWanted wanted, MatrixView<float> logits) {
    const Chunk chunk = chunk_of(stages_.front(), tokens, first);
    rows_ = chunk.rows();
    begin_part(observer_, StepPart::kEnds);
    TRY(embed(stages_.front(), tokens, streams_of(stages_.front())));
    hint_hash_layers(tokens);
    TRY(run_stage(stages_.front(), chunk, kv));
    for (size_t i = 1; i < stages_.size(); ++i) {
        TRY(move_on(stages_[i - 1], stages_[i]));
        TRY(run_stage(stages_[i], chunk_of(stages_[i], tokens, first), kv));
    }
    begin_part(observer_, StepPart::kEnds);
    switch (wanted) {
        case LogitsWanted::kNone: break;
        case LogitsWanted::kLast:
            return logits_of(streams().slice_rows(rows_ - 1, 1), checkpoint_.weights().final_head,
                             logits);
        case LogitsWanted::kKept:
            keep_logits(streams().slice_rows(rows_ - 1, 1), checkpoint_.weights().final_head);
            break;
        case LogitsWanted::kAll:
            return logits_of(streams(), checkpoint_.weights().final_head, logits);
    }
    return {};
}

Status Step::run_stage(const Stage& stage, Chunk chunk, KvCache& kv) {
    TRY(make_way(stage));
    if (chunk.rows() == 1 && !stage.ops.on_host() && !wants_rows(observer_)) {
        chunk.recordings = &kv.recordings();
        chunk.recordings->set_limit(chunk.limit);
    }
    // Nothing but recordings is started between two layers.
    const bool leaves_end = chunk.recordings != nullptr;
    const MatrixView<Bf16> streams = streams_of(stage);
    for (int32_t i = stage.first; i < stage.end; ++i) {
        const LayerId layer{i};
        TRY(go_on(watch_, {i, checkpoint_.config().layer_count()}));
        const BlockEnd before = end_of(stage, {i - 1});
        TRY(begin_layer(stage, chunk, layer, checkpoint_.weights().layers[static_cast<size_t>(i)],
                        leaves_end && i > stage.first ? &before : nullptr, kv.layer(layer),
                        streams));
        if (leaves_end && i + 1 < stage.end) continue;
        TRY(end_block(context_of(stage), end_of(stage, layer), stage.scratch.block, observer_,
                      streams));
    }
    return {};
}

Status Step::embed(const Stage& stage, std::span<const TokenId> tokens, MatrixView<Bf16> streams) {
    const LinearWeight& table = checkpoint_.weights().embed;
    Ops& ops = stage.ops;
    const StepScratch& scratch = stage.scratch;
    if (ops.on_host()) {
        ops.embed(table, tokens, streams);
        return {};
    }
    // The table stays with the host: its rows are the table that the ops see.
    ENSURE(table.format == WeightFormat::kBf16);
    const size_t count = tokens.size(), row_bytes = static_cast<size_t>(table.cols) * sizeof(Bf16);
    for (size_t i = 0; i < count; ++i) {
        ENSURE(tokens[i].value >= 0 && tokens[i].value < table.rows);
        std::memcpy(scratch.host_rows.row(static_cast<int64_t>(i)).data(),
                    table.codes + static_cast<size_t>(tokens[i].value) * row_bytes, row_bytes);
    }
    LinearWeight rows = table;
    rows.codes = reinterpret_cast<const std::byte*>(scratch.normed.data);
    rows.rows = streams.rows;
    TRY(ops.write(scratch.normed.data, scratch.host_rows.data, count * row_bytes));
    ops.embed(rows, scratch.row_ids.first(count), streams);
    return {};
}

Status Step::make_way(const Stage& stage) {
    for (const Stage& other : stages_) {
        if (&other != &stage && other.tier != nullptr)
            TRY(other.tier->stand_aside(cache_.max_batch()));
    }
    return {};
}

Status Step::move_on(const Stage& from, const Stage& to) {
    begin_part(observer_, StepPart::kEnds);
    const std::vector<int32_t>& targets = checkpoint_.config().dspark.target_layers;
    const bool hidden = std::ranges::any_of(targets, [&](int32_t i) { return i < from.end; });
    const StepScratch& scratch = from.scratch;
    // One wait for both. From pinned memory writes go on while the next stage is told its work; they have ended before
    // the next token's streams come here, since that stage was waited for.
    HostReads reads(from.ops);
    const MatrixView<Bf16> streams = reads.add(streams_of(from), scratch.moving_streams);
    MatrixView<Bf16> main_hidden;
    if (hidden) {
        main_hidden = reads.add(scratch.main_hidden.slice_rows(0, rows_), scratch.moving_hidden);
    }
    TRY(reads.begin());
    TRY(reads.end());
    const auto write = [&](MatrixView<Bf16> out, MatrixView<const Bf16> rows) {
        return to.ops.write(out.data, rows.data,
                            static_cast<size_t>(rows.rows * rows.cols) * sizeof(Bf16));
    };
    TRY(write(streams_of(to), streams));
    return hidden ? write(to.scratch.main_hidden, main_hidden) : Status();
}

Chunk Step::chunk_of(const Stage& stage, std::span<const TokenId> tokens, int64_t first) {
    ENSURE(!tokens.empty() && static_cast<int64_t>(tokens.size()) <= limits_.chunk_max);
    ENSURE(first >= 0 && first + static_cast<int64_t>(tokens.size()) <= limits_.context_max);
    const auto positions = stage.scratch.positions.first(tokens.size());
    const auto visible = stage.scratch.visible.first(tokens.size());
    stage.ops.count(positions, first, 1, 1);
    stage.ops.count(visible, first + 1, 1, compress_ratio(LayerKind::kSparse));
    const int64_t end = first + static_cast<int64_t>(tokens.size());
    // One token after another on a GPU: the same launches as long as the power of two is the same.
    const bool fixed = tokens.size() == 1 && !stage.ops.on_host();
    const int64_t limit = fixed ? launch_limit(end, limits_.context_max) : end;
    return {tokens, first, limit, positions, visible};
}

Status Step::run_layer(const Stage& stage, const Chunk& chunk, LayerId layer,
                       const BlockWeights& weights, LayerKv& kv, MatrixView<Bf16> streams) {
    TRY(begin_layer(stage, chunk, layer, weights, nullptr, kv, streams));
    return end_block(context_of(stage), {layer, {}}, stage.scratch.block, observer_, streams);
}

Status Step::begin_layer(const Stage& stage, const Chunk& chunk, LayerId layer,
                         const BlockWeights& weights, const BlockEnd* before, LayerKv& kv,
                         MatrixView<Bf16> streams) {
    Experts experts = experts_of(stage);
    const int32_t next = layer.value + 1;
    // Layers that look their experts up are hinted, those of the next stage have their router elsewhere, and drafts have
    // nobody behind them.
    if (next < stage.end) {
        const MoeWeights& moe = checkpoint_.weights().layers[static_cast<size_t>(next)].moe;
        if (moe.tid2eid.empty()) experts.next = &moe;
    }
    return run_block(
        {context_of(stage), chunk, layer, weights, experts, stage.scratch.block, observer_, before},
        kv, streams);
}

MatrixView<Bf16> Step::reduce_head(MatrixView<const Bf16> streams, const HeadWeights& head) {
    const MatrixView<Bf16> z = stages_.back().scratch.z.slice_rows(0, streams.rows);
    stages_.back().ops.hc_head(streams, site_of(head.hc, checkpoint_.config()), z);
    return z;
}

void Step::keep_logits(MatrixView<const Bf16> streams, const HeadWeights& head) {
    ENSURE(!stages_.back().ops.on_host());
    const MatrixView<Bf16> normed = stages_.back().scratch.normed.slice_rows(0, 1);
    stages_.back().ops.rms_norm(reduce_head(streams, head), head.norm,
                                checkpoint_.config().norm_eps, normed);
    stages_.back().ops.linear_f32(normed, checkpoint_.weights().head,
                                  stages_.back().scratch.logits.slice_rows(0, 1));
}

Status Step::project_head(MatrixView<const Bf16> z, const HeadWeights& head,
                          MatrixView<float> logits) {
    const MatrixView<Bf16> normed = stages_.back().scratch.normed.slice_rows(0, z.rows);
    stages_.back().ops.rms_norm(z, head.norm, checkpoint_.config().norm_eps, normed);
    return project(normed, checkpoint_.weights().head, logits);
}

Status Step::project(MatrixView<const Bf16> x, const LinearWeight& weight, MatrixView<float> y) {
    Ops& ops = stages_.back().ops;
    if (ops.on_host()) {
        ops.linear_f32(x, weight, y);
        return {};
    }
    const MatrixView<float> room = stages_.back().scratch.logits;
    for (int64_t first = 0; first < x.rows; first += room.rows) {
        const int64_t rows = std::min(room.rows, x.rows - first);
        const MatrixView<float> some(room.data, rows, weight.rows);
        ops.linear_f32(x.slice_rows(first, rows), weight, some);
        TRY(on_host(ops, some, y.slice_rows(first, rows)));
    }
    return {};
}

Status Step::logits_of(MatrixView<const Bf16> streams, const HeadWeights& head,
                       MatrixView<float> logits) {
    return project_head(reduce_head(streams, head), head, logits);
}

BlockEnd Step::end_of(const Stage& stage, LayerId layer) const {
    const ModelConfig& config = checkpoint_.config();
    const std::vector<int32_t>& targets = config.dspark.target_layers;
    const auto target = std::ranges::find(targets, layer.value);
    if (target == targets.end()) return {layer, {}};
    const int64_t d = config.hidden;
    const MatrixView<Bf16>& hidden = stage.scratch.main_hidden;
    return {layer, {hidden.data + (target - targets.begin()) * d, rows_, d, hidden.stride}};
}

// The first layer is asked for at once; what later hash layers want can already be on its way.
void Step::hint_hash_layers(std::span<const TokenId> tokens) {
    const ModelConfig& config = checkpoint_.config();
    for (const Stage& stage : stages_) {
        for (int32_t i = std::max(stage.first, 1); i < stage.end; ++i) {
            const MoeWeights& moe = checkpoint_.weights().layers[static_cast<size_t>(i)].moe;
            if (moe.tid2eid.empty()) continue;
            hint_hash_layer(LayerId{i}, moe, tokens, config.experts_per_token, experts_of(stage),
                            stage.scratch.block.moe);
        }
    }
}

}  // namespace millrace
