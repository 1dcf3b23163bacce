#pragma once
// The branches of chats without their texts: who stands above whom, and what is hidden.

#include <cstdint>
#include <optional>
#include <vector>

#include "core/store/chats.h"

namespace millrace {

struct TreeNode {
    MessageId id = MessageId::kNone, parent = MessageId::kNone;
    std::optional<int64_t> removed_ms;  // itself; what lies below is hidden with it
    bool hidden = false;
};

class MessageTree {
public:
    // In any order. A parent that is not among them counts as none.
    explicit MessageTree(std::vector<TreeNode> nodes);

    // Parents before children: ids grow.
    [[nodiscard]] const std::vector<TreeNode>& nodes() const { return nodes_; }
    [[nodiscard]] const TreeNode* find(MessageId id) const;
    // `below` is `top` or stands under it.
    [[nodiscard]] bool contains(MessageId top, MessageId below) const;
    [[nodiscard]] int64_t shown_count() const;
    // The end of the branch that goes on from `id` by the newest message each time.
    [[nodiscard]] MessageId newest_leaf(MessageId id) const;
    // What is shown when the branch of `removed` is not: the newest other version, else what stood before.
    [[nodiscard]] MessageId leaf_without(MessageId removed) const;

private:
    std::vector<TreeNode> nodes_;
};

}  // namespace millrace
