#include "offload/lease.h"

#include <algorithm>

#include "core/base/check.h"
#include "offload/expert_cache.h"

namespace millrace {

Lease::~Lease() {
    if (cache_ != nullptr) cache_->unpin(slot_);
}

const std::byte* Lease::data(int32_t range) const {
    ENSURE(cache_ != nullptr);
    return cache_->data(key_, slot_, range);
}

LeaseBatch::~LeaseBatch() {
    if (cache_ != nullptr) cache_->release(cache_->batch(batch_));
}

size_t LeaseBatch::size() const {
    return cache_ == nullptr ? 0 : cache_->batch(batch_).entries.size();
}

Result<std::optional<size_t>> LeaseBatch::next() {
    if (cache_ == nullptr) return std::optional<size_t>();
    return cache_->next(cache_->batch(batch_));
}

bool LeaseBatch::ready() const {
    if (cache_ == nullptr) return false;
    return std::ranges::any_of(cache_->batch(batch_).entries,
                               [this](const ExpertCache::Entry& entry) {
                                   return entry.state == ExpertCache::EntryState::kPinned &&
                                          cache_->table_.state(entry.slot) == SlotState::kReady;
                               });
}

const std::byte* LeaseBatch::data(size_t i, int32_t range) const {
    ENSURE(cache_ != nullptr && i < size());
    const ExpertCache::Entry& entry = cache_->batch(batch_).entries[i];
    ENSURE(entry.state == ExpertCache::EntryState::kReturned);
    return cache_->data(entry.key, entry.slot, range);
}

bool LeaseBatch::first_use(size_t i) {
    ENSURE(cache_ != nullptr && i < size());
    const ExpertCache::Entry& entry = cache_->batch(batch_).entries[i];
    ENSURE(entry.state == ExpertCache::EntryState::kReturned);
    return cache_->table_.take_fresh(entry.slot);
}

bool LeaseBatch::unused(size_t i) const {
    ENSURE(cache_ != nullptr && i < size());
    const ExpertCache::Entry& entry = cache_->batch(batch_).entries[i];
    ENSURE(entry.state == ExpertCache::EntryState::kReturned);
    return cache_->table_.fresh(entry.slot);
}

std::byte* LeaseBatch::writable(size_t i, int32_t range) {
    return const_cast<std::byte*>(data(i, range));
}

Lease LeaseBatch::take(size_t i) {
    ENSURE(cache_ != nullptr && i < size());
    ExpertCache::Entry& entry = cache_->batch(batch_).entries[i];
    ENSURE(entry.state == ExpertCache::EntryState::kReturned);
    entry.state = ExpertCache::EntryState::kGone;
    return {cache_, entry.key, entry.slot};
}

}  // namespace millrace
