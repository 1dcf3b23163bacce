#include "core/engine/compressor.h"

namespace millrace {

CompressorScratch CompressorScratch::take(Arena& ops, int64_t chunk_max) {
    // The widest rows and the most contributors of the two ratios: 4 has the wide rows and the many entries.
    constexpr int64_t kWidest = 2 * 2 * kHeadDim;
    const int64_t entries = chunk_max / 4 + 1;
    CompressorScratch scratch;
    scratch.rows = ops.rows<float>(chunk_max, kWidest);
    scratch.entries = ops.rows<Bf16>(entries, kHeadDim);
    scratch.contributors = ops.list<const float*>(8 * entries + 128);
    scratch.sources = ops.list<PoolSource>(entries);
    scratch.positions = ops.list<int32_t>(entries);
    return scratch;
}

MatrixView<Bf16> compress(const StepContext& context, const Chunk& chunk, MatrixView<const Bf16> x,
                          const CompressorWeights& weights, CompressorState& state,
                          const CompressorScratch& scratch) {
    Ops& ops = context.ops;
    const int ratio = state.ratio;
    const int64_t n = chunk.rows();
    const MatrixView<float> rows(scratch.rows.data, n, state.row_width());
    ops.compressor_rows(x, weights.wkv, weights.wgate, weights.ape, ratio, chunk.positions, rows);

    const auto count =
        static_cast<size_t>(entries_after(chunk.end(), ratio) - entries_after(chunk.first, ratio));
    const std::span<PoolSource> sources = scratch.sources.first(count);
    const std::span<int32_t> positions = scratch.positions.first(count);
    ops.list_contributors({.ring = state.rows.data(),
                           .capacity = state.rows.capacity(),
                           .chunk = rows.data,
                           .first = chunk.positions.data(),
                           .row_width = state.row_width(),
                           .ratio = ratio,
                           .overlap = static_cast<int>(compress_overlap(ratio))},
                          scratch.contributors, sources, positions);
    const MatrixView<Bf16> entries(scratch.entries.data, static_cast<int64_t>(count),
                                   state.entry_width);
    ops.compressor_pool(sources, ratio, entries);
    ops.rms_norm(entries, weights.norm, context.config.norm_eps, entries);
    ops.rope(entries, state.entry_width, positions, context.rope.compressed, Rotation::kForward);
    state.rows.keep(ops, chunk.positions.data(), MatrixView<const float>(rows));
    return entries;
}

}  // namespace millrace
