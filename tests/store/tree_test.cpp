// Random sessions of branches, removals and undos: the store against a model that keeps everything in maps.

#include <doctest/doctest.h>

#include <map>
#include <optional>

#include "tests/support/store_world.h"

namespace millrace::test {
namespace {

struct ModelMessage {
    MessageId parent{};
    std::string content;
    std::optional<MessageId> leaf_at_removal;  // kNone: the leaf was elsewhere
    bool removed = false;
};

// One chat, written for clearness: every question walks the whole map.
struct Model {
    std::map<MessageId, ModelMessage> messages;
    MessageId leaf = MessageId::kNone;

    [[nodiscard]] bool hidden(MessageId id) const {
        for (; id != MessageId::kNone; id = messages.at(id).parent) {
            if (messages.at(id).removed) return true;
        }
        return false;
    }
    [[nodiscard]] bool below(MessageId top, MessageId id) const {
        for (; id != MessageId::kNone; id = messages.at(id).parent) {
            if (id == top) return true;
        }
        return false;
    }
    [[nodiscard]] MessageId newest_child(MessageId parent, MessageId except) const {
        MessageId newest = MessageId::kNone;
        for (const auto& [id, message] : messages) {
            if (message.parent == parent && id != except && !hidden(id)) newest = id;
        }
        return newest;
    }
    void remove(MessageId top) {
        if (messages.at(top).removed) return;
        if (leaf != MessageId::kNone && below(top, leaf)) {
            messages.at(top).leaf_at_removal = leaf;
            MessageId next = newest_child(messages.at(top).parent, top);
            leaf = next == MessageId::kNone ? messages.at(top).parent : next;
            for (; next != MessageId::kNone; next = newest_child(next, MessageId::kNone))
                leaf = next;
        }
        messages.at(top).removed = true;
    }
    void restore(MessageId top) {
        ModelMessage& message = messages.at(top);
        if (!message.removed) return;
        message.removed = false;
        const auto before = message.leaf_at_removal;
        message.leaf_at_removal.reset();
        if (before && !hidden(*before)) leaf = *before;
    }
    [[nodiscard]] std::string text() const {
        std::string out = cat("leaf ", static_cast<int64_t>(leaf));
        for (const auto& [id, message] : messages) {
            if (hidden(id)) continue;
            out += cat("; ", static_cast<int64_t>(id), " under ",
                       static_cast<int64_t>(message.parent), " ", message.content);
        }
        return out;
    }
};

std::string text_of(const ChatTree& tree) {
    std::string out = cat("leaf ", static_cast<int64_t>(tree.leaf));
    for (const StoredMessage& message : tree.messages) {
        out += cat("; ", static_cast<int64_t>(message.id), " under ",
                   static_cast<int64_t>(message.parent), " ", message.content);
    }
    return out;
}

MessageId any(const Model& model, Random& random) {
    const uint64_t place = random.below(model.messages.size() + 1);
    if (place == model.messages.size()) return MessageId::kNone;
    return std::next(model.messages.begin(), static_cast<int64_t>(place))->first;
}

void step(ChatStore& store, ChatId chat, Model& model, Random& random, int number) {
    const MessageId at = any(model, random);
    const bool usable = at == MessageId::kNone || !model.hidden(at);
    const uint64_t what = random.below(10);
    const std::string words = cat("text ", number);
    if (what < 5) {
        const auto id = store.append(chat, message_of(Author::kUser, words, at));
        REQUIRE(id.ok() == usable);
        if (!usable) return;
        model.messages[*id] = {at, words, {}, false};
        model.leaf = *id;
    } else if (what == 5) {
        REQUIRE(store.show_leaf(chat, at).ok() == usable);
        if (usable) model.leaf = at;
    } else if (at == MessageId::kNone) {
        CHECK_FALSE(store.remove_branch(at).ok());
    } else if (what == 6) {
        StoredMessage message = message_of(Author::kAssistant, words, {});
        message.id = at;
        REQUIRE(store.update(message).ok());
        model.messages.at(at).content = words;
    } else if (what < 9) {
        REQUIRE(store.remove_branch(at).ok());
        model.remove(at);
    } else {
        REQUIRE(store.restore_branch(at).ok());
        model.restore(at);
    }
}

}  // namespace

TEST_CASE("branches are as in a naive model") {
    for (uint64_t seed = 1; seed <= 12; ++seed) {
        StoreTestWorld world;
        MemoryVfs disk("model");
        auto store = world.must_open(disk.name());
        const ChatId chat = *store->create("chat");
        Random random(seed);
        Model model;
        for (int number = 0; number < 120; ++number) {
            step(*store, chat, model, random, number);
            const auto tree = store->read(chat);
            REQUIRE(tree.ok());
            INFO("seed ", seed, " step ", number);
            REQUIRE(text_of(*tree) == model.text());
        }
        store.reset();
        store = world.must_open(disk.name());
        CHECK(text_of(*store->read(chat)) == model.text());
    }
}

}  // namespace millrace::test
