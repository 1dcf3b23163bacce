#include "offload/router_trace.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "offload/replay.h"

namespace millrace::test {
namespace {

RouterTrace small_trace() {
    TraceShape shape{2, 5, 2, {1, 0}};
    RouterTrace trace(shape);
    const std::vector<int32_t> ids = {0, 1, 3, 2, 4, 0};
    const std::vector<uint8_t> ranks = {0, 1, 2, 3, 4, 4, 3, 1, 0, 2, 1, 2, 3, 4, 0};
    trace.add({0}, {ids.data(), 3, 2}, {ranks.data(), 3, 5});
    trace.add({1}, {ids.data(), 3, 2}, {ranks.data(), 3, 5});
    return trace;
}

TEST_CASE("a trace comes back as it was written") {
    const RouterTrace trace = small_trace();
    const auto back = RouterTrace::parse(trace.file());
    REQUIRE(back.ok());
    CHECK(back->shape() == trace.shape());
    CHECK(back->tokens() == 3);
    REQUIRE(back->steps().size() == 2);
    const TraceStep& fixed = back->steps()[0];
    const TraceStep& scored = back->steps()[1];
    CHECK(back->ids(scored)[3] == 2);
    CHECK(back->ranks(fixed).rows == 0);
    REQUIRE(back->ranks(scored).rows == 3);
    CHECK(back->ranks(scored).row(1)[2] == 1);
    CHECK(back->file() == trace.file());
}

TEST_CASE("only the last rows of many are ranked") {
    RouterTrace trace(TraceShape{1, 3, 1, {0}});
    const std::vector<int32_t> ids(100, 2);
    const std::vector<uint8_t> ranks(kRankedRows * 3, 1);
    trace.add({0}, {ids.data(), 100, 1}, {ranks.data(), kRankedRows, 3});
    const auto back = RouterTrace::parse(trace.file());
    REQUIRE(back.ok());
    CHECK(back->ranks(back->steps()[0]).rows == kRankedRows);
    CHECK(back->ids(back->steps()[0]).size() == 100);
}

TEST_CASE("traces of one model are put together") {
    RouterTrace trace = small_trace();
    trace.append(small_trace());
    CHECK(trace.tokens() == 6);
    CHECK(trace.ids(trace.steps()[3])[4] == 4);
    CHECK(trace.ranks(trace.steps()[3]).row(2)[4] == 0);
}

TEST_CASE("every flipped bit and every missing byte of a trace is refused") {
    const std::vector<std::byte> good = small_trace().file();
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
        std::vector<std::byte> bad = good;
        bad[bit / 8] ^= std::byte(1 << (bit % 8));
        CAPTURE(bit);
        REQUIRE_FALSE(RouterTrace::parse(bad).ok());
    }
    for (size_t bytes = 0; bytes < good.size(); ++bytes) {
        const auto cut = RouterTrace::parse(std::span(good).first(bytes));
        REQUIRE_FALSE(cut.ok());
        CHECK(cut.error().message.find("record") != std::string::npos);
    }
    std::vector<std::byte> longer = good;
    longer.push_back(std::byte{0});
    CHECK_FALSE(RouterTrace::parse(longer).ok());
}

// Belady is the best there is, a cache of everything misses each once, and LRU is LRU.
TEST_CASE("known policies on a trace that can be counted by hand") {
    RouterTrace trace(TraceShape{1, 4, 1, {1}});
    const std::vector<uint8_t> none(4, 255);
    // 0 1 0 2 0 1 in two slots of which one is the expert at work.
    for (const int32_t id : {0, 1, 0, 2, 0, 1}) {
        trace.add({0}, {&id, 1, 1}, {none.data(), 1, 4});
    }
    CHECK(replay(trace, ReplayPolicy::kLru, 2).misses == 4);
    CHECK(replay(trace, ReplayPolicy::kLfu, 2).misses == 4);
    CHECK(replay(trace, ReplayPolicy::kBelady, 2).misses == 4);
    for (const int32_t id : {2, 0, 2, 1}) trace.add({0}, {&id, 1, 1}, {none.data(), 1, 4});
    // 0 1 0 2 0 1 2 0 2 1: LRU throws out 0 for 2 at the seventh, which it wants at the eighth.
    CHECK(replay(trace, ReplayPolicy::kLru, 2).misses == 7);
    CHECK(replay(trace, ReplayPolicy::kBelady, 2).misses == 6);
    CHECK(replay(trace, ReplayPolicy::kMillrace, 4).misses == 3);
    CHECK(replay(trace, ReplayPolicy::kLru, 4).asked == 10);
}

TEST_CASE("a made-up trace depends on its seed and nothing else") {
    const SyntheticTrace options{.seed = 3,
                                 .layers = 3,
                                 .experts = 16,
                                 .experts_per_token = 2,
                                 .fixed_layers = 1,
                                 .vocabulary = 50,
                                 .tokens = 40};
    CHECK(make_trace(options).file() == make_trace(options).file());
    SyntheticTrace other = options;
    other.seed = 4;
    CHECK(make_trace(options).file() != make_trace(other).file());
    CHECK(make_trace(options).tokens() == 40);
    CHECK(RouterTrace::parse(make_trace(options).file()).ok());
}

}  // namespace
}  // namespace millrace::test
