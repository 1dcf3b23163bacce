#include "core/engine/block.h"

#include "core/engine/step_recordings.h"

namespace millrace {
namespace {

bool completes_entry(const Chunk& chunk, LayerKind kind) {
    const int ratio = compress_ratio(kind);
    return ratio != 0 && entries_after(chunk.end(), ratio) > entries_after(chunk.first, ratio);
}

struct TapPlace {
    Tap what;
    LayerId layer;
};
Status tap_rows(const StepContext& context, StepObserver* observer, const TapPlace& place,
                MatrixView<const Bf16> rows, const BlockScratch& scratch) {
    if (!wants_rows(observer)) return {};
    const MatrixView<Bf16> room(scratch.seen.data, scratch.seen.rows, rows.cols);
    observer->tap(place.what, place.layer, TRY(on_host(context.ops, rows, room)));
    return {};
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

Status run_block(const BlockCall& call, LayerKv& kv, MatrixView<Bf16> streams) {
    const auto& [context, chunk, layer, weights, experts, scratch, observer, before] = call;
    HalfRows rows(scratch, streams.rows);
    rows.x = moe_input(scratch.moe, rows.x);
    MoeHalf moe({context, chunk, layer, weights.moe, rows.x, experts, scratch.moe, observer});
    TRY(moe.prepare());
    const auto to_choice = [&]() -> Status {
        const auto tap = [&](Tap what, MatrixView<const Bf16> seen) {
            return tap_rows(call.context, call.observer, {what, call.layer}, seen, call.scratch);
        };
        if (call.before != nullptr) {
            TRY(end_block(call.context, *call.before, call.scratch, call.observer, streams));
        }
        TRY(run_half(
            call.context, call.weights.hc_attn, call.weights.attn_norm, streams, call.scratch,
            call.observer, [&](MatrixView<Bf16> x, MatrixView<Bf16> y) -> Status {
                TRY(tap(Tap::kAttentionInput, x));
                TRY(attend_chunk(call.context, call.chunk, call.layer, call.weights.attention, x,
                                 kv, call.scratch.attention, call.observer, y));
                return tap(Tap::kAttentionOutput, y);
            }));
        enter_half(call.context, call.weights.hc_ffn, call.weights.ffn_norm, streams, rows,
                   call.observer);
        TRY(tap(Tap::kMoeInput, rows.x));
        return moe.choose();
    };
    const RecordingKey key{layer, RecordedPart::kToChoice, completes_entry(chunk, kv.kind),
                           moe.guesses()};
    // Of what is replayed nothing is said by itself: this is most of it.
    if (chunk.recordings != nullptr) begin_part(observer, StepPart::kProjections);
    TRY(run_part(chunk.recordings, context.ops, key, to_choice));
    return moe.compute();
}

Status end_block(const StepContext& context, const BlockEnd& end, const BlockScratch& scratch,
                 StepObserver* observer, MatrixView<Bf16> streams) {
    const HalfRows rows(scratch, streams.rows);
    begin_part(observer, StepPart::kExperts);
    MoeHalf::sum(context, scratch.moe, rows.y);
    TRY(tap_rows(context, observer, {Tap::kMoeOutput, end.layer}, rows.y, scratch));
    leave_half(context, streams, rows, observer);
    if (end.mean.rows > 0) context.ops.stream_mean(streams, end.mean);
    return tap_rows(context, observer, {Tap::kBlockOutput, end.layer}, streams, scratch);
}

}  // namespace millrace
