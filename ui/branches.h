#pragma once
// A chat's tree of messages in memory: which branch is shown, which versions a message has. Pure.

#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/store/chats.h"

namespace millrace {

class Branches {
public:
    Branches() = default;
    Branches(std::vector<StoredMessage> messages, MessageId leaf);

    // From the first message to the leaf.
    [[nodiscard]] std::vector<MessageId> shown() const;
    [[nodiscard]] const StoredMessage* find(MessageId id) const;
    [[nodiscard]] StoredMessage* find(MessageId id);
    [[nodiscard]] MessageId leaf() const { return leaf_; }
    [[nodiscard]] size_t size() const { return messages_.size(); }
    [[nodiscard]] std::span<const StoredMessage> all() const { return messages_; }

    struct Version {
        int64_t number = 1, count = 1;                                  // 2 of 3
        MessageId before = MessageId::kNone, after = MessageId::kNone;  // kNone: there is none
    };
    [[nodiscard]] Version version_of(MessageId id) const;
    // Another number after each change of the tree or of what is shown of it.
    [[nodiscard]] uint64_t version() const { return version_; }
    // The leaf to show when this message shall be seen: below it always the newest child.
    [[nodiscard]] MessageId newest_leaf(MessageId id) const;

    void append(StoredMessage message);  // becomes the leaf
    void show(MessageId leaf) {
        leaf_ = leaf;
        ++version_;
    }
    // Takes the message and all below it out. The leaf moves to the nearest version or parent if it was among them.
    void remove(MessageId id);

private:
    [[nodiscard]] static int64_t key(MessageId id) { return static_cast<int64_t>(id); }
    void index();

    std::unordered_map<int64_t, size_t> places_;  // id → place in messages_
    std::vector<StoredMessage> messages_;         // parents before children, older before newer
    MessageId leaf_ = MessageId::kNone;
    uint64_t version_ = 0;
};

}  // namespace millrace
