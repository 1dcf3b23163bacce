#pragma once
// How far the logits of one implementation lie from those of another, over any number of rows: sums only, so that no
// logits need to be kept. Pure; any thread.

#include <cstdint>
#include <optional>
#include <span>

#include "core/base/types.h"

namespace millrace {

class LogitDistance {
public:
    // One row of each, of the same length and finite; `next`: the token that follows in the text, where one does.
    void add(std::span<const float> reference, std::span<const float> other,
             std::optional<TokenId> next);
    LogitDistance& operator+=(const LogitDistance& more);

    [[nodiscard]] int64_t rows() const { return rows_; }
    // Rows whose next token was given.
    [[nodiscard]] int64_t targets() const { return targets_; }
    // e^(mean of −ln p(next token)); 1 where nothing was counted.
    [[nodiscard]] double reference_perplexity() const;
    [[nodiscard]] double perplexity() const;
    // ln(perplexity / reference_perplexity): what a token costs more, in nats.
    [[nodiscard]] double log_ratio() const;
    // Mean of KL(reference ‖ other), in nats.
    [[nodiscard]] double mean_divergence() const;
    // Share of rows where the same token has the largest logit (the lower one on a tie).
    [[nodiscard]] double top1_equal() const;
    [[nodiscard]] double largest_difference() const { return largest_; }
    // Mean |difference| of a logit, and the standard deviation of all reference logits, which is its scale.
    [[nodiscard]] double mean_difference() const;
    [[nodiscard]] double reference_deviation() const;

private:
    int64_t rows_ = 0, targets_ = 0, equal_ = 0, logits_ = 0;
    double reference_loss_ = 0, loss_ = 0, divergence_ = 0;
    double largest_ = 0, difference_ = 0, sum_ = 0, sum2_ = 0;
};

}  // namespace millrace
