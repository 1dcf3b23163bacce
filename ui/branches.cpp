#include "ui/branches.h"

#include <algorithm>
#include <unordered_set>

namespace millrace {

Branches::Branches(std::vector<StoredMessage> messages, MessageId leaf)
    : messages_(std::move(messages)), leaf_(leaf) {
    index();
}

void Branches::index() {
    places_.clear();
    for (size_t i = 0; i < messages_.size(); ++i) places_[key(messages_[i].id)] = i;
}

const StoredMessage* Branches::find(MessageId id) const {
    const auto found = places_.find(key(id));
    return found == places_.end() ? nullptr : &messages_[found->second];
}
StoredMessage* Branches::find(MessageId id) {
    const auto found = places_.find(key(id));
    return found == places_.end() ? nullptr : &messages_[found->second];
}

std::vector<MessageId> Branches::shown() const {
    std::vector<MessageId> path;
    // Parents stand before children, so one walk from the back finds them all.
    MessageId wanted = leaf_;
    for (auto at = messages_.rbegin(); at != messages_.rend() && wanted != MessageId::kNone; ++at) {
        if (at->id != wanted) continue;
        path.push_back(wanted);
        wanted = at->parent;
    }
    std::ranges::reverse(path);
    return path;
}

Branches::Version Branches::version_of(MessageId id) const {
    Version version;
    const StoredMessage* message = find(id);
    if (message == nullptr) return version;
    version.count = 0;
    bool passed = false;
    for (const StoredMessage& other : messages_) {
        if (other.parent != message->parent || other.author != message->author) continue;
        ++version.count;
        if (other.id == id) {
            version.number = version.count;
            passed = true;
        } else if (!passed) {
            version.before = other.id;
        } else if (version.after == MessageId::kNone) {
            version.after = other.id;
        }
    }
    return version;
}

MessageId Branches::newest_leaf(MessageId id) const {
    // Parents stand before children: from the back, each message knows its newest leaf before its parent asks for it.
    std::unordered_map<int64_t, MessageId> leaf_below;  // of a parent, by its newest child
    for (auto at = messages_.rbegin(); at != messages_.rend(); ++at) {
        const auto below = leaf_below.find(key(at->id));
        const MessageId leaf = below == leaf_below.end() ? at->id : below->second;
        if (at->id == id) return leaf;
        leaf_below.emplace(key(at->parent), leaf);
    }
    return id;
}

void Branches::append(StoredMessage message) {
    ++version_;
    leaf_ = message.id;
    places_[key(message.id)] = messages_.size();
    messages_.push_back(std::move(message));
}

void Branches::remove(MessageId id) {
    const StoredMessage* message = find(id);
    if (message == nullptr) return;
    ++version_;
    const MessageId parent = message->parent;
    const Version version = version_of(id);
    std::unordered_set<int64_t> gone = {static_cast<int64_t>(id)};
    for (const StoredMessage& other : messages_) {
        if (gone.contains(static_cast<int64_t>(other.parent)))
            gone.insert(static_cast<int64_t>(other.id));
    }
    std::erase_if(messages_, [&](const StoredMessage& other) {
        return gone.contains(static_cast<int64_t>(other.id));
    });
    index();
    if (!gone.contains(static_cast<int64_t>(leaf_))) return;
    const MessageId beside = version.before != MessageId::kNone ? version.before : version.after;
    leaf_ = beside != MessageId::kNone ? newest_leaf(beside) : parent;
}

}  // namespace millrace
