#pragma once
// One forward step (spec §4): embed, every block, head. This file and block.h are the walk of a token; attention.h and
// moe.h are its two halves. Engine thread only; allocates nothing after `create`.
//
// The layers may be those of several GPUs, stage by stage: each has activations of its own, and at a stage's end the streams
// move to the next by way of the host, which waits for them. Head and draft blocks belong to the last stage, and so do all
// rows that are given out here.

#include <memory>
#include <vector>

#include "core/engine/block.h"
#include "core/model/checkpoint.h"

namespace millrace {

// kKept: of the last token, where the ops have memory of their own; they stay there (Step::kept_logits).
enum class LogitsWanted { kNone, kLast, kAll, kKept };

struct StepLimits {
    int64_t chunk_max = 0;    // rows in one call
    int64_t context_max = 0;  // tokens in a sequence
};

// Consecutive layers of the trunk and who computes them, all but routed experts that are not in the tier.
struct StepStage {
    Ops* ops = nullptr;
    GpuTier* tier = nullptr;  // experts that those of a GPU compute
    int32_t layers = 0;
};
struct StepOps {
    std::vector<StepStage> stages;  // all layers together
    Ops& experts;                   // of the host (StepContext)
};

// Whether a stage is the first and the last one.
struct StageEnds {
    bool first = true, last = true;
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
    // In the host's memory, of all stages but the last: what is on its way to the next.
    MatrixView<Bf16> moving_streams;  // [chunk, 4d]
    MatrixView<Bf16> moving_hidden;   // [chunk, targets·d]

    [[nodiscard]] static StepScratch take(Arenas& arenas, const ModelConfig& config,
                                          const StepLimits& limits, const StageEnds& ends);
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
    // What `create` allocates for a stage's activations; `apart`: the ops have memory of their own.
    [[nodiscard]] static StepBytes scratch_bytes(const ModelConfig& config,
                                                 const StepLimits& limits, bool apart,
                                                 const StageEnds& ends = {});

    // Computes `tokens` at positions first, first + 1, … of the sequence that `kv` holds. logits: as `wanted` says, no
    // rows, one row, or one a token [n, vocabulary]; in the host's memory, here and below.
    [[nodiscard]] Status forward(KvCache& kv, std::span<const TokenId> tokens, int64_t first,
                                 LogitsWanted wanted, MatrixView<float> logits);
    // Those of the last forward that wanted them kept, in the ops' memory, until the next call.
    [[nodiscard]] std::span<const float> kept_logits() const {
        return stages_.back().scratch.logits.row(0);
    }
    // Who is asked whether `forward` should go on; null: nobody.
    void watch(StepWatch* watch) { watch_ = watch; }

    // The parts of `forward`, for drafts and for tests that start in the middle, of layers of the last stage.
    [[nodiscard]] Chunk chunk_of(std::span<const TokenId> tokens, int64_t first) {
        return chunk_of(stages_.back(), tokens, first);
    }
    // The tokens of a chunk into streams.
    [[nodiscard]] Status embed(std::span<const TokenId> tokens, MatrixView<Bf16> streams) {
        return embed(stages_.back(), tokens, streams);
    }
    [[nodiscard]] Status run_layer(const Chunk& chunk, LayerId layer, const BlockWeights& weights,
                                   LayerKv& kv, MatrixView<Bf16> streams) {
        return run_layer(stages_.back(), chunk, layer, weights, kv, streams);
    }
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
    [[nodiscard]] MatrixView<Bf16> streams() const { return streams_of(stages_.back()); }
    // Of the last forward's rows, the stream means after each of DSpark's target layers, side by side [n, targets·d].
    [[nodiscard]] MatrixView<const Bf16> main_hidden() const {
        return stages_.back().scratch.main_hidden.slice_rows(0, rows_);
    }

    // These, and the scratch and tier below: of the last stage.
    [[nodiscard]] StepContext context() { return context_of(stages_.back()); }
    [[nodiscard]] const Checkpoint& checkpoint() const { return checkpoint_; }
    [[nodiscard]] const RopeTables& rope() const { return rope_; }
    [[nodiscard]] const BlockScratch& block_scratch() const { return stages_.back().scratch.block; }
    [[nodiscard]] Experts experts() { return experts_of(stages_.back()); }
    [[nodiscard]] const StepLimits& limits() const { return limits_; }
    void observe(StepObserver* observer) { observer_ = observer; }
    [[nodiscard]] StepObserver* observer() const { return observer_; }

private:
    struct Stage {
        Ops& ops;
        GpuTier* tier = nullptr;
        int32_t first = 0, end = 0;  // layers of the trunk
        ScratchMemory memory;
        StepScratch scratch;
    };
    Step(const Checkpoint& checkpoint, Ops& expert_ops, ExpertCache& cache,
         const StepLimits& limits);
    void keep_logits(MatrixView<const Bf16> streams, const HeadWeights& head);
    [[nodiscard]] Status add_stage(const StepStage& by, const StageEnds& ends);
    [[nodiscard]] MatrixView<Bf16> streams_of(const Stage& stage) const {
        return stage.scratch.streams.slice_rows(0, rows_);
    }
    [[nodiscard]] StepContext context_of(const Stage& stage) {
        return {checkpoint_.config(), stage.ops, expert_ops_, rope_};
    }
    [[nodiscard]] Experts experts_of(const Stage& stage) {
        return {cache_, checkpoint_.experts(), stage.tier, nullptr, watch_};
    }
    [[nodiscard]] Chunk chunk_of(const Stage& stage, std::span<const TokenId> tokens,
                                 int64_t first);
    [[nodiscard]] Status embed(const Stage& stage, std::span<const TokenId> tokens,
                               MatrixView<Bf16> streams);
    [[nodiscard]] Status run_stage(const Stage& stage, Chunk chunk, KvCache& kv);
    [[nodiscard]] Status run_layer(const Stage& stage, const Chunk& chunk, LayerId layer,
                                   const BlockWeights& weights, LayerKv& kv,
                                   MatrixView<Bf16> streams);
    // The other stages' tiers make room in the cache for the experts of this one.
    [[nodiscard]] Status make_way(const Stage& stage);
    // What a stage has computed, to the next.
    [[nodiscard]] Status move_on(const Stage& from, const Stage& to);
    [[nodiscard]] BlockEnd end_of(const Stage& stage, LayerId layer) const;
    // A layer but for its end, with that of the one before, if it was left (block.h).
    [[nodiscard]] Status begin_layer(const Stage& stage, const Chunk& chunk, LayerId layer,
                                     const BlockWeights& weights, const BlockEnd* before,
                                     LayerKv& kv, MatrixView<Bf16> streams);
    void hint_hash_layers(std::span<const TokenId> tokens);

    const Checkpoint& checkpoint_;
    Ops& expert_ops_;
    ExpertCache& cache_;
    const StepLimits limits_;
    const RopeTables rope_;
    StepObserver* observer_ = nullptr;
    StepWatch* watch_ = nullptr;
    int64_t rows_ = 0;  // of the last forward
    std::vector<Stage> stages_;
};

}  // namespace millrace
