#pragma once
// A feed that is filled by hand, for a model of three layers of sixteen experts, two a token.

#include <memory>
#include <vector>

#include "core/engine/live_feed.h"
#include "tests/support/feed_model.h"

namespace millrace::test {

inline constexpr int32_t kLayers = 3, kExperts = 16, kChosen = 2;

inline ExpertCacheStats fed_stats() {
    ExpertCacheStats stats;
    stats.layer_hits = {3, 0, 10};
    stats.layer_misses = {1, 0, 0};
    stats.layer_wait_ns = {2'000'000, 0, 0};
    return stats;
}

struct FedWorld {
    FedWorld() : feed(std::make_unique<LiveFeed>(model)) {}
    // Token number i takes i + 1 milliseconds.
    void decode(int64_t i) {
        StepRecord record;
        record.decode = true;
        record.tokens = 1;
        record.position = 100 + i;
        record.step_ns = (i + 1) * 1'000'000;
        record.hits = 5;
        record.misses = 1;
        record.drive_bytes = 1'000'000;
        record.drive_busy_ns = 500'000;
        record.part_ns.fill(100'000);
        record.reads_in_flight = static_cast<int32_t>(i % 7);
        std::vector<int16_t> experts(kLayers * kChosen);
        for (int16_t layer = 0; layer < kLayers; ++layer) {
            experts[static_cast<size_t>(layer) * 2] = layer;
            experts[static_cast<size_t>(layer) * 2 + 1] = static_cast<int16_t>(8 + i % 8);
        }
        feed->add(record, experts);
    }
    void prefill(int64_t position, int32_t tokens) {
        StepRecord record;
        record.position = position;
        record.tokens = tokens;
        record.step_ns = 2'000'000'000;
        feed->add(record, {});
    }

    FeedModel model{kLayers, kChosen, fed_stats()};
    std::unique_ptr<LiveFeed> feed;
};

}  // namespace millrace::test
