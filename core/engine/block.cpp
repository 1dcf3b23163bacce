#include "core/engine/block.h"

#include "core/engine/step_recordings.h"

namespace millrace {
namespace {

bool completes_entry(const Chunk& chunk, LayerKind kind) {
    const int ratio = compress_ratio(kind);
    return ratio != 0 && entries_after(chunk.end(), ratio) > entries_after(chunk.first, ratio);
}

}  // namespace

BlockScratch BlockScratch::take(Arenas& arenas, const ModelConfig& config, int64_t chunk_max,
                                int64_t context_max) {
    Arena& arena = arenas.ops;
    BlockScratch s;
    s.x = arena.rows<Bf16>(chunk_max, config.hidden);
    s.y = arena.rows<Bf16>(chunk_max, config.hidden);
    s.post = arena.rows<float>(chunk_max, kStreams);
    s.comb = arena.rows<float>(chunk_max, int64_t{kStreams} * kStreams);
    s.seen = arenas.copy_rows<Bf16>(chunk_max, kStreams * config.hidden);
    s.moe = MoeScratch::take(arenas, config, chunk_max);
    s.attention = AttentionScratch::take(arenas, config, chunk_max, context_max);
    return s;
}

HyperConnectionSite site_of(const HyperConnectionWeights& weights, const ModelConfig& config) {
    return {.fn = weights.fn,
            .base = weights.base,
            .scale = weights.scale,
            .norm_eps = config.norm_eps,
            .eps = config.hc_eps,
            .rounds = config.sinkhorn_rounds};
}

void enter_half(const StepContext& context, const HyperConnectionWeights& site,
                std::span<const Bf16> norm, MatrixView<Bf16> streams, const HalfRows& rows,
                StepObserver* observer) {
    begin_part(observer, StepPart::kHyperConnections);
    context.ops.hc_reduce(streams, site_of(site, context.config), rows.x, rows.post, rows.comb);
    context.ops.rms_norm(rows.x, norm, context.config.norm_eps, rows.x);
}

void leave_half(const StepContext& context, MatrixView<Bf16> streams, const HalfRows& rows,
                StepObserver* observer) {
    begin_part(observer, StepPart::kHyperConnections);
    context.ops.hc_expand(rows.y, rows.post, rows.comb, streams);
}

Status run_block(const StepContext& context, const Chunk& chunk, LayerId layer,
                 const BlockWeights& weights, const Experts& experts, const BlockScratch& scratch,
                 StepObserver* observer, LayerKv& kv, MatrixView<Bf16> streams) {
    const auto tap = [&](Tap what, MatrixView<const Bf16> rows) -> Status {
        if (!wants_rows(observer)) return {};
        const MatrixView<Bf16> room(scratch.seen.data, scratch.seen.rows, rows.cols);
        observer->tap(what, layer, TRY(on_host(context.ops, rows, room)));
        return {};
    };
    const HalfRows moe(scratch, streams.rows);
    const auto to_experts = [&]() -> Status {
        TRY(run_half(context, weights.hc_attn, weights.attn_norm, streams, scratch, observer,
                     [&](MatrixView<Bf16> x, MatrixView<Bf16> y) -> Status {
                         TRY(tap(Tap::kAttentionInput, x));
                         TRY(attend_chunk(context, chunk, layer, weights.attention, x, kv,
                                          scratch.attention, observer, y));
                         return tap(Tap::kAttentionOutput, y);
                     }));
        enter_half(context, weights.hc_ffn, weights.ffn_norm, streams, moe, observer);
        return {};
    };
    const RecordingKey key{layer, RecordedPart::kToExperts, completes_entry(chunk, kv.kind)};
    // Of what is replayed nothing is said by itself.
    if (chunk.recordings != nullptr) begin_part(observer, StepPart::kHyperConnections);
    TRY(run_part(chunk.recordings, context.ops, key, to_experts));
    TRY(tap(Tap::kMoeInput, moe.x));
    TRY(run_moe(context, chunk, layer, weights.moe, moe.x, experts, scratch.moe, observer, moe.y));
    TRY(tap(Tap::kMoeOutput, moe.y));
    leave_half(context, streams, moe, observer);
    return tap(Tap::kBlockOutput, streams);
}

}  // namespace millrace
