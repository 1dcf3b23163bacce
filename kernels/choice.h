#pragma once
// What choosing a token is made of, for the host (core/engine/sampler.h) and for ops that choose where the logits lie
// (Ops::choose): the same operations on doubles in the same order, so that both choose the same token bit by bit.
//
// Sums over the vocabulary have one order, too: blocks of kChoiceBlock tokens; in a block kChoiceLanes sums, each of every
// kChoiceLanes-th token in order; those in order; blocks in order.

#include <bit>
#include <cstdint>
#include <span>

namespace millrace {

inline constexpr int kChoiceBlock = 256;
inline constexpr int kChoiceLanes = 8;

// How the score of a token differs from its logit.
struct Adjustment {
    int32_t token;
    int32_t times;  // that it was generated; −1: it was not even seen
    double bias;    // added; −∞ bans the token
};
struct Penalties {
    double repetition = 1, presence = 0, frequency = 0;  // SamplingParams
};
[[nodiscard]] constexpr double adjusted(double logit, const Adjustment& by, const Penalties& p) {
    double score = logit + by.bias;
    if (by.times < 0) return score;
    score = score > 0 ? score / p.repetition : score * p.repetition;
    if (by.times == 0) return score;
    score -= p.presence;
    return score - p.frequency * by.times;
}

// One choice, as SamplingParams says.
struct ChoiceRequest {
    std::span<const Adjustment> adjustments;  // each token once; the host's memory
    Penalties penalties;
    double temperature = 1;  // 0: greedy
    int32_t top_k = 0;
    double top_p = 1;
    double min_p = 0;
    double unit = 0;  // 0 ≤ unit < 1: the place in what is left
};

inline constexpr double kInverseLn2 = 0x1.71547652b82fep0;
inline constexpr double kLn2High = 0x1.62e42fee00000p-1;  // 33 bits: n·high is exact
inline constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
// Adding it to a number below 2⁵¹ rounds that to an integer and leaves it in the last bits.
inline constexpr double kRoundingShift = 0x1.8p52;

// x = n·ln 2 + r with |r| ≤ ln 2 / 2; the Taylor series of eʳ to r¹³ is then exact to 2⁻⁵⁷.
template <class Number>
[[gnu::always_inline]] constexpr Number exp_of_rest(const Number& x, const Number& n) {
    const Number r = (x - n * kLn2High) - n * kLn2Low;
    Number sum = r * (1.0 / 6227020800) + 1.0 / 479001600;
    sum = sum * r + 1.0 / 39916800;
    sum = sum * r + 1.0 / 3628800;
    sum = sum * r + 1.0 / 362880;
    sum = sum * r + 1.0 / 40320;
    sum = sum * r + 1.0 / 5040;
    sum = sum * r + 1.0 / 720;
    sum = sum * r + 1.0 / 120;
    sum = sum * r + 1.0 / 24;
    sum = sum * r + 1.0 / 6;
    sum = sum * r + 1.0 / 2;
    sum = sum * r + 1.0;
    return sum * r + 1.0;
}

// eˣ for x ≤ 0, at most 2 units in the last place off, the same bits everywhere; −∞ gives 0.
[[nodiscard]] constexpr double exp_below(double x) {
    constexpr double kUnderflow = -745.2;  // below it eˣ rounds to 0
    if (!(x > kUnderflow)) return 0;
    const double y = x * kInverseLn2 + 0.5;
    const double near = (y + kRoundingShift) - kRoundingShift;
    const double n = near > y ? near - 1.0 : near;  // ⌊y⌋
    // The first product is exact and normal, so that 2ⁿ rounds once, also to a subnormal number.
    constexpr int64_t kLift = 1000;
    const double power = std::bit_cast<double>((static_cast<int64_t>(n) + kLift + 1023) << 52);
    const double least = std::bit_cast<double>((1023 - kLift) << 52);
    return exp_of_rest(x, n) * power * least;
}

}  // namespace millrace
