#include "core/engine/mailbox.h"

#include "core/base/check.h"

namespace millrace {

bool Mailbox::post(Event::Kind kind, int64_t prefill_done, int64_t prefill_total, TokenId token) {
    {
        const std::scoped_lock lock(mutex_);
        ENSURE(!last_);
        Progress* newest = count_ == 0 ? nullptr : &ring_[(first_ + count_ - 1) % ring_.size()];
        if (newest != nullptr && kind == Event::Kind::kPrefill && newest->kind == kind) {
            newest->prefill_done = prefill_done;
            return true;
        }
        if (count_ == ring_.size()) return false;
        ring_[(first_ + count_++) % ring_.size()] = {kind, token, prefill_done, prefill_total};
    }
    changed_.notify_one();
    return true;
}

void Mailbox::close(Event last) {
    {
        const std::scoped_lock lock(mutex_);
        ENSURE(!last_);
        last_ = std::move(last);
    }
    changed_.notify_all();
}

bool Mailbox::ready(const std::unique_lock<std::mutex>&) const { return count_ > 0 || last_; }

Event Mailbox::take(const std::unique_lock<std::mutex>&) {
    if (count_ == 0) return *last_;
    const Progress& progress = ring_[first_];
    first_ = (first_ + 1) % ring_.size();
    --count_;
    Event event;
    event.kind = progress.kind;
    event.token = progress.token;
    event.prefill_done = progress.prefill_done;
    event.prefill_total = progress.prefill_total;
    return event;
}

Event Mailbox::next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ready(lock); });
    return take(lock);
}

std::optional<Event> Mailbox::next_within(std::chrono::milliseconds wait) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, wait, [&] { return ready(lock); })) return std::nullopt;
    return take(lock);
}

}  // namespace millrace
