#include "core/engine/attention.h"

#include <algorithm>

namespace millrace {
namespace {

// Spec §4.6: needs scratch.latent and latent8 (the query latent and what it quantises to) and x, the layer's normed input.
MatrixView<int32_t> pick_entries(const StepContext& context, const Chunk& chunk,
                                 const IndexerWeights& weights, MatrixView<const Bf16> x,
                                 LayerKv& kv, const AttentionScratch& scratch) {
    Ops& ops = context.ops;
    const int64_t n = chunk.rows();
    const MatrixView<Bf16> keys =
        compress(context, chunk, x, weights.compressor, kv.index_compressor, scratch.compressor);
    const auto entries = scratch.index_entry_rows.first(static_cast<size_t>(keys.rows));
    ops.pack_index(keys, entries);
    kv.keep_index_entries(ops, entries, chunk.positions.data());

    const MatrixView<Bf16> q = scratch.index_q.slice_rows(0, n);
    ops.linear({scratch.latent.slice_rows(0, n), first_rows(scratch.latent8, n)}, weights.wq_b, q);
    ops.rope(q, kIndexDim, chunk.positions, context.rope.compressed, Rotation::kForward);
    const auto q_rows =
        scratch.index_rows.first(static_cast<size_t>(n * context.config.index_heads));
    ops.pack_index(q, q_rows);

    const MatrixView<Bf16> head_weights = scratch.index_weights.slice_rows(0, n);
    ops.linear_bf16(x, weights.weights_proj, 1, head_weights);
    ops.index_weights(head_weights);

    const int64_t count = entries_after(chunk.limit, kv.index_compressor.ratio);
    const MatrixView<int32_t> picks = scratch.picks.slice_rows(0, n);
    ops.index_topk(q_rows, head_weights, {kv.index_entry(0), static_cast<size_t>(count)},
                   chunk.visible, picks);
    return picks;
}

}  // namespace

AttentionScratch AttentionScratch::take(Arenas& arenas, const ModelConfig& config,
                                        int64_t chunk_max, int64_t context_max) {
    Arena& arena = arenas.ops;
    const int64_t n = chunk_max;
    const int64_t q_cols = int64_t{config.heads} * kHeadDim;
    const int64_t o_cols = config.o_groups * config.o_rank;
    AttentionScratch s;
    s.x8 = take_fp8(arena, n, config.hidden);
    s.latent8 = take_fp8(arena, n, config.q_rank);
    s.out8 = take_fp8(arena, n, o_cols);
    s.latent = arena.rows<Bf16>(n, config.q_rank);
    s.q = arena.rows<Bf16>(n, q_cols);
    s.attended = arena.rows<Bf16>(n, q_cols);
    s.grouped = arena.rows<Bf16>(n, o_cols);
    s.kv = arena.rows<Bf16>(n, kHeadDim);
    s.rows = arena.list<KvRow>(n);
    s.compressor = CompressorScratch::take(arena, n);
    s.entry_rows = arena.list<KvRow>(s.compressor.entries.rows);
    s.index_entry_rows = arena.list<IndexRow>(s.compressor.entries.rows);
    s.index_q = arena.rows<Bf16>(n, int64_t{config.index_heads} * kIndexDim);
    s.index_rows = arena.list<IndexRow>(n * config.index_heads);
    s.index_weights = arena.rows<Bf16>(n, config.index_heads);
    s.picks = arena.rows<int32_t>(n, config.index_topk);
    s.key_rows = arena.list<const KvRow*>(config.window + n +
                                          std::max(n * config.index_topk, context_max / 128 + 1));
    s.keys = arena.list<KeyList>(n);
    s.host_picks = arenas.copy_rows<int32_t>(n, config.index_topk);
    return s;
}

void project_q(const StepContext& context, const AttentionWeights& weights,
               MatrixView<const Bf16> x, std::span<const int32_t> positions, const RopeTable& rope,
               const AttentionScratch& scratch) {
    Ops& ops = context.ops;
    const int64_t n = x.rows;
    const float eps = context.config.norm_eps;
    const Fp8Rows x8 = first_rows(scratch.x8, n);
    ops.quantise(x, x8);
    const MatrixView<Bf16> latent = scratch.latent.slice_rows(0, n);
    ops.linear({x, x8}, weights.wq_a, latent);
    const Fp8Rows latent8 = first_rows(scratch.latent8, n);
    ops.norm_quantise(latent, weights.q_norm, eps, latent, latent8);
    const MatrixView<Bf16> q = scratch.q.slice_rows(0, n);
    ops.linear({latent, latent8}, weights.wq_b, q);
    ops.head_norm(q, eps);
    ops.rope(q, kHeadDim, positions, rope, Rotation::kForward);
}

void project_kv(const StepContext& context, const AttentionWeights& weights, const LinearInput& x,
                std::span<const int32_t> positions, const RopeTable& rope,
                const AttentionScratch& scratch, std::span<KvRow> rows) {
    const MatrixView<Bf16> kv = scratch.kv.slice_rows(0, x.rows.rows);
    context.ops.linear(x, weights.wkv, kv);
    context.ops.rms_norm(kv, weights.kv_norm, context.config.norm_eps, kv);
    context.ops.rope(kv, kHeadDim, positions, rope, Rotation::kForward);
    context.ops.pack_kv(kv, rows);
}

void attend_and_project(const StepContext& context, const AttentionWeights& weights,
                        std::span<const int32_t> positions, const RopeTable& rope,
                        const KeyLists& keys, const AttentionScratch& scratch,
                        StepObserver* observer, MatrixView<Bf16> y) {
    Ops& ops = context.ops;
    const int64_t n = y.rows;
    const MatrixView<Bf16> attended = scratch.attended.slice_rows(0, n);
    begin_part(observer, StepPart::kAttend);
    ops.attend(scratch.q.slice_rows(0, n), keys, weights.sink, attended);
    begin_part(observer, StepPart::kProjections);
    // Values carry their absolute rotation; turning back at the query's position makes it relative.
    ops.rope(attended, kHeadDim, positions, rope, Rotation::kInverse);
    const MatrixView<Bf16> grouped = scratch.grouped.slice_rows(0, n);
    ops.linear_bf16(attended, weights.wo_a, context.config.o_groups, grouped);
    const Fp8Rows grouped8 = first_rows(scratch.out8, n);
    ops.quantise(grouped, grouped8);
    ops.linear({grouped, grouped8}, weights.wo_b, y);
}

Status attend_chunk(const StepContext& context, const Chunk& chunk, LayerId layer,
                    const AttentionWeights& weights, MatrixView<const Bf16> x, LayerKv& kv,
                    const AttentionScratch& scratch, StepObserver* observer, MatrixView<Bf16> y) {
    Ops& ops = context.ops;
    const RopeTable& rope = context.rope.of(kv.kind);
    const auto n = static_cast<size_t>(chunk.rows());
    begin_part(observer, StepPart::kProjections);
    project_q(context, weights, x, chunk.positions, rope, scratch);
    project_kv(context, weights, {x, first_rows(scratch.x8, x.rows)}, chunk.positions, rope,
               scratch, scratch.rows.first(n));

    KeySources sources = {.ring = kv.window.data(),
                          .capacity = kv.window.capacity(),
                          .chunk = scratch.rows.data(),
                          .first = chunk.positions.data(),
                          .limit = chunk.limit,
                          .window = context.config.window,
                          .whole_chunk = false,
                          .entries = {},
                          .picks = {},
                          .ratio = 0};
    if (kv.kind != LayerKind::kWindow) {
        begin_part(observer, StepPart::kCompressor);
        const MatrixView<Bf16> entries =
            compress(context, chunk, x, *weights.compressor, kv.compressor, scratch.compressor);
        const auto rows = scratch.entry_rows.first(static_cast<size_t>(entries.rows));
        ops.pack_kv(entries, rows);
        kv.keep_entries(ops, rows, chunk.positions.data());
        sources.entries = kv.entry(0);
        sources.ratio = kv.compressor.ratio;
    }
    if (kv.kind == LayerKind::kSparse) {
        begin_part(observer, StepPart::kIndexer);
        const auto picks = pick_entries(context, chunk, *weights.indexer, x, kv, scratch);
        if (wants_rows(observer)) {
            observer->picked(layer, TRY(on_host(ops, picks, scratch.host_picks)));
        }
        sources.picks = picks;
    }
    begin_part(observer, StepPart::kAttend);
    const KeyLists keys = ops.list_keys(sources, scratch.key_rows, scratch.keys.first(n));
    attend_and_project(context, weights, chunk.positions, rope, keys, scratch, observer, y);
    kv.window.keep(ops, chunk.positions.data(),
                   MatrixView<const KvRow>(scratch.rows.data(), x.rows, 1));
    return {};
}

}  // namespace millrace
