#pragma once
// Chooses the next token from logits, as SamplingParams (request.h) says. One object per answer; one thread.
//
// The choice is the same on every machine: probabilities are doubles computed with operations that IEEE 754 defines to
// the last bit (an exponential of our own, not the C library's, whose last bit depends on the processor), equal
// probabilities are ordered by token id, and the random numbers are SplitMix64's.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/random.h"
#include "core/base/result.h"
#include "core/base/types.h"
#include "core/engine/request.h"
#include "kernels/ops.h"

namespace millrace {

// eˣ for x ≤ 0, at most 2 units in the last place off, the same bits everywhere; −∞ gives 0.
[[nodiscard]] double portable_exp(double x);
// The same bits for many numbers, in place, several times as fast.
void portable_exp(std::span<double> x);

class Sampler {
public:
    // `params` must have passed validate(params, vocabulary) and `prompt` must hold ids of the vocabulary; both are
    // copied. The last `generated` tokens of the prompt are as if this sampler had chosen them. Allocates all that
    // sampling needs: 24 bytes per token of the vocabulary, with bias 4 more, with penalties 20 more.
    Sampler(const SamplingParams& params, int64_t vocabulary, std::span<const TokenId> prompt,
            int64_t generated = 0);

    // The next token from `logits` [vocabulary], counted as generated. Does not allocate. Fails when a logit is NaN or
    // +∞ (kCorrupt: weights or drive) or when the bias bans every token (kInvalid).
    [[nodiscard]] Result<TokenId> sample(std::span<const float> logits);
    // The same from logits that lie in the ops' memory. They choose if they can; else the logits are read to `room`
    // [vocabulary]. Fails as Ops::read does, too; then nothing was chosen.
    [[nodiscard]] Result<TokenId> sample(Ops& ops, std::span<const float> logits,
                                         std::span<float> room);

private:
    struct Candidate {
        double
            weight;  // probability relative to the most probable token; while top-k cuts: the score
        int32_t token;
    };

    [[nodiscard]] Status load(std::span<const float> logits);
    void adjust();
    [[nodiscard]] Adjustment& adjustment_of(int32_t token);
    [[nodiscard]] double add_up();
    [[nodiscard]] TokenId first_of(double score) const;
    [[nodiscard]] TokenId choose(double highest);
    [[nodiscard]] double exponent(double score, double highest) const;
    void collect(double least);
    static bool more_probable(const Candidate& a, const Candidate& b);
    void keep_top_k(size_t limit, double highest);
    void keep_top_p();
    void keep_first(double mass);
    [[nodiscard]] TokenId draw();
    [[nodiscard]] TokenId draw_of_all();
    void count(TokenId token);

    SamplingParams params_;
    Random random_;
    Penalties penalties_;
    bool penalises_;
    std::vector<double> scores_;  // [vocabulary] logits after bias and penalties; later weights
    std::vector<Candidate> candidates_;  // what is left to draw from
    std::vector<double> reached_;        // sums of the weights before every block of tokens
    std::vector<Adjustment> adjustments_;
    std::vector<int32_t>
        places_;  // [vocabulary] in adjustments_, or −1; empty where nothing can be
};

}  // namespace millrace
