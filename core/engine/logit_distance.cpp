#include "core/engine/logit_distance.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace millrace {
namespace {

double mean(double sum, int64_t count) { return count > 0 ? sum / static_cast<double>(count) : 0; }

size_t largest_of(std::span<const float> row) {
    return static_cast<size_t>(std::ranges::max_element(row) - row.begin());
}

// ln Σ e^x, whatever the size of x; `most` is the largest.
double log_total(std::span<const float> row, double most) {
    double total = 0;
    for (const float x : row) total += std::exp(static_cast<double>(x) - most);
    return most + std::log(total);
}

}  // namespace

void LogitDistance::add(std::span<const float> reference, std::span<const float> other,
                        std::optional<TokenId> next) {
    ENSURE(!reference.empty() && reference.size() == other.size());
    const size_t best = largest_of(reference);
    const size_t other_best = largest_of(other);
    const double total = log_total(reference, static_cast<double>(reference[best]));
    const double other_total = log_total(other, static_cast<double>(other[other_best]));
    for (size_t i = 0; i < reference.size(); ++i) {
        const double is = static_cast<double>(reference[i]);
        const double difference = static_cast<double>(other[i]) - is;
        divergence_ += std::exp(is - total) * (other_total - total - difference);
        difference_ += std::fabs(difference);
        largest_ = std::max(largest_, std::fabs(difference));
        sum_ += is;
        sum2_ += is * is;
    }
    logits_ += static_cast<int64_t>(reference.size());
    ++rows_;
    equal_ += best == other_best ? 1 : 0;
    if (!next) return;
    const auto target = static_cast<size_t>(next->value);
    ENSURE(target < reference.size());
    ++targets_;
    reference_loss_ += total - static_cast<double>(reference[target]);
    loss_ += other_total - static_cast<double>(other[target]);
}

LogitDistance& LogitDistance::operator+=(const LogitDistance& more) {
    rows_ += more.rows_;
    targets_ += more.targets_;
    equal_ += more.equal_;
    logits_ += more.logits_;
    reference_loss_ += more.reference_loss_;
    loss_ += more.loss_;
    divergence_ += more.divergence_;
    largest_ = std::max(largest_, more.largest_);
    difference_ += more.difference_;
    sum_ += more.sum_;
    sum2_ += more.sum2_;
    return *this;
}

double LogitDistance::reference_perplexity() const {
    return std::exp(mean(reference_loss_, targets_));
}
double LogitDistance::perplexity() const { return std::exp(mean(loss_, targets_)); }
double LogitDistance::log_ratio() const { return mean(loss_ - reference_loss_, targets_); }
double LogitDistance::mean_divergence() const { return mean(divergence_, rows_); }
double LogitDistance::top1_equal() const { return mean(static_cast<double>(equal_), rows_); }
double LogitDistance::mean_difference() const { return mean(difference_, logits_); }
double LogitDistance::reference_deviation() const {
    const double average = mean(sum_, logits_);
    return std::sqrt(std::max(0.0, mean(sum2_, logits_) - average * average));
}

}  // namespace millrace
