#pragma once
// Turns loads into chunks and chunks into reads, and lives with what drives do: short reads, interruptions, errors that
// pass and errors that stay, bytes that are not those that were written. Runs on whichever thread owns the reader: the io
// thread, or in a simulation the test's.
//
//   load ── chunks of at most chunk_bytes, in file order, range by range
//   chunk:  free ──► in flight ──► done: enough bytes arrived
//                      ▲   │
//                      └───┴─ again: the rest of a short read; EINTR, EAGAIN; EIO a few times; EINVAL of O_DIRECT: buffered
//                          └► the whole load fails; it is reported once its other chunks have come back
//
// Every drive (Reader::drive) has queues and a window of its own, so that a slow one holds up nobody else; an expert that
// lies on several drives is read from all of them at a time. Order of submission on a drive: demanded chunks, oldest load
// first; hinted ones only while no demanded chunk waits, and only in half of the largest window, so that a demand that comes
// now has little in front of it.
//
// An expert with a checksum is compared with it when its last chunk has come, before it is reported: nobody sees a byte
// that was not checked. It is done here and not by who uses the bytes, because this thread has little else to do, and the
// next reads are on their way meanwhile. What is wrong is read once more, past the page cache; wrong again, it fails.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/base/clock.h"
#include "core/base/types.h"
#include "offload/drive_window.h"
#include "offload/expert_layout.h"
#include "offload/io_port.h"
#include "offload/policy.h"
#include "offload/reader.h"
#include "offload/record_checksum.h"
#include "offload/spsc_queue.h"

namespace millrace {

// Written by the thread that runs the engine, read by any.
struct SharedIoCounts {
    std::atomic<uint64_t> reads{0}, bytes_read{0}, retries{0}, short_reads{0}, bytes_checked{0},
        checks_failed{0};
    std::atomic<uint64_t> bytes_called_off{0};
    std::atomic<int64_t> busy_ns{0}, check_ns{0};
    std::atomic<int32_t> drives{0}, in_flight{0}, waiting{0};
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
        std::array<uint64_t, kExpertRangesMax>
            cut{};                 // bytes of each range's blocks that are in chunks
        int32_t ranges_uncut = 0;  // that have bytes in no chunk
        int32_t open_chunks = 0;   // in flight or to be repeated
        uint64_t bytes_read = 0;
        bool wrong_before = false;  // its checksum was wrong when it was read first
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
    // What waits for one drive and what it is doing.
    struct Drive {
        SlotOrder demand, hints;        // slots with bytes on this drive that are in no chunk
        std::vector<uint32_t> repeats;  // chunks to submit again, oldest first
        DriveWindow window;
        int32_t in_flight = 0;  // chunks
        uint64_t in_flight_bytes = 0;
        bool full = false;  // it had no room for something the last time that it was asked
    };
    [[nodiscard]] Drive& drive_of(int32_t file) {
        return drives_[static_cast<size_t>(reader_.drive(file))];
    }

    void start(const IoCommand& command);
    void queue(SlotId slot);
    void unqueue(SlotId slot);
    void stop(SlotId slot);
    void finish_if_over(SlotId slot);
    void report(SlotId slot);

    void submit_what_fits();
    [[nodiscard]] std::optional<uint32_t> next_chunk(Drive& drive);
    [[nodiscard]] std::optional<uint32_t> take_repeat(Drive& drive, Priority priority);
    [[nodiscard]] std::optional<uint32_t> cut_chunk(Drive& drive, SlotOrder& queue);
    [[nodiscard]] int32_t uncut_range(const Drive& drive, const Load& load) const;
    [[nodiscard]] bool fits(Drive& drive, const Chunk& chunk) const;
    void submit(Drive& drive, uint32_t index);
    void check_one();
    void read_again(SlotId slot);

    void complete(const ReadDone& done);
    void handle_bytes(uint32_t index, uint32_t bytes);
    void handle_no_progress(uint32_t index);
    void handle_error(uint32_t index, int error);
    void repeat(uint32_t index);
    void fail(uint32_t index, const ReadFailure& failure);
    void close(uint32_t index);
    void count_direct();
    void count_queues();
    void spend_time();

    const IoEnginePlan plan_;
    Reader& reader_;
    Clock& clock_;
    SpscQueue<IoReport>& reports_;
    SharedIoCounts& counts_;
    std::vector<Load> loads_;  // [slots]
    std::vector<Drive> drives_;
    int32_t chunks_per_drive_ = 1;  // in flight at most
    SlotOrder to_check_;            // slots whose bytes have all come
    RecordChecksum checksum_;
    std::vector<Chunk> chunks_;   // [reader depth]; the index is the tag
    std::vector<uint32_t> free_;  // chunks in no use
    std::vector<ReadDone> done_;  // what one reap returned
    int32_t active_ = 0;          // loads
    int32_t in_flight_ = 0;       // chunks
    int64_t busy_until_ns_ = 0;   // busy time is counted up to here
};

}  // namespace millrace
