#include "core/engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {

// x = n·ln 2 + r with |r| ≤ ln 2 / 2; the Taylor series of eʳ to r¹³ is then exact to 2⁻⁵⁷, and 2ⁿ scales exactly.
double portable_exp(double x) {
    constexpr double kUnderflow = -745.2;  // below it eˣ rounds to 0
    constexpr double kInverseLn2 = 0x1.71547652b82fep0;
    constexpr double kLn2High = 0x1.62e42fee00000p-1;  // 33 bits: n·high is exact
    constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
    constexpr std::array<double, 14> kInverseFactorial = {1.0,
                                                          1.0,
                                                          1.0 / 2,
                                                          1.0 / 6,
                                                          1.0 / 24,
                                                          1.0 / 120,
                                                          1.0 / 720,
                                                          1.0 / 5040,
                                                          1.0 / 40320,
                                                          1.0 / 362880,
                                                          1.0 / 3628800,
                                                          1.0 / 39916800,
                                                          1.0 / 479001600,
                                                          1.0 / 6227020800};
    if (!(x > kUnderflow)) return 0;
    const double n = std::floor(x * kInverseLn2 + 0.5);
    const double r = (x - n * kLn2High) - n * kLn2Low;
    double sum = kInverseFactorial.back();
    for (size_t i = kInverseFactorial.size() - 1; i-- > 0;) sum = sum * r + kInverseFactorial[i];
    return std::ldexp(sum, static_cast<int>(n));
}

Sampler::Sampler(const SamplingParams& params, int64_t vocabulary, std::span<const TokenId> prompt)
    : params_(params),
      random_(params.seed),
      penalties_(params.repetition_penalty != 1 || params.presence_penalty != 0 ||
                 params.frequency_penalty != 0),
      scores_(static_cast<size_t>(vocabulary)) {
    candidates_.reserve(scores_.size());
    if (!penalties_) return;
    generated_.resize(scores_.size());
    seen_.resize(scores_.size());
    seen_tokens_.reserve(scores_.size());
    for (const TokenId token : prompt) {
        ENSURE(token.value >= 0 && token.value < vocabulary);
        const auto index = static_cast<size_t>(token.value);
        if (!seen_[index]) seen_tokens_.push_back(token.value);
        seen_[index] = true;
    }
}

Result<TokenId> Sampler::sample(std::span<const float> logits) {
    ENSURE(logits.size() == scores_.size());
    TRY(load(logits));
    if (penalties_) apply_penalties();
    const auto best = std::max_element(scores_.begin(), scores_.end());  // the first of equals
    if (std::isinf(*best)) {
        return Error{ErrorCode::kInvalid,
                     "logit_bias bans every token that the model can choose; ban fewer"};
    }
    TokenId token{static_cast<int32_t>(best - scores_.begin())};
    if (params_.temperature > 0) {
        weigh(*best);
        keep_best();
        token = draw();
    }
    count(token);
    return token;
}

Status Sampler::load(std::span<const float> logits) {
    for (size_t i = 0; i < logits.size(); ++i) {
        const float logit = logits[i];
        if (!(logit < std::numeric_limits<float>::infinity())) {
            return Error{ErrorCode::kCorrupt,
                         cat("the model gave the logit ", static_cast<double>(logit), " to token ",
                             i, "; its weights are damaged: check the files of the checkpoint")};
        }
        scores_[i] = static_cast<double>(logit);
    }
    for (const auto& [token, bias] : params_.logit_bias) {
        scores_[static_cast<size_t>(token.value)] += static_cast<double>(bias);
    }
    return {};
}

void Sampler::apply_penalties() {
    const double repetition = static_cast<double>(params_.repetition_penalty);
    for (const int32_t token : seen_tokens_) {
        const auto index = static_cast<size_t>(token);
        double& score = scores_[index];
        score = score > 0 ? score / repetition : score * repetition;
        if (generated_[index] == 0) continue;
        score -= static_cast<double>(params_.presence_penalty);
        score -= static_cast<double>(params_.frequency_penalty) * generated_[index];
    }
}

// Banned tokens are no candidates: no rounding can ever draw one.
void Sampler::weigh(double highest) {
    const double temperature = static_cast<double>(params_.temperature);
    candidates_.clear();
    for (size_t i = 0; i < scores_.size(); ++i) {
        if (std::isinf(scores_[i])) continue;
        candidates_.push_back(
            {portable_exp((scores_[i] - highest) / temperature), static_cast<int32_t>(i)});
    }
}

// A heap gives the candidates in order of probability, and only as many of them as are kept: sorting a whole
// vocabulary for the few that top-p leaves would cost more than the draw.
void Sampler::keep_best() {
    const size_t all = candidates_.size();
    const size_t limit =
        params_.top_k > 0 ? std::min(all, static_cast<size_t>(params_.top_k)) : all;
    const auto top_p = static_cast<double>(params_.top_p);
    const auto min_p = static_cast<double>(params_.min_p);  // the highest weight is exactly 1
    if (limit == all && top_p >= 1) {
        std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < min_p; });
        return;
    }
    const auto less_probable = [](const Candidate& a, const Candidate& b) {
        return a.weight != b.weight ? a.weight < b.weight : a.token > b.token;
    };
    std::make_heap(candidates_.begin(), candidates_.end(), less_probable);
    auto heap_end = candidates_.end();  // from here on: the best, the best of all last
    const auto pop = [&] { std::pop_heap(candidates_.begin(), heap_end--, less_probable); };
    const auto best = [&](size_t rank) { return candidates_[all - 1 - rank].weight; };

    double mass = 0;
    if (limit < all) {
        for (size_t rank = 0; rank < limit; ++rank) {
            pop();
            mass += best(rank);
        }
    } else {
        for (const Candidate& c : candidates_) mass += c.weight;
    }
    size_t kept = 0;
    for (double reached = 0; kept < limit && (kept == 0 || top_p >= 1 || reached < top_p * mass);) {
        if (limit == all) pop();
        reached += best(kept++);
    }
    while (kept > 1 && best(kept - 1) < min_p) --kept;
    candidates_.erase(candidates_.begin(), candidates_.end() - static_cast<ptrdiff_t>(kept));
}

TokenId Sampler::draw() {
    double mass = 0;
    for (const Candidate& c : candidates_) mass += c.weight;
    const double point = random_.unit() * mass;
    double reached = 0;
    for (const Candidate& c : candidates_) {
        reached += c.weight;
        if (reached > point) return {c.token};
    }
    // Only if unit() · mass rounded up to mass: the most probable candidate is as good as any.
    return {
        std::max_element(candidates_.begin(), candidates_.end(),
                         [](const Candidate& a, const Candidate& b) { return a.weight < b.weight; })
            ->token};
}

void Sampler::count(TokenId token) {
    if (!penalties_) return;
    const auto index = static_cast<size_t>(token.value);
    if (!seen_[index]) seen_tokens_.push_back(token.value);
    seen_[index] = true;
    ++generated_[index];
}

}  // namespace millrace
