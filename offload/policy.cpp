#include "offload/policy.h"

#include "core/base/check.h"

namespace millrace {

SlotOrder::SlotOrder(int32_t slots) : nodes_(static_cast<size_t>(slots) + 1) {
    nodes_.back() = {.older = slots, .newer = slots, .linked = true};
}

SlotOrder::Node& SlotOrder::node(SlotId slot) {
    ENSURE(slot.value >= 0 && static_cast<size_t>(slot.value) + 1 < nodes_.size());
    return nodes_[static_cast<size_t>(slot.value)];
}

void SlotOrder::add(SlotId slot) {
    Node& added = node(slot);
    ENSURE(!added.linked);
    Node& ends = nodes_.back();
    const auto end = static_cast<int32_t>(nodes_.size()) - 1;
    added = {.older = ends.older, .newer = end, .linked = true};
    nodes_[static_cast<size_t>(ends.older)].newer = slot.value;
    ends.older = slot.value;
    ++size_;
}

void SlotOrder::remove(SlotId slot) {
    Node& removed = node(slot);
    ENSURE(removed.linked);
    nodes_[static_cast<size_t>(removed.older)].newer = removed.newer;
    nodes_[static_cast<size_t>(removed.newer)].older = removed.older;
    removed = {};
    --size_;
}

bool SlotOrder::contains(SlotId slot) const {
    ENSURE(slot.value >= 0 && static_cast<size_t>(slot.value) + 1 < nodes_.size());
    return nodes_[static_cast<size_t>(slot.value)].linked;
}

std::optional<SlotId> SlotOrder::oldest() const {
    if (size_ == 0) return std::nullopt;
    return SlotId{nodes_.back().newer};
}

}  // namespace millrace
