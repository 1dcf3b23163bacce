#pragma once
// The last records of a stream: one thread writes, any thread reads, and nobody waits for anybody. A reader that was
// overtaken while it copied notices and is told that the record is gone.
//
//   begun    ─ raised before a record is written   } a copy of record i is good if, after copying, begun ≤ i + capacity:
//   written  ─ raised after it                     } nobody has begun to write over it
//
// All words are atomic, so that a copy that is thrown away is no data race either. Stores of words are releases and loads
// acquires: who has seen a word of a new record sees that it was begun.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace {

class LiveRing {
public:
    // The last `capacity` records of `record_words` words each. All memory is taken here.
    LiveRing(uint64_t capacity, size_t record_words)
        : capacity_(capacity),
          record_words_(record_words),
          words_(static_cast<size_t>(capacity) * record_words) {}

    // The one writer.
    void write(std::span<const uint64_t> record) {
        const uint64_t number = written_.load(std::memory_order_relaxed);
        begun_.store(number + 1, std::memory_order_relaxed);
        std::atomic<uint64_t>* at = place(number);
        for (size_t i = 0; i < record_words_; ++i)
            at[i].store(record[i], std::memory_order_release);
        written_.store(number + 1, std::memory_order_release);
    }

    // How many were ever written: their numbers are below it.
    [[nodiscard]] uint64_t written() const { return written_.load(std::memory_order_acquire); }
    // The number of the oldest that is still there.
    [[nodiscard]] uint64_t oldest() const {
        const uint64_t end = written();
        return end > capacity_ ? end - capacity_ : 0;
    }
    // False: not written yet, or gone.
    [[nodiscard]] bool read(uint64_t number, std::span<uint64_t> out) const {
        if (number >= written()) return false;
        const std::atomic<uint64_t>* at = place(number);
        for (size_t i = 0; i < record_words_; ++i) out[i] = at[i].load(std::memory_order_acquire);
        return begun_.load(std::memory_order_relaxed) <= number + capacity_;
    }
    [[nodiscard]] size_t record_words() const { return record_words_; }

private:
    [[nodiscard]] std::atomic<uint64_t>* place(uint64_t number) {
        return words_.data() + static_cast<size_t>(number % capacity_) * record_words_;
    }
    [[nodiscard]] const std::atomic<uint64_t>* place(uint64_t number) const {
        return words_.data() + static_cast<size_t>(number % capacity_) * record_words_;
    }

    const uint64_t capacity_;
    const size_t record_words_;
    std::vector<std::atomic<uint64_t>> words_;
    std::atomic<uint64_t> begun_{0}, written_{0};
};

}  // namespace millrace
