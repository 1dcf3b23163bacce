#pragma once
// Queue 2: the events of one request, from the engine thread to whoever holds the ticket.
//
//   post(progress) ─► [ ring, bounded ] ─► next ─► …  then the last event, again and again
//   close(event)   ─► the last event ────────┘
//
// Full: the reader is too slow. The mailbox then takes no more progress and the engine ends the request.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "core/engine/request.h"

namespace millrace {

class Mailbox {
public:
    // Allocates all it will need: the engine posts without allocating.
    explicit Mailbox(size_t events_max) : ring_(events_max) {}

    // Engine thread. False when full; a kPrefill event replaces an unread one, so that prefill never fills it.
    [[nodiscard]] bool post(Event::Kind kind, int64_t prefill_done, int64_t prefill_total,
                            TokenId token);
    // Engine thread, once: kFinished or kFailed.
    void close(Event last);

    // Any thread.
    [[nodiscard]] Event next();
    [[nodiscard]] std::optional<Event> next_within(std::chrono::milliseconds wait);
    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
    // Asked by the engine thread many times in a step.
    [[nodiscard]] bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

private:
    struct Progress {
        Event::Kind kind = Event::Kind::kToken;
        TokenId token;
        int64_t prefill_done = 0, prefill_total = 0;
    };
    [[nodiscard]] bool ready(const std::unique_lock<std::mutex>& lock) const;
    [[nodiscard]] Event take(const std::unique_lock<std::mutex>& lock);

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Progress> ring_;
    size_t first_ = 0, count_ = 0;
    std::optional<Event> last_;
    std::atomic<bool> cancelled_{false};
};

}  // namespace millrace
