#pragma once
// Slots in the order in which they were added: queues of loads, empty slots, hinted ones. Constant time, no allocation
// after construction. It knows nothing of experts or reads.

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/types.h"

namespace millrace {

class SlotOrder {
public:
    explicit SlotOrder(int32_t slots);

    // Behind all others. It must not be in the order yet.
    void add(SlotId slot);
    // It must be in the order.
    void remove(SlotId slot);
    [[nodiscard]] bool contains(SlotId slot) const;
    [[nodiscard]] std::optional<SlotId> oldest() const;
    [[nodiscard]] int32_t size() const { return size_; }

private:
    struct Node {
        int32_t older = -1, newer = -1;
        bool linked = false;
    };
    [[nodiscard]] Node& node(SlotId slot);

    // A ring through the node behind the last slot: its `newer` is the oldest, its `older` the newest.
    std::vector<Node> nodes_;
    int32_t size_ = 0;
};

}  // namespace millrace
