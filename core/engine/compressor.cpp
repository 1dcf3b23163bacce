#include "core/engine/compressor.h"

namespace millrace {

CompressorScratch CompressorScratch::take(Arena& arena, int64_t chunk_max) {
    // The widest rows and the most contributors of the two ratios: 4 has the wide rows and the many entries.
    constexpr int64_t kWidest = 2 * 2 * kHeadDim;
    const int64_t entries = chunk_max / 4 + 1;
    CompressorScratch scratch;
    scratch.rows = arena.rows<float>(chunk_max, kWidest);
    scratch.entries = arena.rows<Bf16>(entries, kHeadDim);
    scratch.contributors = arena.list<const float*>(8 * entries + 128);
    scratch.sources = arena.list<PoolSource>(entries);
    scratch.positions = arena.list<int32_t>(entries);
    return scratch;
}

MatrixView<Bf16> compress(const StepContext& context, const Chunk& chunk, MatrixView<const Bf16> x,
                          const CompressorWeights& weights, CompressorState& state,
                          const CompressorScratch& scratch) {
    const int ratio = state.ratio;
    const int64_t n = chunk.rows();
    const MatrixView<float> rows(scratch.rows.data, n, state.row_width());
    context.ops.compressor_rows(x, weights.wkv, weights.wgate, weights.ape, ratio, chunk.positions,
                                rows);

    // A contributor is in this chunk, in the ring, or before the first token (overlap of entry 0).
    const auto row_at = [&](int64_t position) -> const float* {
        if (position < 0) return nullptr;
        if (position >= chunk.first()) return rows.row(position - chunk.first()).data();
        return state.rows.at(position);
    };
    const int64_t first = entries_after(chunk.first(), ratio);
    const int64_t count = entries_after(chunk.end(), ratio) - first;
    const int64_t per_entry = int64_t{compress_overlap(ratio)} * ratio;
    for (int64_t e = 0; e < count; ++e) {
        const int64_t end = (first + e + 1) * ratio;
        const float** contributors = &scratch.contributors[static_cast<size_t>(e * per_entry)];
        for (int64_t i = 0; i < per_entry; ++i) contributors[i] = row_at(end - per_entry + i);
        scratch.sources[static_cast<size_t>(e)] = {contributors};
        scratch.positions[static_cast<size_t>(e)] = static_cast<int32_t>(end - ratio);
    }
    const MatrixView<Bf16> entries(scratch.entries.data, count, state.entry_width);
    const auto entry_count = static_cast<size_t>(count);
    context.ops.compressor_pool(scratch.sources.first(entry_count), ratio, entries);
    context.ops.rms_norm(entries, weights.norm, context.config.norm_eps, entries);
    context.ops.rope(entries, state.entry_width, scratch.positions.first(entry_count),
                     context.rope.compressed, Rotation::kForward);
    state.rows.keep(chunk.first(), rows);
    return entries;
}

}  // namespace millrace
