#pragma once
// One sequence: its tokens and the KV state that belongs to them. Movable; used by the engine thread only.

#include <memory>
#include <span>
#include <vector>

#include "core/base/result.h"
#include "core/base/types.h"

namespace millrace {

class KvCache;

// What of a prompt need not be computed.
struct KeptTokens {
    int64_t tokens = 0;
    int64_t archived = 0;  // of these, out of the archive and not out of the session
};

class Session {
public:
    explicit Session(std::unique_ptr<KvCache> kv);
    Session(Session&&) noexcept;
    Session& operator=(Session&&) noexcept;
    ~Session();

    [[nodiscard]] std::span<const TokenId> tokens() const { return tokens_; }
    [[nodiscard]] int64_t length() const { return static_cast<int64_t>(tokens_.size()); }
    [[nodiscard]] int64_t context_max() const;

    // How many of the first tokens of `prompt` this session can keep: the common prefix if rolling back to it is exact,
    // else 0. At least one token of the prompt is left to compute, because its logits are wanted.
    [[nodiscard]] int64_t reusable(std::span<const TokenId> prompt) const;

    // Forgets everything after the first `length` tokens. Exact: what follows has the same bits as if the forgotten
    // tokens had never been. Allowed if `can_roll_back_to(length)`.
    void roll_back(int64_t length);
    [[nodiscard]] bool can_roll_back_to(int64_t length) const;
    // Of the lengths that can be gone back to, the least but 0.
    [[nodiscard]] int64_t rollback_min() const;
    void reset() { roll_back(0); }  // always allowed

    // For the forward pass.
    [[nodiscard]] KvCache& kv() { return *kv_; }
    void append(std::span<const TokenId> tokens);
    // The KV state was made that of `tokens` from outside, with nothing of the tokens before that could be gone back to.
    void take_over(std::span<const TokenId> tokens);

private:
    std::unique_ptr<KvCache> kv_;
    std::vector<TokenId> tokens_;
    int64_t farthest_ =
        0;  // the longest this sequence was since it was last empty, if it was rolled back
    int64_t nearest_ = 0;  // nothing but 0 before it can be gone back to
};

}  // namespace millrace
