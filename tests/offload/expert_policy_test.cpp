// The policy alone, and against the known ones on traces: what it learns, what it keeps, that it is never worse.

#include "offload/expert_policy.h"

#include <doctest/doctest.h>

#include <vector>

#include "core/base/random.h"
#include "offload/replay.h"

namespace millrace::test {
namespace {

constexpr int32_t kLayers = 3, kExperts = 8;

ExpertKey key(int32_t layer, int32_t expert) { return {{layer}, {expert}}; }

// A token passes a layer and chooses `expert`; the others stand behind it in the order of their numbers.
void pass(ExpertPolicy& policy, int32_t layer, int32_t expert) {
    std::vector<uint8_t> ranks(kExperts);
    uint8_t next = 1;
    for (int32_t e = 0; e < kExperts; ++e) {
        ranks[static_cast<size_t>(e)] = e == expert ? uint8_t{0} : next++;
    }
    policy.observe({layer}, {ranks.data(), 1, kExperts}, 1);
}

TEST_CASE("nobody may go before anybody was added") {
    ExpertPolicy policy(kLayers, kExperts);
    CHECK_FALSE(policy.victim());
    policy.add(key(1, 2));
    CHECK(policy.victim() == key(1, 2));
    policy.remove(key(1, 2));
    CHECK_FALSE(policy.victim());
}

TEST_CASE("of one layer the one that is chosen least goes") {
    ExpertPolicy policy(1, kExperts);
    for (int token = 0; token < 60; ++token) pass(policy, 0, token % 3 == 0 ? 1 : 2);
    for (const int32_t e : {1, 2, 5}) policy.add(key(0, e));
    CHECK(policy.victim() == key(0, 5));
    policy.remove(key(0, 5));
    CHECK(policy.victim() == key(0, 1));
    CHECK(policy.distance(key(0, 1)) > policy.distance(key(0, 2)));
}

TEST_CASE("of equals in several layers the layer that was just passed gives first") {
    ExpertPolicy policy(kLayers, kExperts);
    for (int token = 0; token < 300; ++token) {
        for (int32_t layer = 0; layer < kLayers; ++layer) pass(policy, layer, 4);
    }
    pass(policy, 0, 4);
    for (int32_t layer = 0; layer < kLayers; ++layer) policy.add(key(layer, 4));
    CHECK(policy.victim() == key(0, 4));  // layers 1 and 2 come first
    policy.remove(key(0, 4));
    CHECK(policy.victim() == key(2, 4));
}

TEST_CASE("what was nearly chosen is nearer than what never was") {
    ExpertPolicy policy(1, kExperts);
    std::vector<uint8_t> ranks(kExperts);
    Random random(1);
    // 0 and 1 take turns by chance; the other of the two stands right behind; 7 is never near.
    for (int token = 0; token < 300; ++token) {
        const bool turn = random.below(2) == 0;
        for (int32_t e = 0; e < kExperts; ++e) ranks[static_cast<size_t>(e)] = uint8_t(e);
        ranks[0] = turn ? 0 : 1;
        ranks[1] = turn ? 1 : 0;
        policy.observe({0}, {ranks.data(), 1, kExperts}, 1);
    }
    CHECK(policy.distance(key(0, 0)) < 5);
    CHECK(policy.distance(key(0, 1)) < 5);
    CHECK(policy.distance(key(0, 7)) > 50);
}

TEST_CASE("what is expected stays until its layer is passed") {
    ExpertPolicy policy(kLayers, kExperts);
    for (int token = 0; token < 20; ++token) {
        for (int32_t layer = 0; layer < kLayers; ++layer) pass(policy, layer, 4);
    }
    policy.add(key(1, 7));
    policy.add(key(1, 4));
    CHECK(policy.victim() == key(1, 7));
    policy.expect(key(1, 7));
    CHECK(policy.victim() == key(1, 4));
    pass(policy, 1, 4);
    CHECK(policy.victim() == key(1, 7));
}

TEST_CASE("a layer that nobody passes any more gives all that it has") {
    ExpertPolicy policy(kLayers, kExperts);
    for (int token = 0; token < 20; ++token) {
        for (int32_t layer = 0; layer < kLayers; ++layer) pass(policy, layer, 4);
    }
    for (int token = 0; token < 2000; ++token) {
        for (int32_t layer = 0; layer < kLayers - 1; ++layer) pass(policy, layer, token % 7);
    }
    policy.add(key(2, 4));
    policy.add(key(0, 6));
    CHECK(policy.victim() == key(2, 4));
}

// No weight runs away, whatever a router does.
TEST_CASE("predictions stay finite on hostile routers") {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        Random random(seed);
        ExpertPolicy policy(1, 256);
        std::vector<uint8_t> ranks(256);
        for (int token = 0; token < 3000; ++token) {
            const uint64_t kind = random.below(4);
            for (uint8_t& rank : ranks) {
                rank = kind == 0 ? 0 : kind == 1 ? 255 : static_cast<uint8_t>(random.below(256));
            }
            policy.observe({0}, {ranks.data(), 1, 256},
                           static_cast<int32_t>(1 + random.below(255)));
        }
        for (int32_t e = 0; e < 256; ++e) {
            const float d = policy.distance(key(0, e));
            REQUIRE(d >= 0);
            REQUIRE(d <= 1002);
        }
    }
}

// Misses of ours are at most those of the better of LRU and LFU, at every size, on traces that no constant was tuned on.
TEST_CASE("never worse than the better of the known policies") {
    for (uint64_t seed = 101; seed <= 104; ++seed) {
        const RouterTrace trace = make_trace({.seed = seed,
                                              .layers = 6,
                                              .experts = 32,
                                              .experts_per_token = 3,
                                              .fixed_layers = 1,
                                              .vocabulary = 500,
                                              .tokens = 800});
        for (const int32_t slots : {12, 23, 48, 96}) {
            CAPTURE(seed);
            CAPTURE(slots);
            const ReplayRow row = replay_all(trace, slots);
            CHECK(row.millrace <= row.best_known());
            CHECK(row.belady <= row.millrace);
            CHECK(row.gap_closed() > 0.1);
        }
    }
}

// A prompt that uses everything once does not drive out what the tokens before it kept using.
TEST_CASE("a long prompt leaves what is warm") {
    constexpr int32_t kMany = 64, kChosen = 4;
    ExpertPolicy policy(1, kMany);
    std::vector<uint8_t> ranks(kMany, 255);
    for (uint8_t e = 0; e < kChosen; ++e) ranks[e] = e;
    for (int token = 0; token < 100; ++token)
        policy.observe({0}, {ranks.data(), 1, kMany}, kChosen);
    std::vector<uint8_t> prompt(kMany * size_t{16}, 255);
    for (size_t i = 0; i < kMany; ++i) prompt[i / kChosen * kMany + i] = uint8_t(i % kChosen);
    policy.observe({0}, {prompt.data(), 16, kMany}, kChosen);
    for (int32_t e = 0; e < kMany; ++e) policy.add(key(0, e));
    for (int32_t gone = 0; gone < kMany / 2; ++gone) {
        const auto victim = policy.victim();
        REQUIRE(victim);
        CHECK(victim->expert.value >= kChosen);
        policy.remove(*victim);
    }
}

}  // namespace
}  // namespace millrace::test
