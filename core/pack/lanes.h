#pragma once
// Several threads that each take the next item, read, compute and write it, one after the other. More lanes than CPUs keep
// the drive busy while others compute; the first failure or a wish to stop ends all of them.

#include <atomic>
#include <cstddef>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/base/result.h"

namespace millrace {

// Calls body(item, lane) for 0 ≤ item < count, in about that order, from `lanes` threads (1: from this one). Returns the
// first failure.
template <class Body>
[[nodiscard]] Status run_lanes(int lanes, size_t count, const Body& body) {
    std::atomic<size_t> next{0};
    std::atomic<bool> stop{false};
    std::mutex mutex;
    std::optional<Error> failure;
    const auto work = [&](int lane) {
        while (!stop.load()) {
            const size_t item = next.fetch_add(1);
            if (item >= count) return;
            const Status done = body(item, lane);
            if (done.ok()) continue;
            stop.store(true);
            const std::lock_guard lock(mutex);
            if (!failure) failure = done.error();
        }
    };
    {
        std::vector<std::jthread> threads;
        for (int lane = 1; lane < lanes; ++lane) threads.emplace_back(work, lane);
        work(0);
    }
    if (failure) return *failure;
    return {};
}

}  // namespace millrace
