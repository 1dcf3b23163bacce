#pragma once
// A copy of what the session holds, for other threads to compare a prompt with while the engine computes.
//
// The engine thread writes it between steps and never waits; who reads looks whether it was replaced meanwhile, and then
// looks again. Tokens behind the end are added without that: the length that is read first covers what lies before it.

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/types.h"
#include "core/engine/session.h"

namespace millrace {

class HeldTokens {
public:
    explicit HeldTokens(int64_t context_max) : tokens_(static_cast<size_t>(context_max)) {}

    // Engine thread: the session may be any other one; the session has grown or is what it was.
    void replace(const Session& session);
    void extend(const Session& session);

    // Session::reusable. Any thread.
    [[nodiscard]] int64_t reusable(std::span<const TokenId> prompt) const;

private:
    void write(const Session& session, int64_t first);

    std::vector<std::atomic<int32_t>> tokens_;  // [context_max]
    std::atomic<int64_t> length_{0}, rollback_min_{0};
    std::atomic<uint64_t> version_{0};  // odd: being replaced
};

}  // namespace millrace
