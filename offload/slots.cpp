#include "offload/slots.h"

#include <utility>

#include "core/base/check.h"

namespace millrace {

SlotTable::SlotTable(int32_t slots, int32_t layers, int32_t experts, int32_t hinted_max,
                     int32_t guesses_max)
    : experts_(experts),
      hinted_max_(hinted_max),
      guesses_max_(guesses_max),
      slots_(static_cast<size_t>(slots)),
      homes_(static_cast<size_t>(layers) * static_cast<size_t>(experts), -1),
      empty_(slots),
      policy_(layers, experts),
      hinted_ready_(slots) {
    for (int32_t i = 0; i < slots; ++i) empty_.add({i});
    guesses_.reserve(static_cast<size_t>(guesses_max));
}

int32_t& SlotTable::home(ExpertKey key) {
    return homes_[static_cast<size_t>(key.layer.value) * static_cast<size_t>(experts_) +
                  static_cast<size_t>(key.expert.value)];
}

std::optional<SlotId> SlotTable::find(ExpertKey key) const {
    const int32_t slot = const_cast<SlotTable*>(this)->home(key);
    if (slot < 0) return std::nullopt;
    return SlotId{slot};
}

std::optional<SlotId> SlotTable::choose(Claim claim) const {
    const auto guesses = static_cast<int32_t>(guesses_.size());
    if (claim == Claim::kGuess) return guesses < guesses_max_ ? empty_.oldest() : std::nullopt;
    if (claim == Claim::kHint && hinted_ - guesses >= hinted_max_) return std::nullopt;
    if (empty_.size() + guesses > kept_) {
        if (const auto slot = empty_.oldest()) return slot;
    }
    if (const auto key = policy_.victim()) return find(*key);
    if (const auto slot = empty_.oldest()) return slot;
    return claim == Claim::kDemand ? hinted_ready_.oldest() : std::nullopt;
}

std::optional<SlotId> SlotTable::take(ExpertKey key, Claim claim) {
    ENSURE(!find(key));
    const std::optional<SlotId> chosen = choose(claim);
    if (!chosen) return std::nullopt;
    Slot& slot = at(*chosen);
    if (slot.state == SlotState::kReady) evict(*chosen);
    empty_.remove(*chosen);
    slot.state = SlotState::kLoading;
    slot.key = key;
    ++slot.generation;
    home(key) = chosen->value;
    if (claim == Claim::kDemand) return chosen;
    slot.hinted = true;
    ++hinted_;
    if (claim == Claim::kGuess) {
        slot.guessed = true;
        guesses_.push_back(*chosen);
    }
    return chosen;
}

// A ready unpinned slot is empty.
void SlotTable::evict(SlotId id) {
    ++evictions_;
    discard(id);
}

void SlotTable::discard(SlotId id) {
    ENSURE(at(id).state == SlotState::kReady && at(id).pins == 0);
    make_unevictable(id);
    end_hint(id);
    forget(id);
    make_empty(id);
}

void SlotTable::refill() {
    while (empty_.size() + static_cast<int32_t>(guesses_.size()) < kept_) {
        const auto key = policy_.victim();
        if (!key) return;
        evict(*find(*key));
    }
}

std::optional<SlotId> SlotTable::hinted_loading() const {
    for (int32_t i = 0; i < size(); ++i) {
        const Slot& slot = at({i});
        if (slot.state == SlotState::kLoading && slot.hinted) return SlotId{i};
    }
    return std::nullopt;
}

void SlotTable::pin(SlotId id) {
    Slot& slot = at(id);
    ENSURE(slot.state == SlotState::kLoading || slot.state == SlotState::kReady);
    if (slot.pins++ > 0) return;
    ++pinned_;
    if (slot.state == SlotState::kReady) make_unevictable(id);
    end_hint(id);
}

bool SlotTable::unpin(SlotId id) {
    Slot& slot = at(id);
    ENSURE(slot.pins > 0);
    if (--slot.pins > 0) return false;
    --pinned_;
    if (slot.state == SlotState::kReady) policy_.add(slot.key);
    if (slot.state == SlotState::kFailed) make_empty(id);
    return true;
}

void SlotTable::call_off(SlotId id) {
    Slot& slot = at(id);
    ENSURE(slot.state == SlotState::kLoading && slot.pins == 0);
    slot.state = SlotState::kCallingOff;
    ++calling_off_;
    end_hint(id);
    forget(id);
}

void SlotTable::loaded(SlotId id) {
    Slot& slot = at(id);
    if (slot.state == SlotState::kCallingOff) {
        // It landed before it could be called off. The bytes are good, unless the expert was asked for again meanwhile
        // and has another home.
        --calling_off_;
        if (find(slot.key)) return make_empty(id);
        home(slot.key) = id.value;
    } else {
        ENSURE(slot.state == SlotState::kLoading);
    }
    slot.state = SlotState::kReady;
    slot.fresh = true;
    if (slot.pins == 0) make_evictable(id);
}

bool SlotTable::take_fresh(SlotId id) {
    Slot& slot = at(id);
    ENSURE(slot.state == SlotState::kReady);
    return std::exchange(slot.fresh, false);
}

void SlotTable::called_off(SlotId id) {
    ENSURE(at(id).state == SlotState::kCallingOff);
    --calling_off_;
    make_empty(id);
}

void SlotTable::failed(SlotId id, const ReadFailure& failure) {
    Slot& slot = at(id);
    if (slot.state == SlotState::kCallingOff) return called_off(id);
    ENSURE(slot.state == SlotState::kLoading);
    end_hint(id);
    forget(id);
    slot.failure = failure;
    slot.state = SlotState::kFailed;
    if (slot.pins == 0) make_empty(id);
}

void SlotTable::tick() {
    ++ticks_;
    while (const auto oldest = hinted_ready_.oldest()) {
        if (ticks_ - at(*oldest).ready_at < kHintLife) return;
        hinted_ready_.remove(*oldest);
        end_hint(*oldest);
        policy_.add(key(*oldest));
    }
}

// The expert has no home any more.
void SlotTable::forget(SlotId id) {
    int32_t& slot = home(at(id).key);
    ENSURE(slot == id.value);
    slot = -1;
}

void SlotTable::make_empty(SlotId id) {
    at(id).state = SlotState::kEmpty;
    empty_.add(id);
}

void SlotTable::make_evictable(SlotId id) {
    Slot& slot = at(id);
    slot.ready_at = ticks_;
    if (slot.hinted) return hinted_ready_.add(id);
    policy_.add(slot.key);
}

// The slot is ready and not pinned, and will be one or the other.
void SlotTable::make_unevictable(SlotId id) {
    if (at(id).hinted) return hinted_ready_.remove(id);
    policy_.remove(key(id));
}

void SlotTable::end_hint(SlotId id) {
    Slot& slot = at(id);
    if (slot.hinted) --hinted_;
    if (slot.guessed) std::erase(guesses_, id);
    slot.hinted = false;
    slot.guessed = false;
}

}  // namespace millrace
