#pragma once
// What the engine is doing, token by token, for whoever draws it. The engine thread writes records into rings that were
// allocated at start; readers copy what is new. Writing takes no lock and waits for nobody; reading takes no lock either,
// and a reader that is too slow misses the oldest records (live_ring.h).
//
//   engine thread ── step_recorder.h ──► rings: the last 4,096 steps, experts of the last 1,024 tokens, the state
//   any thread    ◄── read_steps, experts_of, state; layers and cache are counters of the expert cache, read where they are

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/types.h"
#include "core/engine/gpu_stats.h"
#include "core/engine/live_ring.h"
#include "core/engine/memory_plan.h"
#include "core/engine/observer.h"
#include "offload/expert_cache.h"

namespace millrace {

class SequenceModel;

// One step: a decoded token, or a chunk of a prompt. Counters of the drives are what has happened since the step before it
// (or since its request began), so that the records of a request add up to its AnswerStats.
struct StepRecord {
    uint64_t number = 0;   // of all steps of this engine, from 0
    uint64_t request = 0;  // of all requests, from 0
    uint64_t token = 0;    // decode: of all decoded tokens of this engine, from 0
    int64_t position = 0;  // of the first token in the sequence
    int32_t tokens = 0;    // 1, or of the chunk
    bool decode = false;
    bool finished = true;  // not cancelled or failed in the middle
    int64_t began_ns = 0;  // of SystemClock
    int64_t step_ns = 0;
    std::array<int64_t, kStepParts> part_ns = {};  // by StepPart; sums to about step_ns
    int64_t drive_busy_ns = 0;
    uint64_t drive_bytes = 0;
    int32_t hits = 0, misses = 0;  // experts asked for: in memory, and not
    // The deepest that the drives' queues were when the engine came to wait for them: chunks that drives were at work on,
    // experts behind those.
    int32_t reads_in_flight = 0, reads_waiting = 0;
};

// Where the layers stand, summed since the start.
struct LayerCount {
    uint64_t hits = 0, misses = 0;
    int64_t wait_ns = 0;
};

// What the engine is at.
struct LiveState {
    enum class Doing : uint8_t { kIdle, kPrefill, kDecode };
    Doing doing = Doing::kIdle;
    uint64_t request = 0;       // of all requests, from 0; when idle, the last one
    int64_t began_ns = 0;       // that request, of SystemClock
    int64_t prompt_tokens = 0;  // its prompt
    int64_t reused_tokens = 0;  // of these, known before
    int64_t prompt_done = 0;    // so many are computed or known, with the chunk at work in part
    int64_t generated_tokens = 0;
};

class LiveFeed {
public:
    static constexpr uint64_t kStepsMax = 4096;   // steps that are kept
    static constexpr uint64_t kTokensMax = 1024;  // decoded tokens whose experts are kept

    // `model` outlives the feed.
    explicit LiveFeed(const SequenceModel& model);

    // Any thread, from here on.

    // Appends the steps from number `from` on that are still there, oldest first, and returns the number to go on from.
    uint64_t read_steps(uint64_t from, std::vector<StepRecord>& out) const;
    // The decode step that took in the token at `position` of `request`. kNone: no step has; not yet, or the answer ended
    // with it.
    struct FoundStep {
        enum class Kind : uint8_t { kFound, kNone, kGone } kind = Kind::kNone;
        StepRecord record;
    };
    [[nodiscard]] FoundStep find_step(uint64_t request, int64_t position) const;
    // The experts that each layer's router chose for the token of a decode step, best first: out [layers][k], −1 where
    // the step did not get so far. False: no decode step, or too long ago.
    [[nodiscard]] bool experts_of(uint64_t step, std::span<int16_t> out) const;
    [[nodiscard]] size_t experts_a_token() const { return experts_a_token_; }  // layers · k
    [[nodiscard]] LiveState state() const;
    // As far as the step at work has come; these allocate.
    [[nodiscard]] std::vector<LayerCount> layers() const;
    [[nodiscard]] ExpertCacheStats cache() const;
    [[nodiscard]] std::optional<GpuTierStats> gpu() const;
    [[nodiscard]] const MemoryPlan& memory() const;

    // The engine thread. The record gets its numbers here.
    void add(StepRecord record, std::span<const int16_t> experts);
    void set(const LiveState& state);

    [[nodiscard]] const SequenceModel& model() const { return model_; }

private:
    static constexpr uint64_t kStatesMax =
        64;  // a reader is overtaken by none of them but in its sleep

    const SequenceModel& model_;
    const size_t experts_a_token_;
    LiveRing steps_;
    LiveRing experts_;  // the step's number, then the experts
    LiveRing states_;
    std::vector<uint64_t> experts_record_;  // room of the writer
};

// For benchmarks: seconds that the records of a decoded token cost the engine thread. So many are made for a feed of their
// own, of the same model, with a clock read at every part of every layer twice. Any thread, while the engine is idle.
[[nodiscard]] double recording_seconds(const LiveFeed& feed, int64_t tokens);

}  // namespace millrace
