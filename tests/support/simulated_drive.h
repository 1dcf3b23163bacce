#pragma once
// A drive that does everything drives do to a reader, from one seed and on a clock that only it moves: reads take random
// times and overtake each other, come back short, interrupted or failed; files vanish, shrink and have bad places.
//
// It is also a strict kernel: it refuses (aborts on) misaligned reads, tags in use, more reads than its depth and two reads
// into the same memory, and it fills the memory of a read with rubbish until the read completes.

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/clock.h"
#include "core/base/random.h"
#include "offload/reader.h"

namespace millrace::test {

class SimulatedClock final : public Clock {
public:
    [[nodiscard]] int64_t now_ns() override { return now_.load(); }
    void advance_to(int64_t ns) { now_.store(ns); }
    void advance(int64_t ns) { now_.fetch_add(ns); }

private:
    std::atomic<int64_t> now_{0};
};

// Probabilities of one read.
struct DriveFaults {
    double eintr = 0;
    double eagain = 0;
    double eio = 0;              // passes: never more than `setbacks_max` in a row for one chunk
    double short_read = 0;       // some of its bytes, block or not
    double empty_read = 0;       // no byte though the file goes on; as EIO
    double late = 0;             // a hundred times the usual time
    double flip = 0;             // one bit of what is read is wrong, this time
    bool refuse_direct = false;  // EINVAL until the page cache is used
};

struct DriveFaultCounts {
    uint64_t eintr = 0, eagain = 0, eio = 0, short_reads = 0, empty_reads = 0, late = 0;
    uint64_t flips = 0;       // wrong bits, passing or lasting
    uint64_t einval = 0;      // O_DIRECT refused
    uint64_t bad_places = 0;  // EIO that stays
    uint64_t vanished = 0;    // ENODEV
    uint64_t overtaken = 0;   // reads that completed after one that was submitted later

    // Those that the code above has to mend; lateness and order are not counted.
    [[nodiscard]] uint64_t total() const {
        return eintr + eagain + eio + short_reads + empty_reads + flips + einval + bad_places +
               vanished;
    }
    void add(const DriveFaultCounts& other);
};

class SimulatedDrive final : public Reader {
public:
    SimulatedDrive(uint64_t seed, std::vector<uint64_t> file_bytes, int32_t depth,
                   const DriveFaults& faults, int32_t setbacks_max, SimulatedClock& clock);
    ~SimulatedDrive() override;

    // What the file holds, for comparison.
    static void truth(int32_t file, uint64_t offset, std::span<std::byte> out);

    // Only while no other thread uses the drive.
    void set_bad(int32_t file, uint64_t begin, uint64_t end);
    void set_vanished(int32_t file);
    // The lowest bit of this byte is wrong from now on, in what the page cache has only (until it drops it) or for good.
    enum class Rot { kPageCache, kDrive };
    void set_rotten(int32_t file, uint64_t byte, Rot where);
    // This file lies on a drive of its own that takes `times` as long; drives are numbered in the order of these calls.
    void set_own_drive(int32_t file, int64_t times);
    void set_size(int32_t file, uint64_t bytes) { sizes_[static_cast<size_t>(file)] = bytes; }
    void heal();
    [[nodiscard]] const DriveFaultCounts& counts() const { return counts_; }
    [[nodiscard]] int32_t in_flight() const { return static_cast<int32_t>(flights_.size()); }
    // Tags of completed reads in their order.
    [[nodiscard]] uint64_t history_hash() const { return history_; }

    [[nodiscard]] std::string_view name() const override { return "simulated"; }
    [[nodiscard]] int32_t depth() const override { return depth_; }
    void submit(const ReadOp& op) override;
    [[nodiscard]] size_t reap(std::span<ReadDone> done, Wait wait) override;
    void wake() override;
    [[nodiscard]] bool is_direct(int32_t file) const override;
    Status use_page_cache(int32_t file) override;
    void drop_cached(int32_t file, uint64_t offset, uint64_t bytes) override;
    [[nodiscard]] int32_t drive(int32_t file) const override {
        return own_drive_[static_cast<size_t>(file)];
    }
    [[nodiscard]] Result<uint64_t> file_bytes(int32_t file) const override {
        return sizes_[static_cast<size_t>(file)];
    }

private:
    struct Flight {
        ReadOp op;
        int32_t result = 0;
        int64_t due_ns = 0;
        uint64_t number = 0;
    };
    struct BadPlace {
        int32_t file = 0;
        uint64_t begin = 0, end = 0;
    };
    struct Rotten {
        int32_t file = 0;
        uint64_t byte = 0;
        Rot where = Rot::kDrive;
    };
    // How often one chunk in one place has met a passing error since it last got anywhere.
    struct Setbacks {
        int32_t file = -1;
        uint64_t offset = 0;
        int32_t count = 0;
    };

    void check_op(const ReadOp& op) const;
    [[nodiscard]] int32_t outcome(const ReadOp& op);
    [[nodiscard]] std::optional<int32_t> lasting_fault(const ReadOp& op);
    [[nodiscard]] std::optional<int32_t> passing_fault(const ReadOp& op, int32_t available);
    [[nodiscard]] bool chance(double probability) { return random_.unit() < probability; }
    void land(const Flight& flight);
    void flip_bits(const Flight& flight);

    SimulatedClock& clock_;
    Random random_;
    std::vector<uint64_t> sizes_;
    std::vector<bool> direct_;    // [files]
    std::vector<bool> vanished_;  // [files]
    std::vector<BadPlace> bad_;
    std::vector<Rotten> rotten_;
    std::vector<int32_t> own_drive_;  // [files]
    std::vector<int64_t> slowness_;   // [drives]
    const int32_t depth_;
    const DriveFaults faults_;
    const int32_t setbacks_max_;
    std::vector<Setbacks> setbacks_;  // [tags]
    std::vector<Flight> flights_;
    uint64_t submitted_ = 0, last_landed_ = 0, history_ = 0;
    DriveFaultCounts counts_;
    std::atomic<uint32_t> wakes_{0};
    uint32_t wakes_seen_ = 0;
};

}  // namespace millrace::test
