#pragma once
// FRONT DOOR of offload: experts on the drive, some of them in memory.
//
// A fixed budget of memory is cut into equal slots, each large enough for any expert. `acquire` pins the experts that a
// layer needs: those in memory are ready at once, the others are read while the caller computes. What is unpinned stays
// until it must go; `observe` is how the cache learns who will be missed least (expert_policy.h). Nothing here ever
// changes what a model computes, only when.
//
//     engine thread                                    io thread
//     acquire ─ slots, policy ──── commands ─────────► chunks ─ reader ─ drive
//     next    ◄──────────────────── reports ────────── bytes are in the slot
//
// Threads: the engine thread calls everything here; the cache starts one io thread (and, without io_uring, a small pool
// of threads that call pread) and joins it in its destructor, after the reads in flight have ended.
// Both queues are bounded by the number of slots and cannot overflow (io_port.h).

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/result.h"
#include "core/base/tensor.h"
#include "core/base/types.h"
#include "offload/expert_layout.h"
#include "offload/guess_gate.h"
#include "offload/io_engine.h"
#include "offload/io_port.h"
#include "offload/lease.h"
#include "offload/reader.h"
#include "offload/slots.h"

namespace millrace {

struct ExpertCacheOptions {
    uint64_t ram_budget_bytes = uint64_t{4} << 30;
    int32_t min_slots = 7;  // experts that one token uses in a layer, plus one
    IoBackend backend = IoBackend::kAuto;
    DirectIo direct = DirectIo::kAuto;
    int32_t queue_depth = 16;  // chunks in flight at most, on each drive
    // Chunks are the grain of priority: what is in flight cannot be called back, so a small window keeps demand ahead
    // of hints, and a few megabytes are enough to keep a drive busy.
    uint64_t chunk_bytes = uint64_t{1} << 20;  // a multiple of 4096
    // In flight at most, but at least one chunk; less where measuring finds that less is enough (drive_window.h).
    uint64_t window_bytes = uint64_t{16} << 20;
    int32_t pread_threads = 6;  // for each drive
    int32_t read_attempts = 5;  // of one chunk that fails with EIO
};

struct ExpertCacheStats {
    // Counted by acquire; their sum is the number of experts asked for.
    uint64_t hits = 0;    // in memory already, or in a faster tier
    uint64_t joins = 0;   // being read already
    uint64_t misses = 0;  // had to be read
    uint64_t evictions = 0;
    uint64_t hint_reads = 0;             // reads begun by hint
    uint64_t hint_hits = 0;              // experts acquired that a hint had read or begun to read
    uint64_t hints_refused = 0;          // no slot could be spared
    uint64_t failures = 0;               // experts that could not be read
    int64_t wait_ns = 0;                 // the engine blocked in next
    std::vector<int64_t> layer_wait_ns;  // [layers] the same by layer
    // [layers] hits; and joins and misses: an expert on its way has to be waited for like one that was not.
    std::vector<uint64_t> layer_hits, layer_misses;
    // Of guesses: experts read because they seemed likely, that were acquired, or that nobody wanted.
    uint64_t guess_reads = 0, guess_bytes_used = 0, guess_bytes_wasted = 0;
    // Counted by the io thread.
    uint64_t reads = 0;       // chunks completed, in part or whole
    uint64_t bytes_read = 0;  // whole blocks, so a little more than the experts
    uint64_t retries = 0;     // reads repeated after an error
    uint64_t short_reads = 0;
    int64_t drive_busy_ns = 0;  // at least one read in flight
    uint64_t bytes_called_off =
        0;  // of bytes_read: of experts that were given up before they had landed
    uint64_t bytes_checked = 0;  // compared with their checksum
    uint64_t checks_failed = 0;
    int64_t check_ns = 0;  // of the io thread
    int32_t drives = 0;
    // What it runs on.
    std::string backend;        // "io_uring" or "pread"
    std::string backend_notes;  // why not something better; empty when nothing was refused
    bool direct = false;        // every file is read with O_DIRECT
    int32_t slots = 0;
    uint64_t slot_bytes = 0;

