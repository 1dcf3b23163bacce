#pragma once
// One block: streams → attention → streams → experts → streams, each half between a reduce and an expand of the
// hyper-connections (spec §4, §4.2).

#include "core/engine/attention.h"
#include "core/engine/moe.h"

namespace millrace {

struct BlockScratch {
    MatrixView<Bf16> x;      // [n, d] the half's input
    MatrixView<Bf16> y;      // [n, d] its output
    MatrixView<float> post;  // [n, 4]
    MatrixView<float> comb;  // [n, 16]
    MatrixView<Bf16> seen;   // [n, 4d], what observers see of rows on a GPU
    AttentionScratch attention;
    MoeScratch moe;

    [[nodiscard]] static BlockScratch take(Arenas& arenas, const ModelConfig& config,
                                           int64_t chunk_max, int64_t context_max);
};

[[nodiscard]] HyperConnectionSite site_of(const HyperConnectionWeights& weights,
                                          const ModelConfig& config);

// Reduce, norm, `half(x, y)`, expand. `half` is a callable Status(x, y). `observer` may be null.
template <class Half>
[[nodiscard]] Status run_half(const StepContext& context, const HyperConnectionWeights& site,
                              std::span<const Bf16> norm, MatrixView<Bf16> streams,
                              const BlockScratch& scratch, StepObserver* observer,
                              const Half& half) {
    const int64_t n = streams.rows;
    const MatrixView<Bf16> x = scratch.x.slice_rows(0, n);
    const MatrixView<Bf16> y = scratch.y.slice_rows(0, n);
    const MatrixView<float> post = scratch.post.slice_rows(0, n);
    const MatrixView<float> comb = scratch.comb.slice_rows(0, n);
    begin_part(observer, StepPart::kHyperConnections);
    context.ops.hc_reduce(streams, site_of(site, context.config), x, post, comb);
    context.ops.rms_norm(x, norm, context.config.norm_eps, x);
    TRY(half(x, y));
    begin_part(observer, StepPart::kHyperConnections);
    context.ops.hc_expand(y, post, comb, streams);
    return {};
}

// Carries the chunk's streams [n, 4d] through one block, in place, and its KV forward.
[[nodiscard]] Status run_block(const StepContext& context, const Chunk& chunk, LayerId layer,
                               const BlockWeights& weights, const Experts& experts,
                               const BlockScratch& scratch, StepObserver* observer, LayerKv& kv,
                               MatrixView<Bf16> streams);

}  // namespace millrace
