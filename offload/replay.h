#pragma once
// How often an expert would have been in memory: cache policies on a recorded trace, without a model or a drive.

#include <cstdint>

#include "offload/router_trace.h"

namespace millrace {

enum class ReplayPolicy : uint8_t {
    kLru,         // the least recently used goes
    kLfu,         // the least often used since the start, in memory or not
    kLfuDecayed,  // the same, but counts halve in 256 tokens
    kMillrace,    // expert_policy.h
    kBelady,      // the one whose next use is farthest away: no policy can miss less
};

struct ReplayCounts {
    uint64_t asked = 0;   // experts, once for every layer and forward that uses them
    uint64_t misses = 0;  // of them
};

// The counts of a cache of `slots` slots, empty at first. A step that needs more than fits goes in portions, as the engine
// does it. At least 2 slots.
[[nodiscard]] ReplayCounts replay(const RouterTrace& trace, ReplayPolicy policy, int32_t slots);

// Of the distance from the best of the three known policies to Belady: the part that ours has covered. Negative when ours
// is worse; 1 when there was no distance.
struct ReplayRow {
    int32_t slots = 0;
    uint64_t asked = 0;
    uint64_t lru = 0, lfu = 0, lfu_decayed = 0, millrace = 0, belady = 0;  // misses

    [[nodiscard]] uint64_t best_known() const;
    [[nodiscard]] double gap_closed() const;
};
[[nodiscard]] ReplayRow replay_all(const RouterTrace& trace, int32_t slots);

// A made-up trace: every expert has a liking for each of some topics, the conversation drifts from topic to topic, and
// what one token chose the next is likely to want again.
struct SyntheticTrace {
    uint64_t seed = 1;
    int32_t layers = 43, experts = 256, experts_per_token = 6, fixed_layers = 3;
    int32_t topics = 12;
    int32_t vocabulary = 4000;  // of the fixed layers
    int64_t tokens = 2000;
};
[[nodiscard]] RouterTrace make_trace(const SyntheticTrace& options);

}  // namespace millrace
