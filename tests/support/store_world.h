#pragma once
// A store in a directory of its own, on a file system in memory, with a date that the test sets.

#include <doctest/doctest.h>

#include "core/base/strings.h"
#include "core/store/store_world.h"
#include "tests/support/archive_world.h"
#include "tests/support/memory_vfs.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {

class MillisecondCalendar final : public Calendar {
public:
    [[nodiscard]] int64_t now_s() override { return now / 1000; }
    [[nodiscard]] int64_t now_ms() override { return now; }
    int64_t now = 1'790'000'000'000;
};

struct StoreTestWorld {
    // The key lies on the machine's disk, the chats where `vfs` says.
    [[nodiscard]] Result<std::unique_ptr<ChatStore>> open(const char* vfs) {
        return open_store(place.path() / "state", {vfs, calendar, entropy});
    }
    [[nodiscard]] std::unique_ptr<ChatStore> must_open(const char* vfs) {
        auto store = open(vfs);
        INFO((store.ok() ? std::string() : store.error().message));
        REQUIRE(store.ok());
        return *std::move(store);
    }

    TempDirectory place;
    MillisecondCalendar calendar;
    SeededEntropy entropy{1};
};

inline StoredMessage message_of(Author author, std::string content, MessageId parent) {
    StoredMessage message;
    message.author = author;
    message.content = std::move(content);
    message.parent = parent;
    return message;
}

inline void append_tree(std::string& out, const ChatTree& tree) {
    out += cat("chat ", static_cast<int64_t>(tree.chat.id), " [", tree.chat.title, "] changed ",
               tree.chat.changed_ms, tree.chat.pinned ? " pinned" : "",
               tree.chat.deleted_ms ? " deleted" : "", " leaf ", static_cast<int64_t>(tree.leaf),
               " draft [", tree.draft, "] settings [", tree.settings, "]\n");
    for (const StoredMessage& message : tree.messages) {
        out += cat("  ", static_cast<int64_t>(message.id), " under ",
                   static_cast<int64_t>(message.parent), " by ", static_cast<int>(message.author),
                   " state ", static_cast<int>(message.state), " at ", message.created_ms, " [",
                   message.content, "] [", message.reasoning, "] [", message.facts, "]");
        for (const int32_t token : message.tokens) out += cat(" ", token);
        out += '\n';
    }
}

// Everything that a store says, as text.
inline std::string everything(ChatStore& store) {
    std::string out;
    for (const auto deleted : {ChatStore::Deleted::kNo, ChatStore::Deleted::kOnly}) {
        const auto chats = store.list(deleted);
        REQUIRE(chats.ok());
        for (const ChatSummary& chat : *chats) {
            const auto tree = store.read(chat.id);
            REQUIRE(tree.ok());
            CHECK(tree->chat.messages == chat.messages);
            append_tree(out, *tree);
        }
    }
    const auto value = store.value("composer");
    REQUIRE(value.ok());
    return out + "composer [" + value->value_or("none") + "]\n";
}

}  // namespace millrace::test
