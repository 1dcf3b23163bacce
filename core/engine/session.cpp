#include "core/engine/session.h"

#include <algorithm>

#include "core/engine/kv_cache.h"

namespace millrace {

Session::Session(std::unique_ptr<KvCache> kv) : kv_(std::move(kv)) {
    tokens_.reserve(static_cast<size_t>(kv_->limits().context_max));
}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

int64_t Session::context_max() const { return kv_->limits().context_max; }

int64_t Session::reusable(std::span<const TokenId> prompt) const {
    if (prompt.empty()) return 0;
    const auto limit = std::min(tokens_.size(), prompt.size() - 1);
    const auto different = std::mismatch(
        tokens_.begin(), tokens_.begin() + static_cast<std::ptrdiff_t>(limit), prompt.begin());
    const int64_t common = different.first - tokens_.begin();
    return can_roll_back_to(common) ? common : 0;
}

bool Session::can_roll_back_to(int64_t length) const {
    return length == 0 || (length >= rollback_min() && length <= this->length());
}

int64_t Session::rollback_min() const {
    return std::max(nearest_, std::max(farthest_, length()) - kv_->limits().rollback_max);
}

void Session::roll_back(int64_t length) {
    ENSURE(can_roll_back_to(length));
    // The rings were overwritten up to the farthest token ever computed; a second rollback counts from there.
    farthest_ = length == 0 ? 0 : std::max(farthest_, this->length());
    if (length == 0) nearest_ = 0;
    tokens_.resize(static_cast<size_t>(length));
}

void Session::append(std::span<const TokenId> tokens) {
    ENSURE(length() + static_cast<int64_t>(tokens.size()) <= context_max());
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

void Session::take_over(std::span<const TokenId> tokens) {
    ENSURE(static_cast<int64_t>(tokens.size()) <= context_max());
    tokens_.assign(tokens.begin(), tokens.end());
    farthest_ = nearest_ = length();
}

}  // namespace millrace
