#include "core/engine/router_ranks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace millrace {
namespace {

constexpr size_t kBins = 1024;

// sqrt(softplus(x)) in steps of 1/64: a policy needs no more, and looking up costs a thirtieth of computing.
constexpr float kLogitMax = 32;
constexpr int32_t kSteps = 64;
constexpr size_t kEntries = 2 * static_cast<size_t>(kLogitMax) * kSteps;

std::array<float, kEntries> make_scores() {
    std::array<float, kEntries> scores{};
    for (size_t i = 0; i < kEntries; ++i) {
        const double x = (static_cast<double>(i) + 0.5) / kSteps - static_cast<double>(kLogitMax);
        scores[i] = static_cast<float>(std::sqrt(std::log1p(std::exp(x))));
    }
    return scores;
}

// A NaN is taken for the smallest logit.
float score(float logit) {
    static const std::array<float, kEntries> kScores = make_scores();
    constexpr float kHighest = kLogitMax - 1.0F / kSteps;
    const float x = logit > -kLogitMax ? (logit < kHighest ? logit : kHighest) : -kLogitMax;
    return kScores[static_cast<size_t>((x + kLogitMax) * kSteps)];
}

// Scores of one row, on a scale from its lowest to its highest.
class Scale {
public:
    Scale(std::span<const float> logits, std::span<const float> bias)
        : logits_(logits), bias_(bias) {
        float low = std::numeric_limits<float>::max(), high = std::numeric_limits<float>::lowest();
        for (size_t e = 0; e < logits.size(); ++e) {
            const float s = total(e);
            low = std::min(low, s);
            high = std::max(high, s);
        }
        low_ = low;
        steps_ = high > low ? static_cast<float>(kBins - 1) / (high - low) : 0;
    }
    // 0 for the highest. A bias that is no number puts its expert last.
    [[nodiscard]] size_t bin(size_t expert) const {
        const float at = (total(expert) - low_) * steps_;
        if (!(at > 0)) return kBins - 1;
        return kBins - 1 - static_cast<size_t>(std::min(at, static_cast<float>(kBins - 1)));
    }

private:
    [[nodiscard]] float total(size_t expert) const {
        return score(logits_[expert]) + (bias_.empty() ? 0.0F : bias_[expert]);
    }
    std::span<const float> logits_, bias_;
    float low_ = 0, steps_ = 0;
};

uint8_t clip(size_t rank) { return static_cast<uint8_t>(std::min<size_t>(rank, kRankFar)); }

}  // namespace

void rank_experts(std::span<const float> logits, std::span<const float> bias,
                  std::span<const int32_t> chosen, std::span<uint8_t> ranks) {
    ENSURE(ranks.size() == logits.size() && (bias.empty() || bias.size() == logits.size()));
    const Scale scale(logits, bias);
    std::array<uint16_t, kBins + 1> before{};
    for (size_t e = 0; e < logits.size(); ++e) ++before[scale.bin(e) + 1];
    for (size_t b = 1; b <= kBins; ++b) {
        before[b] = static_cast<uint16_t>(before[b] + before[b - 1]);
    }
    // Whoever shares a bin with a chosen one still comes behind all chosen ones.
    for (size_t e = 0; e < logits.size(); ++e) {
        ranks[e] = clip(std::max<size_t>(before[scale.bin(e)], chosen.size()));
    }
    for (size_t i = 0; i < chosen.size(); ++i) ranks[static_cast<size_t>(chosen[i])] = clip(i);
}

void rank_fixed(std::span<const int32_t> chosen, std::span<uint8_t> ranks) {
    std::ranges::fill(ranks, kRankFar);
    for (size_t i = 0; i < chosen.size(); ++i) ranks[static_cast<size_t>(chosen[i])] = clip(i);
}

}  // namespace millrace
