// The simulator's memory of who touched a byte against the whole history of it: two words a byte must say the same.

#include "tests/support/cuda_sim/shadow.h"

#include <doctest/doctest.h>

#include "core/base/random.h"

namespace millrace::cuda_sim {
namespace {

constexpr size_t kBytes = 48;
constexpr uint32_t kThreads = 70;  // two warps and a part of one

struct Event {
    uint32_t block, barriers, warp_barriers, thread;
    Access access;
};

// What happened in this launch to each byte, and who goes on now.
class History {
public:
    explicit History(bool is_shared) : shared_(is_shared) { begin_launch(); }

    void begin_launch() {
        for (auto& events : events_) events.clear();
        ordered_before_ = ++epoch_;
        begin_block();
    }
    void begin_block() {
        block_first_ = ++epoch_;
        block_ += 1;
        if (shared_) {
            for (auto& events : events_) events.clear();
            std::fill_n(written_, kBytes, false);
        }
        barrier();
    }
    void barrier() {
        epoch_ += 1;
        barriers_ += 1;
        std::fill_n(warp_barriers_, 3, 0U);
    }
    void warp_barrier(uint32_t warp) { warp_barriers_[warp] += 1; }
    void host_writes(size_t first, size_t count) { std::fill_n(written_ + first, count, true); }

    [[nodiscard]] Moment moment(uint32_t thread) const {
        const uint32_t first = shared_ ? block_first_ : ordered_before_;
        return {Stamp{epoch_} << kEpochShift | Stamp{thread} << kThreadShift |
                    Stamp{warp_barriers_[thread / 32]} << kWarpBarrierShift,
                block_first_, shared_ ? block_first_ : kFirstEpoch, first};
    }
    // What the access is, by definition; it is noted when it is fine.
    [[nodiscard]] Shadow::Verdict touch(size_t first, size_t count, Access access,
                                        uint32_t thread) {
        for (size_t i = first; i < first + count; ++i)
            if (access == Access::kRead && !written_[i]) return Shadow::Verdict::kUnwritten;
        const Event now{block_, barriers_, warp_barriers_[thread / 32], thread, access};
        for (size_t i = first; i < first + count; ++i) {
            for (const Access kind : {Access::kWrite, Access::kRead}) {
                if (kind == Access::kRead && access == Access::kRead) continue;
                for (const Event& earlier : events_[i]) {
                    if (earlier.access != kind || in_order(earlier, now)) continue;
                    return kind == Access::kWrite ? Shadow::Verdict::kRaceWithWrite
                                                  : Shadow::Verdict::kRaceWithRead;
                }
            }
        }
        for (size_t i = first; i < first + count; ++i) {
            events_[i].push_back(now);
            if (access == Access::kWrite) written_[i] = true;
        }
        return Shadow::Verdict::kFine;
    }

private:
    [[nodiscard]] static bool in_order(const Event& earlier, const Event& now) {
        if (earlier.block != now.block) return false;
        if (earlier.barriers != now.barriers || earlier.thread == now.thread) return true;
        return earlier.thread / 32 == now.thread / 32 && earlier.warp_barriers != now.warp_barriers;
    }

    const bool shared_;
    std::vector<Event> events_[kBytes];
    bool written_[kBytes] = {};
    uint32_t epoch_ = kFirstEpoch, ordered_before_ = 0, block_first_ = 0;
    uint32_t block_ = 0, barriers_ = 0;
    uint32_t warp_barriers_[3] = {};
};

// Chances in a thousand of what may happen before each access.
struct Mood {
    uint64_t launch, block, barrier, warp_barrier, write;
};

void compare(bool shared, const Mood& mood, uint64_t seed, int64_t (&verdicts)[4]) {
    Random random(seed);
    Shadow shadow(kBytes);
    History history(shared);
    const auto happens = [&](uint64_t chance) { return random.below(1000) < chance; };
    for (int i = 0; i < 20000; ++i) {
        if (happens(mood.launch)) history.begin_launch();
        if (happens(mood.block)) history.begin_block();
        if (happens(mood.barrier)) history.barrier();
        if (happens(mood.warp_barrier))
            history.warp_barrier(static_cast<uint32_t>(random.below(3)));
        const size_t count = size_t{1} << random.below(5);
        const size_t first = random.below(kBytes - count + 1);
        if (!shared && happens(20)) {
            shadow.define(first, count);
            history.host_writes(first, count);
            history.begin_launch();
        }
        const auto thread =
            static_cast<uint32_t>(random.below(random.below(2) == 0 ? 3 : kThreads));
        const bool writes = happens(mood.write);
        const Moment moment = history.moment(thread);
        const Shadow::Finding found = writes ? shadow.touch<Access::kWrite>(first, count, moment)
                                             : shadow.touch<Access::kRead>(first, count, moment);
        const Shadow::Verdict want =
            history.touch(first, count, writes ? Access::kWrite : Access::kRead, thread);
        verdicts[static_cast<size_t>(want)] += 1;
        REQUIRE(found.verdict == want);
        // A race ends its launch.
        if (want == Shadow::Verdict::kRaceWithWrite || want == Shadow::Verdict::kRaceWithRead)
            history.begin_launch();
    }
}

}  // namespace

TEST_CASE("two words a byte tell races and unwritten bytes as the whole history does") {
    for (const bool shared : {false, true}) {
        CAPTURE(shared);
        int64_t verdicts[4] = {};
        uint64_t seed = 1;
        for (const Mood& mood : {Mood{5, 20, 100, 100, 300}, Mood{2, 5, 20, 300, 100},
                                 Mood{2, 300, 300, 300, 50}, Mood{1, 1, 700, 50, 500}}) {
            CAPTURE(seed);
            compare(shared, mood, seed++, verdicts);
        }
        for (const int64_t count : verdicts) CHECK(count > 100);
    }
}

}  // namespace millrace::cuda_sim
