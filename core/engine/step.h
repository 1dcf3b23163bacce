#pragma once
// One forward step (spec §4): embed, every block, head. This file and block.h are the walk of a token; attention.h and
// moe.h are its two halves. Engine thread only; allocates nothing after `create`.

#include <memory>

#include "core/engine/block.h"
#include "core/model/checkpoint.h"

namespace millrace {

// kKept: of the last token, where the ops have memory of their own; they stay there (Step::kept_logits).
enum class LogitsWanted { kNone, kLast, kAll, kKept };

struct StepLimits {
    int64_t chunk_max = 0;    // rows in one call
    int64_t context_max = 0;  // tokens in a sequence
};

// Who computes: everything but routed experts, and those (StepContext).
struct StepOps {
    Ops& dense;
    Ops& experts;
    GpuTier* tier = nullptr;  // experts that those of a GPU compute
};

struct StepScratch {
    std::span<int32_t> positions;  // [chunk]
    std::span<int32_t> visible;    // [chunk]
    // Where the ops have memory of their own:
    std::span<TokenId>
        row_ids;  // [chunk], 0, 1, …: tokens of a table that is host_rows, in `normed`
    MatrixView<Bf16> host_rows;    // [chunk, d], of the embedding; the host's
    MatrixView<float> logits;      // [some, vocabulary]
    MatrixView<Bf16> streams;      // [chunk, 4d]
    MatrixView<Bf16> z, normed;    // [chunk, d]
    MatrixView<Bf16> main_hidden;  // [chunk, targets·d]
    BlockScratch block;

    [[nodiscard]] static StepScratch take(Arenas& arenas, const ModelConfig& config,
                                          const StepLimits& limits);
};

struct StepBytes {
    uint64_t ops = 0, host = 0;  // `host` is 0 where memory is one
};

class Step {
public:
    // All references must outlive the step.
    [[nodiscard]] static Result<std::unique_ptr<Step>> create(const Checkpoint& checkpoint,
                                                              const StepOps& ops,
                                                              ExpertCache& cache,
                                                              const StepLimits& limits);
    // What `create` allocates for activations; `apart`: the ops have memory of their own.
    [[nodiscard]] static StepBytes scratch_bytes(const ModelConfig& config,
                                                 const StepLimits& limits, bool apart);

    // Computes `tokens` at positions first, first + 1, … of the sequence that `kv` holds. logits: as `wanted` says, no
    // rows, one row, or one a token [n, vocabulary]; in the host's memory, here and below.
    [[nodiscard]] Status forward(KvCache& kv, std::span<const TokenId> tokens, int64_t first,
                                 LogitsWanted wanted, MatrixView<float> logits);
    // Those of the last forward that wanted them kept, in the ops' memory, until the next call.
    [[nodiscard]] std::span<const float> kept_logits() const { return scratch_.logits.row(0); }
    // Who is asked whether `forward` should go on; null: nobody.
    void watch(StepWatch* watch) { watch_ = watch; }

    // The parts of `forward`, for drafts and for tests that start in the middle.
    [[nodiscard]] Chunk chunk_of(std::span<const TokenId> tokens, int64_t first);
    // The tokens of a chunk into streams.
    [[nodiscard]] Status embed(std::span<const TokenId> tokens, MatrixView<Bf16> streams);
    [[nodiscard]] Status run_layer(const Chunk& chunk, LayerId layer, const BlockWeights& weights,
                                   LayerKv& kv, MatrixView<Bf16> streams);
    [[nodiscard]] Status logits_of(MatrixView<const Bf16> streams, const HeadWeights& head,
                                   MatrixView<float> logits);
    // hc_head of the streams → bf16 [n, d], before its norm; the view lies in scratch.
    [[nodiscard]] MatrixView<Bf16> reduce_head(MatrixView<const Bf16> streams,
                                               const HeadWeights& head);
    // head·rmsnorm(z).
    [[nodiscard]] Status project_head(MatrixView<const Bf16> z, const HeadWeights& head,
                                      MatrixView<float> logits);
    // y = x·Wᵀ of one of the model's heads, to the host's memory.
    [[nodiscard]] Status project(MatrixView<const Bf16> x, const LinearWeight& weight,
                                 MatrixView<float> y);

    // Streams of the last forward's rows after the last block [n, 4d].
    [[nodiscard]] MatrixView<Bf16> streams() const { return scratch_.streams.slice_rows(0, rows_); }
    // Of the last forward's rows, the stream means after each of DSpark's target layers, side by side [n, targets·d].
    [[nodiscard]] MatrixView<const Bf16> main_hidden() const {
        return scratch_.main_hidden.slice_rows(0, rows_);
    }

    [[nodiscard]] StepContext context() {
        return {checkpoint_.config(), ops_.dense, ops_.experts, rope_};
    }
    [[nodiscard]] const Checkpoint& checkpoint() const { return checkpoint_; }
    [[nodiscard]] const RopeTables& rope() const { return rope_; }
    [[nodiscard]] const BlockScratch& block_scratch() const { return scratch_.block; }
    [[nodiscard]] Experts experts() {
        return {cache_, checkpoint_.experts(), ops_.tier, nullptr, watch_};
    }
    [[nodiscard]] const StepLimits& limits() const { return limits_; }
    void observe(StepObserver* observer) { observer_ = observer; }
    [[nodiscard]] StepObserver* observer() const { return observer_; }

private:
    Step(const Checkpoint& checkpoint, const StepOps& ops, ExpertCache& cache,
         const StepLimits& limits);
    void keep_logits(MatrixView<const Bf16> streams, const HeadWeights& head);
    [[nodiscard]] BlockEnd end_of(LayerId layer) const;
    // A layer but for its end, with that of the one before, if it was left (block.h).
    [[nodiscard]] Status begin_layer(const Chunk& chunk, LayerId layer, const BlockWeights& weights,
                                     const BlockEnd* before, LayerKv& kv, MatrixView<Bf16> streams);
    void hint_hash_layers(std::span<const TokenId> tokens);

    const Checkpoint& checkpoint_;
    const StepOps ops_;
    ExpertCache& cache_;
    const StepLimits limits_;
    const RopeTables rope_;
    StepObserver* observer_ = nullptr;
    StepWatch* watch_ = nullptr;
    ScratchMemory memory_;
    int64_t rows_ = 0;  // of the last forward
    StepScratch scratch_;
};

}  // namespace millrace
