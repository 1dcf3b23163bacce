// Distances of logits whose probabilities are simple fractions.

#include "core/engine/logit_distance.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace millrace {
namespace {

std::vector<float> logits_of(const std::vector<double>& probabilities, double shift) {
    std::vector<float> out;
    for (const double p : probabilities) out.push_back(static_cast<float>(std::log(p) + shift));
    return out;
}

constexpr double kNear = 1e-5;  // logits are fp32

}  // namespace

TEST_CASE("perplexity, divergence and agreement of known distributions") {
    // Logits far from 0: only their differences count, except where differences of logits are asked for.
    const auto reference = logits_of({0.5, 0.25, 0.25}, 100);
    const auto other = logits_of({0.25, 0.5, 0.25}, 100);
    LogitDistance distance;
    distance.add(reference, other, TokenId{0});
    CHECK(distance.rows() == 1);
    CHECK(distance.targets() == 1);
    CHECK(distance.reference_perplexity() == doctest::Approx(2).epsilon(kNear));
    CHECK(distance.perplexity() == doctest::Approx(4).epsilon(kNear));
    CHECK(distance.log_ratio() == doctest::Approx(std::log(2)).epsilon(kNear));
    // 0.5·ln 2 − 0.25·ln 2
    CHECK(distance.mean_divergence() == doctest::Approx(0.25 * std::log(2)).epsilon(kNear));
    CHECK(distance.top1_equal() == 0);
    CHECK(distance.largest_difference() == doctest::Approx(std::log(2)).epsilon(kNear));
    CHECK(distance.mean_difference() == doctest::Approx(2.0 / 3 * std::log(2)).epsilon(kNear));
}

TEST_CASE("equal rows have no distance, and rows without a next token no perplexity") {
    const std::vector<float> row = {1, 5, -3};
    LogitDistance distance;
    distance.add(row, row, std::nullopt);
    CHECK(distance.rows() == 1);
    CHECK(distance.targets() == 0);
    CHECK(distance.perplexity() == 1);
    CHECK(distance.mean_divergence() == 0);
    CHECK(distance.top1_equal() == 1);
    CHECK(distance.largest_difference() == 0);
    CHECK(distance.reference_deviation() == doctest::Approx(std::sqrt(32.0 / 3)));
}

TEST_CASE("sums of two parts are those of the whole; an empty one changes nothing") {
    const auto a = logits_of({0.5, 0.25, 0.25}, 0);
    const auto b = logits_of({0.25, 0.5, 0.25}, 1);
    LogitDistance whole, first, second;
    whole.add(a, b, TokenId{0});
    whole.add(b, b, TokenId{1});
    first.add(a, b, TokenId{0});
    second.add(b, b, TokenId{1});
    first += second;
    first += LogitDistance();
    CHECK(first.rows() == 2);
    CHECK(first.perplexity() == doctest::Approx(whole.perplexity()));
    CHECK(first.reference_perplexity() == doctest::Approx(2));
    CHECK(first.mean_divergence() == doctest::Approx(whole.mean_divergence()));
    CHECK(first.top1_equal() == 0.5);
    CHECK(first.largest_difference() == whole.largest_difference());
    CHECK(LogitDistance().perplexity() == 1);
    CHECK(LogitDistance().top1_equal() == 0);
}

}  // namespace millrace
