#pragma once
// What the engine is doing, token by token, for whoever draws it. The engine thread writes records into rings that were
// allocated at start; readers copy what is new. Writing takes no lock that a reader holds and allocates nothing.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/types.h"
#include "core/engine/observer.h"

namespace millrace {

// One step: a decoded token, or a chunk of a prompt.
struct StepRecord {
    uint64_t number = 0;   // of all steps of this engine, from 0
    uint64_t request = 0;  // of all requests, from 0
    int64_t position = 0;  // of the first token in the sequence
    int32_t tokens = 0;    // 1, or of the chunk
    bool decode = false;
    int64_t began_ns = 0;  // of the engine's clock
    int64_t step_ns = 0;
    std::array<int64_t, kStepParts> part_ns = {};  // sums to about step_ns
    int64_t drive_busy_ns = 0;
    uint64_t drive_bytes = 0;
    int32_t hits = 0, misses = 0;                    // experts asked for: in memory, and not
    int32_t reads_in_flight = 0, reads_waiting = 0;  // queue depths when the step ended
};

// Where the layers stand, summed since the start.
struct LayerCount {
    uint64_t hits = 0, misses = 0;
    int64_t wait_ns = 0;
};

}  // namespace millrace
