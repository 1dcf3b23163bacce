#include "offload/gpu_slots.h"

#include <algorithm>

#include "core/base/check.h"

namespace millrace {

GpuSlots::GpuSlots(int32_t layers, int32_t experts, const PromotionRule& rule)
    : rule_(rule),
      experts_(static_cast<size_t>(experts)),
      homes_(static_cast<size_t>(layers) * static_cast<size_t>(experts), -1),
      policy_(layers, experts) {}

void GpuSlots::grow(int32_t count) {
    // The lowest is taken first.
    for (int32_t i = count; i > 0; --i) empty_.push_back({size() + i - 1});
    slots_.resize(slots_.size() + static_cast<size_t>(count));
}

std::optional<SlotId> GpuSlots::find(ExpertKey key) const {
    const int32_t home = homes_[index(key)];
    if (home < 0 || slots_[static_cast<size_t>(home)].state != State::kThere) return std::nullopt;
    return SlotId{home};
}

std::optional<ExpertKey> GpuSlots::victim_for(ExpertKey key) const {
    const std::optional<ExpertKey> victim = policy_.victim();
    if (!victim) return std::nullopt;
    const float gained = 1 / policy_.distance(key) - 1 / policy_.distance(*victim);
    if (gained * rule_.horizon_tokens < rule_.uses_to_pay) return std::nullopt;
    return victim;
}

bool GpuSlots::wants(ExpertKey key) const {
    return homes_[index(key)] < 0 && (!empty_.empty() || victim_for(key));
}

std::optional<GpuSlots::Taken> GpuSlots::begin(ExpertKey key) {
    if (!wants(key)) return std::nullopt;
    Taken taken;
    if (empty_.empty()) {
        taken.dropped = victim_for(key);
        drop(*taken.dropped);
    }
    taken.slot = empty_.back();
    empty_.pop_back();
    slots_[static_cast<size_t>(taken.slot.value)] = {State::kFilling, key};
    homes_[index(key)] = taken.slot.value;
    return taken;
}

void GpuSlots::landed(SlotId id) {
    Slot& slot = slots_[static_cast<size_t>(id.value)];
    ENSURE(slot.state == State::kFilling);
    slot.state = State::kThere;
    policy_.add(slot.key);
    ++there_;
}

// The expert's slot is empty.
void GpuSlots::drop(ExpertKey key) {
    const SlotId id{homes_[index(key)]};
    Slot& slot = slots_[static_cast<size_t>(id.value)];
    ENSURE(slot.state == State::kThere);
    policy_.remove(key);
    homes_[index(key)] = -1;
    slot.state = State::kEmpty;
    empty_.push_back(id);
    --there_;
}

std::optional<ExpertKey> GpuSlots::close_last() {
    const Slot last = slots_.back();
    ENSURE(last.state != State::kFilling);
    const bool there = last.state == State::kThere;
    if (there) drop(last.key);
    std::erase(empty_, SlotId{size() - 1});
    slots_.pop_back();
    return there ? std::optional(last.key) : std::nullopt;
}

}  // namespace millrace
