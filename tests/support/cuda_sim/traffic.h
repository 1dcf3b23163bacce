#pragma once
// Accesses that the lanes of a warp make together, and what they cost: bank conflicts and sectors.

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "tests/support/cuda_sim/simulator.h"

namespace millrace::cuda_sim {

// An access of a lane is the n-th of its instruction since the lane last waited; lanes that agree in all of that access
// together. That is what happens where lanes do not diverge.
struct AccessKey {
    uint32_t warp;
    uint32_t waits;  // how often the lane has waited
    uintptr_t instruction;
    uint32_t time;
    bool operator==(const AccessKey&) const = default;
};

class Traffic {
public:
    void note(uint32_t thread, uint32_t waits, uintptr_t instruction, uintptr_t at, size_t bytes,
              bool shared);
    // The end of a block: adds up what its warps did.
    void count(WarpTraffic& shared, WarpTraffic& global);

private:
    struct KeyHash {
        size_t operator()(const AccessKey& key) const;
    };
    struct Lanes {
        std::array<uintptr_t, 32> at{};  // by lane; 0: not
        size_t bytes = 0;
        bool shared = false;
    };
    std::unordered_map<AccessKey, Lanes, KeyHash> accesses_;
    std::unordered_map<AccessKey, uint32_t, KeyHash> times_;  // by thread instead of warp, time 0
};

}  // namespace millrace::cuda_sim
