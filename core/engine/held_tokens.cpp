#include "core/engine/held_tokens.h"

#include <algorithm>

namespace millrace {

// Every write releases and every read acquires: who sees one token of a replacement sees that it began.
void HeldTokens::write(const Session& session, int64_t first) {
    const std::span<const TokenId> tokens = session.tokens();
    for (auto i = static_cast<size_t>(first); i < tokens.size(); ++i) {
        tokens_[i].store(tokens[i].value, std::memory_order_release);
    }
    rollback_min_.store(session.rollback_min(), std::memory_order_release);
    length_.store(session.length(), std::memory_order_release);
}

void HeldTokens::replace(const Session& session) {
    const uint64_t version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, std::memory_order_relaxed);
    write(session, 0);
    version_.store(version + 2, std::memory_order_release);
}

void HeldTokens::extend(const Session& session) {
    write(session, std::min(length_.load(std::memory_order_relaxed), session.length()));
}

int64_t HeldTokens::reusable(std::span<const TokenId> prompt) const {
    if (prompt.empty()) return 0;
    while (true) {
        const uint64_t version = version_.load(std::memory_order_acquire);
        const int64_t length = length_.load(std::memory_order_acquire);
        const int64_t least = rollback_min_.load(std::memory_order_acquire);
        const auto most =
            static_cast<size_t>(std::min(length, static_cast<int64_t>(prompt.size()) - 1));
        size_t common = 0;
        while (common < most &&
               tokens_[common].load(std::memory_order_acquire) == prompt[common].value) {
            ++common;
        }
        // A replacement takes a millisecond at most, and happens once a request.
        if (version % 2 != 0 || version_.load(std::memory_order_relaxed) != version) continue;
        const auto kept = static_cast<int64_t>(common);
        return kept >= least ? kept : 0;
    }
}

}  // namespace millrace
