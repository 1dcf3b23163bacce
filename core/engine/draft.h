#pragma once
// Draft blocks: what comes after the next token, guessed. The trunk's results never depend on them; verifying a guess is
// an ordinary chunk through the trunk, and a wrong one is rolled back.

#include <memory>
#include <vector>

#include "core/engine/step.h"

namespace millrace {

// Preview checkpoints: one classic MTP block (spec §4.11).
class MtpDrafter {
public:
    [[nodiscard]] static Result<std::unique_ptr<MtpDrafter>> create(Step& step);

    // Row r predicts the token after next_tokens[r], from the trunk's streams at position first + r (where the last
    // token was the one before next_tokens[r]) and next_tokens[r] itself; its window continues `kv`, the block's own
    // LayerKv. trunk_streams [n, 4d] are overwritten; logits [n, vocabulary]. Rows must follow one another.
    [[nodiscard]] Status logits(size_t block, MatrixView<Bf16> trunk_streams,
                                std::span<const TokenId> next_tokens, int64_t first, LayerKv& kv,
                                MatrixView<float> logits);

private:
    explicit MtpDrafter(Step& step) : step_(step) {}

    Step& step_;
    ScratchMemory memory_;
    MatrixView<Bf16> embedded_;  // [chunk, 4d]; the first d columns count
    MatrixView<Bf16> e_;         // [chunk, d]
    MatrixView<Bf16> h_;         // [chunk, 4d]
    Fp8Rows x8_;                 // [4·chunk, d]
};

// 0731 / 0813 checkpoints: stages that draft a block of tokens at once (spec §4.12).
class DsparkDrafter {
public:
    [[nodiscard]] static Result<std::unique_ptr<DsparkDrafter>> create(Step& step);

    // Fills the stages' windows for committed positions first … from the trunk's main_hidden rows [n, targets·d].
    // `main_hidden` lies in the ops' memory.
    void commit(MatrixView<const Bf16> main_hidden, int64_t first, KvCache& kv);

    struct Draft {
        std::vector<TokenId> tokens;    // `next`, then block_size guesses, greedy
        std::vector<float> confidence;  // block_size logits
    };
    // After committing position `last`, with `next` chosen for position last + 1. logits [block_size, vocabulary] receive
    // each guess's logits, Markov bias included.
    [[nodiscard]] Result<Draft> draft(int64_t last, TokenId next, KvCache& kv,
                                      MatrixView<float> logits);

private:
    explicit DsparkDrafter(Step& step) : step_(step) {}
    [[nodiscard]] const DsparkWeights& weights() const;
    [[nodiscard]] LayerId stage_layer(size_t stage) const;
    void attend_block(const BlockWeights& stage, const Chunk& chunk, LayerKv& kv,
                      MatrixView<const Bf16> x, MatrixView<Bf16> y);

    Step& step_;
    ScratchMemory memory_;
    Fp8Rows hidden8_;                // [chunk, targets·d]
    MatrixView<Bf16> main_x_;        // [chunk, d]
    Fp8Rows main_x8_;                // [chunk, d]
    std::span<KvRow> rows_;          // [chunk]
    MatrixView<Bf16> streams_;       // [block, 4d]
    MatrixView<Bf16> confidence_x_;  // [1, d + rank]
    MatrixView<float> markov_;       // [1, vocabulary], the host's
    std::span<int32_t> positions_;   // [chunk]
};

}  // namespace millrace
