#pragma once
// A fixed set of threads for fork-join work on independent pieces. One thread at a time may call `run`.
//
// A round is a number of pieces, a run of neighbours for each thread, which takes them in order from the first: what it
// streams from memory goes on where it stopped. Whoever is done takes from the far ends of the others' runs. A worker that
// the system has put aside is not waited for unless it holds a piece. Workers look for the next round for a while, then
// sleep; the caller makes a system call only if somebody sleeps. So a round costs a microsecond or two while one follows
// the other, and the processor is free soon after the last one.

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

namespace millrace {

// kYes: every worker stays on a CPU of its own, cores before their second threads, and so does the thread that calls `run`,
// until the pool is destroyed by it. Without effect for one thread, or for more threads than CPUs.
enum class Pinning { kNo, kYes };

class Pool {
public:
    // `threads` counts the caller: 1 starts no thread at all.
    explicit Pool(int threads, Pinning pinning = Pinning::kNo);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

    // Calls body(i) for every 0 ≤ i < count, on any thread, in any order; returns when all are done. `body` must not
    // allocate, block or call `run`. What it computes for i may not depend on the other calls.
    template <class Body>
    void run(int64_t count, const Body& body) {
        start(count, &body,
              [](const void* b, int64_t i, int) { (*static_cast<const Body*>(b))(i); });
    }
    // The same with body(i, thread), 0 ≤ thread < threads(): calls with the same number never overlap, so it can name a
    // place for intermediate results.
    template <class Body>
    void run_on(int64_t count, const Body& body) {
        start(count, &body, [](const void* b, int64_t i, int thread) {
            (*static_cast<const Body*>(b))(i, thread);
        });
    }

private:
    using Call = void (*)(const void* body, int64_t index, int thread);
    // Pieces [first, last).
    struct Run {
        int32_t first = 0, last = 0;
        [[nodiscard]] bool empty() const { return first >= last; }
    };
    enum class End { kNear, kFar };
    void start(int64_t count, const void* body, Call call);
    void drain(int thread);
    void work(int thread);
    // A piece of a thread's run, unless nothing is left of it.
    std::optional<int32_t> take(int thread, End end);
    [[nodiscard]] bool has_pieces(int thread) const;
    [[nodiscard]] bool look_for_round(int thread) const;
    void park(int thread);
    void wake();
    void wait_for_others(int32_t count);
    void pin_caller();

    static constexpr size_t kLine = 64;  // what two processors cannot write at the same time

    struct alignas(kLine) Share {
        std::atomic<Run> left{Run{}};  // of a thread's run, what nobody has taken
    };

    // A round: written by the caller while nobody holds a piece, read by whoever has taken one.
    alignas(kLine) const void* body_ = nullptr;
    Call call_ = nullptr;
    std::vector<Share> shares_;                    // one a thread
    alignas(kLine) std::atomic<int32_t> done_{0};  // pieces whose calls have returned
    std::atomic<bool> caller_sleeps_{false};
    alignas(kLine) std::atomic<int32_t> parked_{0};  // workers that sleep or are about to
    std::atomic<int32_t> wakes_{0};                  // they sleep on this
    std::atomic<bool> stopping_{false};

    int64_t patience_ns_ = 0;       // how long a thread looks before it sleeps
    std::vector<int> pinned_cpus_;  // one a thread, the caller's first; empty: not pinned
    std::optional<std::thread::id> pinned_caller_;
    cpu_set_t caller_affinity_{};  // what the caller had before
    std::vector<std::jthread> workers_;
};

}  // namespace millrace
