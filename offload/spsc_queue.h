#pragma once
// A bounded queue from one thread to one other. No locks, no allocation after construction. Its users prove that it
// cannot be full (io_port.h), so pushing into a full one is a bug.

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/check.h"

namespace millrace {

template <class T>
class SpscQueue {
public:
    // Holds at least `capacity` items.
    explicit SpscQueue(size_t capacity) : items_(std::bit_ceil(capacity)) {
        ENSURE(items_.size() < size_t{1} << 31);
    }

    // The writing thread.
    void push(const T& item) {
        const uint32_t tail = tail_.load(std::memory_order_relaxed);
        ENSURE(tail - head_.load(std::memory_order_acquire) < items_.size());
        items_[tail & (items_.size() - 1)] = item;
        // Sequentially consistent, as is `empty`: a sleeper says that it sleeps and then looks here, a writer writes here
        // and then looks whether somebody sleeps; one of the two must see the other.
        tail_.store(tail + 1);
        tail_.notify_one();
    }

    // The reading thread.
    [[nodiscard]] bool pop(T& item) {
        const uint32_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_.load(std::memory_order_acquire)) return false;
        item = items_[head & (items_.size() - 1)];
        head_.store(head + 1, std::memory_order_release);
        return true;
    }
    [[nodiscard]] bool empty() const {
        return head_.load(std::memory_order_relaxed) == tail_.load();
    }
    // Blocks until it is not empty.
    void wait() const { tail_.wait(head_.load(std::memory_order_relaxed)); }

private:
    // Positions count on modulo 2³²; a size that is a power of two makes that harmless.
    std::vector<T> items_;
    alignas(64) std::atomic<uint32_t> head_{0};
    alignas(64) std::atomic<uint32_t> tail_{0};
};

}  // namespace millrace
