#include "core/engine/router_ranks.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/random.h"

namespace millrace::test {
namespace {

using Ranks = std::vector<uint8_t>;

TEST_CASE("ranks are the order of score and bias, the chosen first") {
    const std::vector<float> logits = {0, 5, 2, -3, 1};
    Ranks ranks(5);
    rank_experts(logits, {}, std::vector<int32_t>{1, 2}, ranks);
    CHECK(ranks == Ranks{3, 0, 1, 4, 2});
    const std::vector<float> bias = {9, 0, 0, 0, 0};
    rank_experts(logits, bias, std::vector<int32_t>{0, 1}, ranks);
    CHECK(ranks == Ranks{0, 1, 2, 4, 3});
}

TEST_CASE("equal scores share a rank behind the chosen") {
    Ranks ranks(4);
    rank_experts(std::vector<float>{1, 1, 1, 1}, {}, std::vector<int32_t>{3}, ranks);
    CHECK(ranks == Ranks{1, 1, 1, 0});
}

TEST_CASE("ranks of many experts follow their scores") {
    Random random(1);
    std::vector<float> logits(384);
    for (float& x : logits) x = static_cast<float>(random.unit() * 8 - 4);
    Ranks ranks(384);
    std::vector<int32_t> order(384);
    for (int32_t i = 0; i < 384; ++i) order[static_cast<size_t>(i)] = i;
    std::ranges::sort(order, std::greater<>(),
                      [&](int32_t i) { return logits[static_cast<size_t>(i)]; });
    rank_experts(logits, {}, std::span(order).first(6), ranks);
    for (size_t place = 0; place < 384; ++place) {
        const int rank = ranks[static_cast<size_t>(order[place])];
        const int wanted = static_cast<int>(std::min<size_t>(place, 255));
        CHECK(std::abs(rank - wanted) <= 4);  // whoever shares a bin
        if (place < 6) CHECK(rank == wanted);
    }
}

TEST_CASE("numbers that are none do no harm") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float inf = std::numeric_limits<float>::infinity();
    Ranks ranks(4);
    rank_experts(std::vector<float>{nan, inf, -inf, 0}, {}, std::vector<int32_t>{1}, ranks);
    CHECK(ranks[1] == 0);
    CHECK(ranks[3] == 1);
    CHECK(ranks[0] >= 2);
    rank_experts(std::vector<float>{0, 1, 2, 3}, std::vector<float>{nan, inf, -inf, 0},
                 std::vector<int32_t>{1}, ranks);
    CHECK(ranks[1] == 0);
}

TEST_CASE("of a layer that looks up only the chosen are known") {
    Ranks ranks(4);
    rank_fixed(std::vector<int32_t>{2, 0}, ranks);
    CHECK(ranks == Ranks{1, kRankFar, 0, kRankFar});
}

}  // namespace
}  // namespace millrace::test
