// What plots are drawn from, against a feed that was filled by hand.

#include "ui/engine_feed.h"

#include <doctest/doctest.h>

#include <memory>
#include <numeric>

#include "tests/ui/fed_world.h"

namespace millrace::test {
namespace {

struct World : FedWorld {
    void take(double now_s = 1) { history.take(feed.get(), kLayers, kExperts, now_s); }
    EngineHistory history;
};

}  // namespace

TEST_CASE("tokens and chunks of the feed become curves") {
    World world;
    world.take();
    CHECK(world.history.empty());
    world.prefill(0, 512);
    world.prefill(512, 100);
    for (int64_t i = 0; i < 4; ++i) world.decode(i);
    world.take();
    const EngineHistory& history = world.history;
    REQUIRE(history.tokens().size() == 4);
    CHECK(history.tokens()[3].position == 103);
    CHECK(history.tokens_per_second()[0] == doctest::Approx(1000));
    CHECK(history.tokens_per_second()[3] == doctest::Approx(250));
    CHECK(history.rate_of_last(2) == doctest::Approx(2000.0 / 7));
    CHECK(history.hit_share()[0] == doctest::Approx(5.0 / 6));
    CHECK(history.reads_in_flight()[3] == 3);
    REQUIRE(history.chunk_rate().size() == 2);
    CHECK(history.chunk_rate()[0] == doctest::Approx(256));
    CHECK(history.chunk_position()[1] == 512);
    // All parts are in some group, and each once.
    float sum = 0;
    for (size_t g = 0; g < kTimeGroups; ++g) sum += history.group_ms(static_cast<TimeGroup>(g))[0];
    CHECK(sum == doctest::Approx(0.1 * kStepParts));
    CHECK(history.group_ms(TimeGroup::kAttention)[0] == doctest::Approx(0.4));
    CHECK(history.group_ms(TimeGroup::kWait)[0] == doctest::Approx(0.1));
}

TEST_CASE("the drive's limit is the best rate over some time, and shares are of it") {
    World world;
    for (int64_t i = 0; i < 8; ++i) world.decode(i);
    world.take();
    CHECK(world.history.drive_limit() == doctest::Approx(2e9));
    CHECK(world.history.drive_while_reading().back() == doctest::Approx(1));
    CHECK(world.history.drive_of_token()[0] == doctest::Approx(0.5));
    CHECK(world.history.drive_of_token()[7] == doctest::Approx(1.0 / 16));
}

TEST_CASE("only the last are kept, and none twice") {
    World world;
    for (int64_t i = 0; i < 2000; ++i) {
        world.decode(i);
        if (i % 77 == 0) world.take();
    }
    world.take();
    world.take();
    REQUIRE(world.history.tokens().size() == EngineHistory::kTokensMax);
    CHECK(world.history.first_token() == 1400);
    for (size_t i = 0; i < 600; ++i)
        CHECK(world.history.tokens()[i].position == 1500 + static_cast<int64_t>(i));
    CHECK(world.history.group_ms(TimeGroup::kExperts).size() == EngineHistory::kTokensMax);
}

TEST_CASE("the routers' choices are counted over the last tokens that were asked for") {
    World world;
    for (int64_t i = 0; i < 300; ++i) world.decode(i);
    world.take();
    const EngineHistory::Routing few = world.history.routing(16);
    CHECK(few.tokens == 16);
    CHECK(few.highest == 16);
    CHECK(few.counts.size() == kLayers * kExperts);
    CHECK(few.counts[0] == 16);             // expert 0 of layer 0, by every token
    CHECK(few.counts[kExperts + 1] == 16);  // expert 1 of layer 1
    CHECK(few.counts[1] == 0);
    for (size_t e = 8; e < 16; ++e) CHECK(few.counts[2 * kExperts + e] == 2);
    CHECK(world.history.routing(1000).tokens == EngineHistory::kRoutedMax);

    const auto tokens = world.history.tokens();
    const std::span<const int16_t> last = world.history.experts_of(tokens.back());
    REQUIRE(last.size() == kLayers * kChosen);
    CHECK(last[1] == 8 + 299 % 8);
    CHECK(world.history.experts_of(tokens.front()).empty());  // too long ago
}

TEST_CASE("a pause takes nothing in; afterwards what the feed still has is there") {
    World world;
    world.decode(0);
    world.take();
    const uint64_t version = world.history.version();
    world.history.pause(true);
    for (int64_t i = 1; i < 10; ++i) world.decode(i);
    world.take();
    CHECK(world.history.tokens().size() == 1);
    CHECK(world.history.version() == version);
    world.history.pause(false);
    world.take();
    CHECK(world.history.tokens().size() == 10);
}

TEST_CASE("hits by layer come from the cache, not more often than four times a second") {
    World world;
    world.decode(0);
    world.take(10);
    REQUIRE(world.history.layer_hit_share().size() == kLayers);
    CHECK(world.history.layer_hit_share()[0] == doctest::Approx(0.75));
    CHECK(world.history.layer_hit_share()[1] == 0);
    CHECK(world.history.layer_wait_ms()[0] == doctest::Approx(2));
}

TEST_CASE("another feed begins anew, also at the same place, and none forgets everything") {
    World world;
    for (int64_t i = 0; i < 5; ++i) world.decode(i);
    world.take();
    REQUIRE(world.history.tokens().size() == 5);
    LiveFeed* const place = world.feed.get();
    std::destroy_at(place);
    std::construct_at(place, world.model);
    world.decode(40);
    world.take();
    REQUIRE(world.history.tokens().size() == 1);
    CHECK(world.history.tokens()[0].position == 140);
    world.history.take(nullptr, 0, 0, 2);
    CHECK(world.history.empty());
    CHECK(world.history.routing(16).counts.empty());
}

}  // namespace millrace::test
