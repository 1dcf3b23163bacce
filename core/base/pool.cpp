#include "core/base/pool.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "core/base/check.h"
#include "core/base/machine.h"

namespace millrace {
namespace {

// Longer than the engine's own work between two operations, much shorter than a read from a drive.
constexpr int64_t kPatienceNs = 60'000;
// With more threads than CPUs whoever looks keeps somebody from working.
constexpr int64_t kCrowdedPatienceNs = 3'000;
constexpr int kLooksPerClock = 32;

// Tells the processor that this thread waits for another one.
void relax() { __builtin_ia32_pause(); }

// Whether `come` has become true before patience ran out.
template <class Condition>
bool look(int64_t patience_ns, const Condition& come) {
    const auto begin = std::chrono::steady_clock::now();
    const std::chrono::nanoseconds patience(patience_ns);
    while (true) {
        for (int i = 0; i < kLooksPerClock; ++i) {
            if (come()) return true;
            relax();
        }
        if (std::chrono::steady_clock::now() - begin > patience) return false;
    }
}

void pin(pthread_t thread, int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(cpu), &set);
    // A refusal costs speed, nothing else.
    static_cast<void>(::pthread_setaffinity_np(thread, sizeof set, &set));
}

}  // namespace

Pool::Pool(int threads, Pinning pinning) : shares_(static_cast<size_t>(std::max(threads, 1))) {
    ENSURE(threads >= 1);
    const std::vector<int> cpus = allowed_cpus();
    const bool crowded = static_cast<size_t>(threads) > cpus.size();
    patience_ns_ = crowded ? kCrowdedPatienceNs : kPatienceNs;
    if (pinning == Pinning::kYes && threads > 1 && !crowded) {
        pinned_cpus_.assign(cpus.begin(), cpus.begin() + threads);
    }
    workers_.reserve(static_cast<size_t>(threads) - 1);
    for (int i = 1; i < threads; ++i) {
        workers_.emplace_back([this, i] { work(i); });
        const pthread_t thread = workers_.back().native_handle();
        ::pthread_setname_np(thread, "compute");
        if (!pinned_cpus_.empty()) pin(thread, pinned_cpus_[static_cast<size_t>(i)]);
    }
}

Pool::~Pool() {
    stopping_.store(true);
    wakes_.fetch_add(1);
    wakes_.notify_all();
    if (pinned_caller_ == std::this_thread::get_id()) {
        static_cast<void>(
            ::pthread_setaffinity_np(::pthread_self(), sizeof caller_affinity_, &caller_affinity_));
    }
}

void Pool::pin_caller() {
    if (pinned_caller_ == std::this_thread::get_id()) return;
    if (::pthread_getaffinity_np(::pthread_self(), sizeof caller_affinity_, &caller_affinity_) !=
        0) {
        return;
    }
    pinned_caller_ = std::this_thread::get_id();
    pin(::pthread_self(), pinned_cpus_.front());
}

void Pool::start(int64_t count, const void* body, Call call) {
    if (count <= 0) return;
    if (!pinned_cpus_.empty()) pin_caller();
    if (workers_.empty() || count == 1) {
        for (int64_t i = 0; i < count; ++i) call(body, i, 0);
        return;
    }
    ENSURE(count <= std::numeric_limits<int32_t>::max());
    body_ = body;
    call_ = call;
    done_.store(0, std::memory_order_relaxed);
    // Who takes a piece sees what was written above. In one order with `parked_`: either a worker sees its run before it
    // sleeps or it is seen here. The caller's own run is never empty: it is surely there.
    const int64_t all = threads();
    for (int64_t t = 0; t < all; ++t) {
        shares_[static_cast<size_t>(t)].left.store(
            {static_cast<int32_t>((count * t + all - 1) / all),
             static_cast<int32_t>((count * (t + 1) + all - 1) / all)});
    }
    if (parked_.load() > 0) wake();
    drain(0);
    wait_for_others(static_cast<int32_t>(count));
}

std::optional<int32_t> Pool::take(int thread, End end) {
    std::atomic<Run>& left = shares_[static_cast<size_t>(thread)].left;
    Run run = left.load(std::memory_order_relaxed);
    while (!run.empty()) {
        const Run rest = end == End::kNear ? Run{run.first + 1, run.last}  //
                                           : Run{run.first, run.last - 1};
        if (left.compare_exchange_weak(run, rest, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
            return end == End::kNear ? run.first : rest.last;
        }
    }
    return {};
}

// Nobody who has taken a piece can see another round before it has said that the piece is done.
void Pool::drain(int thread) {
    int32_t calls = 0;
    const auto call = [&](int32_t piece) {
        call_(body_, piece, thread);
        ++calls;
    };
    while (const std::optional<int32_t> piece = take(thread, End::kNear)) call(*piece);
    for (int other = 1; other < threads(); ++other) {
        const int from = (thread + other) % threads();
        while (const std::optional<int32_t> piece = take(from, End::kFar)) call(*piece);
    }
    if (calls == 0) return;
    done_.fetch_add(calls);
    if (caller_sleeps_.load()) done_.notify_one();
}

void Pool::wait_for_others(int32_t count) {
    const auto all_done = [&] { return done_.load(std::memory_order_acquire) == count; };
    if (look(patience_ns_, all_done)) return;
    caller_sleeps_.store(true);
    for (int32_t seen = done_.load(); seen != count; seen = done_.load()) done_.wait(seen);
    caller_sleeps_.store(false);
}

void Pool::work(int thread) {
    while (!stopping_.load(std::memory_order_relaxed)) {
        if (look_for_round(thread)) {
            drain(thread);
        } else {
            park(thread);
        }
    }
}

bool Pool::has_pieces(int thread) const {
    return !shares_[static_cast<size_t>(thread)].left.load().empty();
}

bool Pool::look_for_round(int thread) const {
    return look(patience_ns_,
                [&] { return has_pieces(thread) || stopping_.load(std::memory_order_relaxed); });
}

void Pool::park(int thread) {
    const int32_t seen = wakes_.load();
    parked_.fetch_add(1);
    if (!has_pieces(thread) && !stopping_.load()) wakes_.wait(seen);
}

// Takes the count back at once: one system call wakes all, and the rounds that follow until they run make none.
void Pool::wake() {
    parked_.store(0);
    wakes_.fetch_add(1);
    wakes_.notify_all();
}

}  // namespace millrace
