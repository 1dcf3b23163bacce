#pragma once
// A fixed set of threads for fork-join work on independent rows. One thread at a time may call `run`.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace millrace {

class Pool {
public:
    // `threads` counts the caller: 1 starts no thread at all.
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

    // Calls body(i) for every 0 ≤ i < count, on any thread, in any order; returns when all are done. `body` must not
    // allocate, block or call `run`. What it computes for i may not depend on the other calls.
    template <class Body>
    void run(int64_t count, const Body& body) {
        start(count, &body, [](const void* b, int64_t i) { (*static_cast<const Body*>(b))(i); });
    }

private:
    using Call = void (*)(const void* body, int64_t index);
    void start(int64_t count, const void* body, Call call);
    void work();
    void drain();

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    uint64_t round_ = 0;  // guarded by mutex_
    int busy_ = 0;        // guarded by mutex_
    bool stopping_ = false;
    const void* body_ = nullptr;
    Call call_ = nullptr;
    int64_t count_ = 0;
    std::atomic<int64_t> next_{0};
    std::vector<std::jthread> workers_;
};

}  // namespace millrace
