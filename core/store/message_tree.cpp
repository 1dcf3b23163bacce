#include "core/store/message_tree.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace millrace {

MessageTree::MessageTree(std::vector<TreeNode> nodes) : nodes_(std::move(nodes)) {
    std::sort(nodes_.begin(), nodes_.end(),
              [](const TreeNode& a, const TreeNode& b) { return a.id < b.id; });
    for (TreeNode& node : nodes_) {
        const TreeNode* parent = node.parent < node.id ? find(node.parent) : nullptr;
        if (parent == nullptr) node.parent = MessageId::kNone;
        node.hidden = node.removed_ms.has_value() || (parent != nullptr && parent->hidden);
    }
}

const TreeNode* MessageTree::find(MessageId id) const {
    const auto place =
        std::lower_bound(nodes_.begin(), nodes_.end(), id,
                         [](const TreeNode& node, MessageId wanted) { return node.id < wanted; });
    return place != nodes_.end() && place->id == id ? &*place : nullptr;
}

bool MessageTree::contains(MessageId top, MessageId below) const {
    while (below != MessageId::kNone && below != top) {
        const TreeNode* node = find(below);
        if (node == nullptr) return false;
        below = node->parent;
    }
    return below == top;
}

int64_t MessageTree::shown_count() const {
    return std::count_if(nodes_.begin(), nodes_.end(),
                         [](const TreeNode& node) { return !node.hidden; });
}

MessageId MessageTree::newest_leaf(MessageId id) const {
    std::unordered_map<int64_t, MessageId> newest_child;
    for (const TreeNode& node : nodes_) {
        if (!node.hidden) newest_child[static_cast<int64_t>(node.parent)] = node.id;
    }
    for (auto child = newest_child.find(static_cast<int64_t>(id)); child != newest_child.end();
         child = newest_child.find(static_cast<int64_t>(id))) {
        id = child->second;
    }
    return id;
}

MessageId MessageTree::leaf_without(MessageId removed) const {
    const TreeNode* node = find(removed);
    if (node == nullptr) return MessageId::kNone;
    const auto other = std::find_if(nodes_.rbegin(), nodes_.rend(), [&](const TreeNode& each) {
        return each.parent == node->parent && each.id != removed && !each.hidden;
    });
    return other == nodes_.rend() ? node->parent : newest_leaf(other->id);
}

}  // namespace millrace