    // Bytes per second while the drive was busy; 0 before the first read.
    [[nodiscard]] double bandwidth() const;
};

// The few of the stats that are looked at several times in a step: taken without allocating.
struct ExpertPulse {
    uint64_t hits = 0;
    uint64_t misses = 0;  // and joins
    uint64_t bytes_read = 0;
    int64_t wait_ns = 0;
    int64_t drive_busy_ns = 0;
    // Of the drives' queues, now: chunks that they are at work on, experts that wait to be handed to them.
    int32_t reads_in_flight = 0, reads_waiting = 0;
};

class ExpertCache {
public:
    // Opens the files and checks that they are long enough. kCapacity when the budget holds fewer than `min_slots`
    // slots (the sentence says which --ram-budget would do); a budget for more than all experts takes no more than that.
    [[nodiscard]] static Result<std::unique_ptr<ExpertCache>> create(ExpertLayout layout,
                                                                     ExpertCacheOptions options,
                                                                     Clock& clock);
    // The same on a given reader, for tests. kCaller: no thread is started; calls to this cache move the reads on.
    [[nodiscard]] static Result<std::unique_ptr<ExpertCache>> create_on(
        ExpertLayout layout, ExpertCacheOptions options, Clock& clock,
        std::unique_ptr<Reader> reader, IoRunsOn runs_on);
    ~ExpertCache();
    ExpertCache(const ExpertCache&) = delete;
    ExpertCache& operator=(const ExpertCache&) = delete;

    // Pins the experts `ids` of `layer`, at most max_batch() of them, and begins to read those that are missing. Does not
    // block. Several batches may be alive (at most kBatchesMax) as long as all they pin fits into the slots;
    // kCapacity otherwise, kInvalid for an id that the layout does not have. An error leaves everything as it was.
    [[nodiscard]] Result<LeaseBatch> acquire(LayerId layer, std::span<const ExpertId> ids);

    // What the router of `layer` has decided for some tokens, before their acquire: ranks [tokens, experts], 0 … chosen−1
    // for the chosen ones, 255 for what is far or unknown. Without it an acquire teaches the policy its own ids.
    void observe(LayerId layer, MatrixView<const uint8_t> ranks, int32_t chosen);

    // The expert lies in a faster tier as well, or not any more: while it does, its slot here is the first to go.
    void set_elsewhere(ExpertKey key, bool elsewhere) {
        table_.policy().set_elsewhere(key, elsewhere);
    }

    [[nodiscard]] bool elsewhere(ExpertKey key) { return table_.policy().elsewhere(key); }
    // An expert of `layer` was not asked for, because a faster tier had it.
    void count_elsewhere(LayerId layer);

    // These experts will certainly be needed soon: reads them into slots that nobody needs, after all that is acquired.
    // Never blocks, never fails: what finds no slot is forgotten. Hinted bytes are kept until they are used, until
    // kHintLife acquires have passed, or until an acquire finds no other slot.
    void hint(LayerId layer, std::span<const ExpertId> ids);

    // Whether it is worth finding out which experts the next layer may want: experts are missing, the drive has time to
    // spare (who waits for it more than half of the time has nothing to gain and stands in his own way), and guesses were
    // right often enough (guess_gate.h). To be asked once before each guess.
    [[nodiscard]] bool wants_guess();
    // These experts of `layer`, likeliest first, may be wanted when it is reached. They are read while the drive has
    // nothing better to do, into a few slots that are kept for that, and never drive out anybody else. What the layer's
    // acquire does not ask for is forgotten then.
    void guess(LayerId layer, std::span<const ExpertId> ids);

