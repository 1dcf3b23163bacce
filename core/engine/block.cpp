#include "core/engine/block.h"

namespace millrace {

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

Status run_block(const StepContext& context, const Chunk& chunk, LayerId layer,
                 const BlockWeights& weights, const Experts& experts, const BlockScratch& scratch,
                 StepObserver* observer, LayerKv& kv, MatrixView<Bf16> streams) {
    const auto tap = [&](Tap what, MatrixView<const Bf16> rows) -> Status {
        if (!wants_rows(observer)) return {};
        const MatrixView<Bf16> room(scratch.seen.data, scratch.seen.rows, rows.cols);
        observer->tap(what, layer, TRY(on_host(context.ops, rows, room)));
        return {};
    };
    TRY(run_half(context, weights.hc_attn, weights.attn_norm, streams, scratch, observer,
                 [&](MatrixView<Bf16> x, MatrixView<Bf16> y) -> Status {
                     TRY(tap(Tap::kAttentionInput, x));
                     TRY(attend_chunk(context, chunk, layer, weights.attention, x, kv,
                                      scratch.attention, observer, y));
                     return tap(Tap::kAttentionOutput, y);
                 }));
    TRY(run_half(context, weights.hc_ffn, weights.ffn_norm, streams, scratch, observer,
                 [&](MatrixView<Bf16> x, MatrixView<Bf16> y) -> Status {
                     TRY(tap(Tap::kMoeInput, x));
                     TRY(run_moe(context, chunk, layer, weights.moe, x, experts, scratch.moe,
                                 observer, y));
                     return tap(Tap::kMoeOutput, y);
                 }));
    return tap(Tap::kBlockOutput, streams);
}

}  // namespace millrace
