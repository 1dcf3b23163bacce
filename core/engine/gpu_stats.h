#pragma once
// What is counted of the experts on a GPU (gpu_tier.h).

#include <atomic>
#include <cstdint>

namespace millrace {

struct GpuTierStats {
    int32_t slots = 0;  // that hold what they are given
    int32_t there = 0;  // of them, now
    // Experts that layers used: there already, computed by the CPU, copied for it.
    uint64_t hits = 0, by_cpu = 0, copied = 0;
    uint64_t promoted = 0;  // began to be copied because they deserve a slot
    uint64_t dropped = 0;   // gave their slot to another

    // Those of several GPUs together.
    GpuTierStats& operator+=(const GpuTierStats& other) {
        slots += other.slots;
        there += other.there;
        hits += other.hits;
        by_cpu += other.by_cpu;
        copied += other.copied;
        promoted += other.promoted;
        dropped += other.dropped;
        return *this;
    }
};

// What the tier counts: written by the engine thread, read by any, also when the tier is gone.
struct GpuTierCounts {
    std::atomic<uint64_t> hits{0}, by_cpu{0}, copied{0}, promoted{0}, dropped{0};
    std::atomic<int32_t> slots{0}, there{0};

    [[nodiscard]] GpuTierStats stats() const {
        return {.slots = slots,
                .there = there,
                .hits = hits,
                .by_cpu = by_cpu,
                .copied = copied,
                .promoted = promoted,
                .dropped = dropped};
    }
};

}  // namespace millrace