    [[nodiscard]] int32_t slots() const { return table_.size(); }
    [[nodiscard]] int32_t max_batch() const;
    // Slots that nobody has leased: an acquire of no more than so many experts (and max_batch()) does not fail for want of
    // slots.
    [[nodiscard]] int32_t unleased() const { return slots() - table_.pinned() - homeless_; }
    // Where all slots lie: for whoever copies from them by himself.
    [[nodiscard]] std::span<std::byte> memory() { return arena_.bytes(); }
    // Any thread.
    [[nodiscard]] ExpertCacheStats stats() const;
    [[nodiscard]] ExpertPulse pulse() const;

    static constexpr int32_t kBatchesMax = 4;

private:
    friend class Lease;
    friend class LeaseBatch;

    // One expert that a batch asked for. `kHomeless`: no slot was evictable yet; a read that nobody wants any more must
    // end first.
    enum class EntryState : uint8_t { kHomeless, kPinned, kReturned, kGone };
    struct Entry {
        ExpertKey key = {};
        SlotId slot = {};
        EntryState state = EntryState::kGone;
    };
    struct Batch {
        std::vector<Entry> entries;
        bool alive = false;
    };

    // Written by the engine thread, read by any.
    struct Counts {
        std::atomic<uint64_t> hits{0}, joins{0}, misses{0}, evictions{0}, hint_reads{0},
            hint_hits{0}, hints_refused{0}, failures{0};
        std::atomic<uint64_t> guess_reads{0}, guess_bytes_used{0}, guess_bytes_wasted{0};
        std::atomic<int64_t> wait_ns{0};
    };
    struct LayerCounts {
        std::atomic<uint64_t> hits{0}, misses{0};
        std::atomic<int64_t> wait_ns{0};
    };

    ExpertCache(ExpertLayout layout, const ExpertCacheOptions& options, Clock& clock,
                PageBuffer arena, int32_t slots);
    // Everything but the port.
    [[nodiscard]] static Result<std::unique_ptr<ExpertCache>> plan(
        ExpertLayout layout, const ExpertCacheOptions& options, Clock& clock);
    [[nodiscard]] IoEnginePlan io_plan() const;

    [[nodiscard]] Status check_batch(LayerId layer, std::span<const ExpertId> ids) const;
    void forget_guesses(LayerId layer);
    void measure_waiting();
    void observe_own(LayerId layer, std::span<const ExpertId> ids);
    [[nodiscard]] bool pin_where_it_is(Entry& entry);
    [[nodiscard]] bool find_home(Entry& entry);
    void begin_load(SlotId slot, Priority priority);
    void house_homeless();
    void make_room();
    void take_reports();
    void wait_for_report(LayerId layer);
    [[nodiscard]] Result<std::optional<size_t>> next(Batch& batch);
    [[nodiscard]] Error failure_of(const Entry& entry) const;
    void unpin(SlotId slot);
    void release(Batch& batch);
    [[nodiscard]] const std::byte* data(ExpertKey key, SlotId slot, int32_t range) const;
    [[nodiscard]] LayerCounts& counts_of(LayerId layer) {
        return layer_counts_[static_cast<size_t>(layer.value)];
    }
    [[nodiscard]] Batch& batch(int32_t index) { return batches_[static_cast<size_t>(index)]; }

    const ExpertLayout layout_;
    const ExpertCacheOptions options_;
    Clock& clock_;
    const uint64_t slot_bytes_;
    PageBuffer arena_;  // [slots][slot_bytes]
    SlotTable table_;
    std::array<Batch, kBatchesMax> batches_;
    int32_t homeless_ = 0;  // entries of all batches
    GuessGate guess_gate_;
    double waiting_ = 0;  // share of the time spent waiting, of the last hundred or so guesses
    int64_t asked_at_ns_ = 0, waited_then_ns_ = 0;  // when the last guess was asked for
    int32_t acquires_without_miss_ = 0;             // in a row
    LayerId observed_;                              // the policy has seen this layer's decisions
    std::vector<uint8_t> own_ranks_;                // [experts] when it has not
    Counts counts_;
    std::vector<LayerCounts> layer_counts_;  // [layers] as Counts
    std::unique_ptr<IoPort> port_;           // last: it stops reading before the arena goes
};

}  // namespace millrace
