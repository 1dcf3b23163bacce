#pragma once
// Turns loads into chunks and chunks into reads, and lives with what drives do: short reads, interruptions, errors that
// pass and errors that stay. Runs on whichever thread owns the reader: the io thread, or in a simulation the test's.
//
//   load ── chunks of at most chunk_bytes, in file order, range by range
//   chunk:  free ──► in flight ──► done: enough bytes arrived
//                      ▲   │
//                      └───┴─ again: the rest of a short read; EINTR, EAGAIN; EIO a few times; EINVAL of O_DIRECT: buffered
//                          └► the whole load fails; it is reported once its other chunks have come back
//
// Order of submission: demanded chunks, oldest load first; hinted ones only while no demanded chunk waits, and only in half
// the window, so that a demand that comes now has little in front of it.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/base/clock.h"
#include "core/base/types.h"
#include "offload/expert_layout.h"
#include "offload/io_port.h"
#include "offload/policy.h"
#include "offload/reader.h"
#include "offload/spsc_queue.h"

namespace millrace {

// Written by the thread that runs the engine, read by any.
struct SharedIoCounts {
    std::atomic<uint64_t> reads{0}, bytes_read{0}, retries{0}, short_reads{0};
    std::atomic<int64_t> busy_ns{0};
    std::atomic<bool> direct{false};

    [[nodiscard]] IoCounts snapshot() const;
};

struct IoEnginePlan {
    const ExpertLayout& layout;
    std::span<std::byte> arena;  // [slots][slot_bytes]
    int32_t slots = 0;
    uint64_t slot_bytes = 0;
    uint64_t chunk_bytes = 0;
    uint64_t window_bytes = 0;
    int32_t read_attempts = 0;
};

class IoEngine {
public:
    IoEngine(const IoEnginePlan& plan, Reader& reader, Clock& clock, SpscQueue<IoReport>& reports,
             SharedIoCounts& counts);
    // Waits for the reads in flight and forgets the rest.
    ~IoEngine();
    IoEngine(const IoEngine&) = delete;
    IoEngine& operator=(const IoEngine&) = delete;

    void accept(const IoCommand& command);
    // Submits what the window has room for, then takes completions; with kYes it sleeps until there is one or the reader
    // is woken.
    void step(Wait wait);
    // No load is under way.
    [[nodiscard]] bool idle() const { return active_ == 0; }

private:
    struct Load {
        bool active = false;
        bool stopping = false;  // called off or failed: nothing more is submitted
        bool failed = false;
        Priority priority = Priority::kDemand;
        uint32_t generation = 0;
        ExpertKey key = {};
        int32_t next_range = 0;        // of the next chunk
        uint64_t next_block_byte = 0;  // within the range's blocks
        int32_t open_chunks = 0;       // in flight or to be repeated
        ReadFailure failure = {};
    };
    struct Chunk {
        SlotId slot = {};
        int32_t file = 0;
        uint64_t offset = 0;
        std::byte* into = nullptr;
        uint32_t bytes = 0;  // whole blocks
        uint32_t needed =
            0;  // so many of them must arrive: the last block may hang over the end of the file
        uint32_t progress = 0;  // so many have arrived; whole blocks
        int32_t attempts = 0;   // failed, without progress
        int32_t interruptions = 0;
        bool direct = false;  // how it was submitted last

        [[nodiscard]] uint32_t rest() const { return bytes - progress; }
    };

    [[nodiscard]] Load& load(SlotId slot) { return loads_[static_cast<size_t>(slot.value)]; }
    void start(const IoCommand& command);
    void stop(SlotId slot);
    void finish_if_over(SlotId slot);

    void submit_what_fits();
    [[nodiscard]] std::optional<uint32_t> next_chunk();
    [[nodiscard]] std::optional<uint32_t> take_repeat(Priority priority);
    [[nodiscard]] std::optional<uint32_t> cut_chunk(SlotOrder& queue);
    [[nodiscard]] bool fits(const Chunk& chunk) const;
    void submit(uint32_t index);

    void complete(const ReadDone& done);
    void handle_bytes(uint32_t index, uint32_t bytes);
    void handle_no_progress(uint32_t index);
    void handle_error(uint32_t index, int error);
    void repeat(uint32_t index);
    void fail(uint32_t index, const ReadFailure& failure);
    void close(uint32_t index);
    void count_direct();
    void spend_time();

    const IoEnginePlan plan_;
    Reader& reader_;
    Clock& clock_;
    SpscQueue<IoReport>& reports_;
    SharedIoCounts& counts_;
    std::vector<Load> loads_;        // [slots]
    SlotOrder demand_, hints_;       // slots with chunks that were never submitted
    std::vector<Chunk> chunks_;      // [reader depth]; the index is the tag
    std::vector<uint32_t> free_;     // chunks in no use
    std::vector<uint32_t> repeats_;  // chunks to submit again, oldest first
    std::vector<ReadDone> done_;     // what one reap returned
    int32_t active_ = 0;             // loads
    int32_t in_flight_ = 0;          // chunks
    uint64_t in_flight_bytes_ = 0;
    int64_t busy_until_ns_ = 0;  // busy time is counted up to here
};

}  // namespace millrace
