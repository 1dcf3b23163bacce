#pragma once
// The attention half of a block (spec §4.3–4.8): projections, KV rows, compressed entries, picks, attention, output.

#include "core/engine/chunk.h"
#include "core/engine/compressor.h"
#include "core/engine/kv_cache.h"
#include "core/engine/observer.h"
#include "core/engine/scratch.h"
#include "core/model/weights.h"

namespace millrace {

struct AttentionScratch {
    Fp8Rows x8, latent8, out8;  // quantised inputs of wq_a and wkv, of wq_b, of wo_b
    MatrixView<Bf16> latent;    // [n, q_rank]
    MatrixView<Bf16> q;         // [n, nh·512]
    MatrixView<Bf16> attended;  // [n, nh·512]
    MatrixView<Bf16> grouped;   // [n, o_groups·o_rank]
    MatrixView<Bf16> kv;        // [n, 512]
    std::span<KvRow> rows;      // the chunk's window rows
    CompressorScratch compressor;
    std::span<KvRow> entry_rows;           // the entries that it completes
    std::span<IndexRow> index_entry_rows;  // and the indexer's
    MatrixView<Bf16> index_q;              // [n, index_heads·128]
    std::span<IndexRow> index_rows;        // [n·index_heads]
    MatrixView<Bf16> index_weights;        // [n, index_heads]
    MatrixView<int32_t> picks;             // [n, index_topk]
    std::span<const KvRow*> key_rows;      // of a chunk's windows, then of its entries
    std::span<KeyList> keys;               // [n]
    MatrixView<int32_t> host_picks;        // [n, index_topk], for observers

    [[nodiscard]] static AttentionScratch take(Arenas& arenas, const ModelConfig& config,
                                               int64_t chunk_max, int64_t context_max);
};

// y = attention(x) for a chunk that continues `kv`; x is the normed input [n, d], y [n, d].
[[nodiscard]] Status attend_chunk(const StepContext& context, const Chunk& chunk, LayerId layer,
                                  const AttentionWeights& weights, MatrixView<const Bf16> x,
                                  LayerKv& kv, const AttentionScratch& scratch,
                                  StepObserver* observer, MatrixView<Bf16> y);

// The pieces that the DSpark drafter puts together in its own way.

// scratch.latent and scratch.q from x; scratch.x8 holds x quantised afterwards.
void project_q(const StepContext& context, const AttentionWeights& weights,
               MatrixView<const Bf16> x, std::span<const int32_t> positions, const RopeTable& rope,
               const AttentionScratch& scratch);
// Window rows of `x` at `positions` into `rows`.
void project_kv(const StepContext& context, const AttentionWeights& weights, const LinearInput& x,
                std::span<const int32_t> positions, const RopeTable& rope,
                const AttentionScratch& scratch, std::span<KvRow> rows);
// Attends with scratch.q over `keys`, turns back, projects: y [n, d].
void attend_and_project(const StepContext& context, const AttentionWeights& weights,
                        std::span<const int32_t> positions, const RopeTable& rope,
                        const KeyLists& keys, const AttentionScratch& scratch,
                        StepObserver* observer, MatrixView<Bf16> y);

}  // namespace millrace
