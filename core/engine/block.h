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

// What a half of `n` rows works on.
struct HalfRows {
    HalfRows(const BlockScratch& scratch, int64_t n)
        : x(scratch.x.slice_rows(0, n)),
          y(scratch.y.slice_rows(0, n)),
          post(scratch.post.slice_rows(0, n)),
          comb(scratch.comb.slice_rows(0, n)) {}
    MatrixView<Bf16> x, y;
    MatrixView<float> post, comb;
};
// Reduce and norm; and, behind a half, expand. `observer` may be null.
void enter_half(const StepContext& context, const HyperConnectionWeights& site,
                std::span<const Bf16> norm, MatrixView<Bf16> streams, const HalfRows& rows,
                StepObserver* observer);
void leave_half(const StepContext& context, MatrixView<Bf16> streams, const HalfRows& rows,
                StepObserver* observer);

// Both, and `half(x, y)` between them, a callable Status(x, y).
template <class Half>
[[nodiscard]] Status run_half(const StepContext& context, const HyperConnectionWeights& site,
                              std::span<const Bf16> norm, MatrixView<Bf16> streams,
                              const BlockScratch& scratch, StepObserver* observer,
                              const Half& half) {
    const HalfRows rows(scratch, streams.rows);
    enter_half(context, site, norm, streams, rows, observer);
    TRY(half(rows.x, rows.y));
    leave_half(context, streams, rows, observer);
    return {};
}

// The end of a block: the experts' sum, expand, and the streams' mean where somebody wants it. It may be left to the next
// one, to be recorded with what comes first there.
struct BlockEnd {
    LayerId layer;
    MatrixView<Bf16> mean;  // [n, d], or none
};

struct BlockCall {
    const StepContext& context;
    const Chunk& chunk;
    LayerId layer;
    const BlockWeights& weights;
    const Experts& experts;
    const BlockScratch& scratch;
    StepObserver* observer = nullptr;
    const BlockEnd* before =
        nullptr;  // what the block before has left to this one, always the same of a layer
};

// Carries the chunk's streams [n, 4d] through one block, in place, and its KV forward, but for the block's end.
[[nodiscard]] Status run_block(const BlockCall& call, LayerKv& kv, MatrixView<Bf16> streams);
[[nodiscard]] Status end_block(const StepContext& context, const BlockEnd& end,
                               const BlockScratch& scratch, StepObserver* observer,
                               MatrixView<Bf16> streams);

}  // namespace millrace
