#include "core/engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {

namespace {

// Eight numbers in the vectors that every processor of the family has: enough work between a number's steps that none
// waits for the one before.
using Doubles [[gnu::vector_size(16)]] = double;
using Bits [[gnu::vector_size(16)]] = int64_t;
struct Eight {
    Doubles v[4];
};
template <class Make>
[[gnu::always_inline]] inline Eight eight(const Make& make) {
    return {{make(0), make(1), make(2), make(3)}};
}
[[gnu::always_inline]] inline Eight operator-(const Eight& a, const Eight& b) {
    return eight([&](int i) { return a.v[i] - b.v[i]; });
}
[[gnu::always_inline]] inline Eight operator*(const Eight& a, const Eight& b) {
    return eight([&](int i) { return a.v[i] * b.v[i]; });
}
[[gnu::always_inline]] inline Eight operator+(const Eight& a, double b) {
    return eight([&](int i) { return a.v[i] + b; });
}
[[gnu::always_inline]] inline Eight operator*(const Eight& a, double b) {
    return eight([&](int i) { return a.v[i] * b; });
}

constexpr double kNormal = -700;  // above it eˣ is a normal number

// exp_below of eight x > kNormal, bit for bit.
void exp_of_eight(double* x) {
    Eight in;
    std::memcpy(&in, x, sizeof in);
    const Eight y = in * kInverseLn2 + 0.5;
    const Eight n = eight([&](int i) {
        const Doubles near = (y.v[i] + kRoundingShift) - kRoundingShift;
        return near > y.v[i] ? near - 1.0 : near;
    });
    const Eight power = eight([&](int i) {  // 2ⁿ
        return reinterpret_cast<Doubles>((reinterpret_cast<Bits>(n.v[i] + kRoundingShift) + 1023)
                                         << 52);
    });
    const Eight out = exp_of_rest(in, n) * power;
    std::memcpy(x, &out, sizeof out);
}

constexpr auto kBlock = static_cast<size_t>(kChoiceBlock);

constexpr double kBanned = -std::numeric_limits<double>::infinity();

// Eight at a time, which do not wait for each other.
[[nodiscard]] double largest(std::span<const double> x) {
    std::array<double, 8> most;
    most.fill(kBanned);
    size_t i = 0;
    for (; i + most.size() <= x.size(); i += most.size()) {
        for (size_t j = 0; j < most.size(); ++j) most[j] = x[i + j] > most[j] ? x[i + j] : most[j];
    }
    for (; i < x.size(); ++i) most[0] = std::max(most[0], x[i]);
    return *std::max_element(most.begin(), most.end());
}

// Weights below `least` become 0.
void drop_below(std::span<double> x, double least) {
    constexpr size_t kTogether = 8;
    size_t i = 0;
    for (; i + kTogether <= x.size(); i += kTogether) {
        for (size_t j = 0; j < kTogether; ++j) x[i + j] = x[i + j] >= least ? x[i + j] : 0.0;
    }
    for (; i < x.size(); ++i) x[i] = x[i] >= least ? x[i] : 0.0;
}

// Of those that are at least `least`.
[[nodiscard]] double sum_from(std::span<const double> x, double least) {
    std::array<double, 8> sums{};
    size_t i = 0;
    for (; i + sums.size() <= x.size(); i += sums.size()) {
        for (size_t j = 0; j < sums.size(); ++j) sums[j] += x[i + j] >= least ? x[i + j] : 0.0;
    }
    for (; i < x.size(); ++i) sums[0] += x[i] >= least ? x[i] : 0.0;
    return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// Of at most kBlock weights, in the order of kernels/choice.h.
[[nodiscard]] double sum_of_block(std::span<const double> weights) {
    constexpr auto kLanes = static_cast<size_t>(kChoiceLanes);
    std::array<double, kLanes> sums{};
    size_t i = 0;
    for (; i + kLanes <= weights.size(); i += kLanes) {
        for (size_t j = 0; j < kLanes; ++j) sums[j] += weights[i + j];
    }
    for (; i < weights.size(); ++i) sums[i % kLanes] += weights[i];
    return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace

double portable_exp(double x) { return exp_below(x); }

void portable_exp(std::span<double> x) {
    size_t i = 0;
    for (; i + 8 <= x.size(); i += 8) {
        const auto eight_of = x.subspan(i, 8);
        if (std::ranges::all_of(eight_of, [](double value) { return value > kNormal; })) {
            exp_of_eight(eight_of.data());
        } else {
            for (double& value : eight_of) value = portable_exp(value);
        }
    }
    for (; i < x.size(); ++i) x[i] = portable_exp(x[i]);
}

Sampler::Sampler(const SamplingParams& params, int64_t vocabulary, std::span<const TokenId> prompt,
                 int64_t generated)
    : params_(params),
      random_(params.seed),
      penalties_{static_cast<double>(params.repetition_penalty),
                 static_cast<double>(params.presence_penalty),
                 static_cast<double>(params.frequency_penalty)},
      penalises_(params.repetition_penalty != 1 || params.presence_penalty != 0 ||
                 params.frequency_penalty != 0),
      scores_(static_cast<size_t>(vocabulary)) {
    candidates_.reserve(scores_.size());
    reached_.reserve(scores_.size() / kBlock + 1);
    ENSURE(generated >= 0 && static_cast<size_t>(generated) <= prompt.size());
    // Every choice that is not greedy draws once.
    for (int64_t i = 0; i < generated && params.temperature > 0; ++i) (void)random_.next();
    if (!penalises_ && params.logit_bias.empty()) return;
    places_.assign(scores_.size(), -1);
    adjustments_.reserve(penalises_ ? scores_.size() : params.logit_bias.size());
    for (const auto& [token, bias] : params.logit_bias) {
        adjustment_of(token.value).bias += static_cast<double>(bias);
    }
    if (!penalises_) return;
    for (const TokenId token : prompt) {
        ENSURE(token.value >= 0 && token.value < vocabulary);
        // What was not generated is penalised for its repetition alone.
        if (params.repetition_penalty != 1) adjustment_of(token.value).times = 0;
    }
    for (const TokenId token : prompt.last(static_cast<size_t>(generated))) count(token);
}

Adjustment& Sampler::adjustment_of(int32_t token) {
    int32_t& place = places_[static_cast<size_t>(token)];
    if (place < 0) {
        place = static_cast<int32_t>(adjustments_.size());
        adjustments_.push_back({token, -1, 0});
    }
    return adjustments_[static_cast<size_t>(place)];
}

Result<TokenId> Sampler::sample(Ops& ops, std::span<const float> logits, std::span<float> room) {
    ENSURE(logits.size() == scores_.size() && room.size() == scores_.size());
    ChoiceRequest request{.adjustments = adjustments_,
                          .penalties = penalties_,
                          .temperature = static_cast<double>(params_.temperature),
                          .top_k = params_.top_k,
                          .top_p = static_cast<double>(params_.top_p),
                          .min_p = static_cast<double>(params_.min_p)};
    Random drawn = random_;
    if (params_.temperature > 0) request.unit = drawn.unit();
    const std::optional<TokenId> token = TRY(ops.choose(logits, request));
    if (!token) {
        TRY(ops.read(room.data(), logits.data(), logits.size_bytes()));
        return sample(room);
    }
    ENSURE(token->value >= 0 && static_cast<size_t>(token->value) < scores_.size());
    random_ = drawn;
    count(*token);
    return *token;
}

Result<TokenId> Sampler::sample(std::span<const float> logits) {
    ENSURE(logits.size() == scores_.size());
    TRY(load(logits));
    adjust();
    const double highest = largest(scores_);
    if (std::isinf(highest)) {
        return Error{ErrorCode::kInvalid,
                     "logit_bias bans every token that the model can choose; ban fewer"};
    }
    const TokenId token = params_.temperature > 0 ? choose(highest) : first_of(highest);
    count(token);
    return token;
}

Status Sampler::load(std::span<const float> logits) {
    bool good = true;
    for (size_t i = 0; i < logits.size(); ++i) {
        good &= logits[i] < std::numeric_limits<float>::infinity();
        scores_[i] = static_cast<double>(logits[i]);
    }
    for (size_t i = 0; i < logits.size() && !good; ++i) {
        if (!(logits[i] < std::numeric_limits<float>::infinity())) {
            return Error{
                ErrorCode::kCorrupt,
                cat("the model gave the logit ", static_cast<double>(logits[i]), " to token ", i,
                    "; its weights are damaged: check the files of the checkpoint")};
        }
    }
    return {};
}

void Sampler::adjust() {
    for (const Adjustment& by : adjustments_) {
        double& score = scores_[static_cast<size_t>(by.token)];
        score = adjusted(score, by, penalties_);
    }
}

TokenId Sampler::first_of(double score) const {
    const auto at = std::find(scores_.begin(), scores_.end(), score);
    return {static_cast<int32_t>(at - scores_.begin())};
}

// Banned tokens (−∞) are no candidates: their weight is 0, and no rounding can ever draw what adds nothing.
TokenId Sampler::choose(double highest) {
    if (params_.top_k > 0) {
        const auto banned = std::count(scores_.begin(), scores_.end(), kBanned);
        const auto limit = static_cast<size_t>(params_.top_k);
        if (limit < scores_.size() - static_cast<size_t>(banned)) {
            keep_top_k(limit, highest);
            return draw();
        }
    }
    for (double& score : scores_) score -= highest;
    if (params_.temperature != 1) {
        for (double& score : scores_) score /= static_cast<double>(params_.temperature);
    }
    portable_exp(scores_);
    if (params_.top_p < 1) {
        keep_top_p();
        return draw();
    }
    if (params_.min_p > 0) drop_below(scores_, static_cast<double>(params_.min_p));
    return draw_of_all();
}

double Sampler::exponent(double score, double highest) const {
    return (score - highest) / static_cast<double>(params_.temperature);
}

// The candidates with the tokens whose scores_ reach `least`.
void Sampler::collect(double least) {
    candidates_.clear();
    for (size_t i = 0; i < scores_.size(); ++i) {
        if (scores_[i] >= least) candidates_.push_back({scores_[i], static_cast<int32_t>(i)});
    }
}

bool Sampler::more_probable(const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

// Which `limit` tokens have the largest weights is known from their scores, except where these are so close that their
// weights may be equal or the other way round; so all tokens down to a little below the score of rank `limit` are
// weighed, and few others. The scores are read once: whenever twice as many were collected as are left after a cut, the
// worse are cut off and set the bar for the next.
void Sampler::keep_top_k(size_t limit, double highest) {
    const double close = 1e-9 * static_cast<double>(params_.temperature);
    double least = std::numeric_limits<double>::lowest();
    const auto cut = [&] {
        const auto rank = candidates_.begin() + static_cast<ptrdiff_t>(limit - 1);
        std::nth_element(candidates_.begin(), rank, candidates_.end(), more_probable);
        // Where weights are subnormal or 0, far apart scores can share one.
        if (exponent(rank->weight, highest) > kNormal) least = rank->weight - close;
        std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < least; });
    };
    candidates_.clear();
    size_t enough = std::max<size_t>(2 * limit, 1024);
    for (size_t i = 0; i < scores_.size(); ++i) {
        if (!(scores_[i] >= least)) continue;
        candidates_.push_back({scores_[i], static_cast<int32_t>(i)});
        if (candidates_.size() < enough) continue;
        cut();
        enough = std::max<size_t>(2 * candidates_.size(), 1024);
    }
    cut();
    for (size_t i = 0; i < candidates_.size(); ++i) {
        scores_[i] = exponent(candidates_[i].weight, highest);
    }
    portable_exp(std::span(scores_).first(candidates_.size()));
    for (size_t i = 0; i < candidates_.size(); ++i) candidates_[i].weight = scores_[i];

    const auto end = candidates_.begin() + static_cast<ptrdiff_t>(limit);
    std::nth_element(candidates_.begin(), end - 1, candidates_.end(), more_probable);
    std::sort(candidates_.begin(), end, more_probable);
    candidates_.erase(end, candidates_.end());
    double mass = 0;
    for (const Candidate& c : candidates_) mass += c.weight;
    keep_first(mass);
}

// The set that reaches top_p is among the more probable tokens: a bar is lowered until those above it have more. It need
// not go below the mean of half of what may be missing.
void Sampler::keep_top_p() {
    const double mass = add_up();
    const auto top_p = static_cast<double>(params_.top_p);
    const double lowest = 0.5 * (1 - top_p) * mass / static_cast<double>(scores_.size());
    double least = 0.125;
    while (least > lowest && sum_from(scores_, least) < (top_p + 1e-9) * mass) least *= 0.125;
    collect(std::max(least, lowest));
    std::sort(candidates_.begin(), candidates_.end(), more_probable);
    keep_first(mass);
}

// Of sorted candidates: the first that reach top_p of `mass`, of these what reaches min_p (the highest weight is 1).
// They are drawn from in the opposite order.
void Sampler::keep_first(double mass) {
    const auto top_p = static_cast<double>(params_.top_p);
    const auto min_p = static_cast<double>(params_.min_p);
    size_t kept = 0;
    for (double reached = 0;
         kept < candidates_.size() && (kept == 0 || top_p >= 1 || reached < top_p * mass);) {
        reached += candidates_[kept++].weight;
    }
    while (kept > 1 && candidates_[kept - 1].weight < min_p) --kept;
    candidates_.erase(candidates_.begin() + static_cast<ptrdiff_t>(kept), candidates_.end());
    std::reverse(candidates_.begin(), candidates_.end());
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

// The sum of all weights, and in reached_ those before every block.
double Sampler::add_up() {
    double mass = 0;
    reached_.clear();
    for (size_t i = 0; i < scores_.size(); i += kBlock) {
        reached_.push_back(mass);
        mass += sum_of_block(std::span(scores_).subspan(i, std::min(kBlock, scores_.size() - i)));
    }
    return mass;
}

// draw() from the weights of all tokens: the block, then the token in it.
TokenId Sampler::draw_of_all() {
    const double mass = add_up();
    const double point = random_.unit() * mass;
    // The first block is at 0 and never beyond the point.
    const auto after = std::upper_bound(reached_.begin(), reached_.end(), point);
    const auto block = static_cast<size_t>(after - reached_.begin()) - 1;
    double reached = reached_[block];
    const size_t end = std::min((block + 1) * kBlock, scores_.size());
    for (size_t i = block * kBlock; i < end; ++i) {
        reached += scores_[i];
        if (reached > point) return {static_cast<int32_t>(i)};
    }
    // Only where the block's sum was rounded up to the point: as in draw().
    return first_of(largest(scores_));
}

void Sampler::count(TokenId token) {
    if (!penalises_) return;
    int32_t& times = adjustment_of(token.value).times;
    times = std::max(times, 0) + 1;
}

}  // namespace millrace
