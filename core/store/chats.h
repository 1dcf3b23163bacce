#pragma once
// FRONT DOOR of core/store: what a person keeps. Chats as trees of messages, drafts, settings; in one SQLite file in WAL
// mode, every text sealed with the state key (XChaCha20-Poly1305, the row's id covered too).
//
//   chat ── message ── message ── message        a message's parent is the one before it; siblings are versions
//                 └─── message (version 2)       the chat remembers the leaf that is shown
//
// What a call has returned as done survives kill -9 and loss of power (synchronous=FULL); drafts too.
// Deleting hides; hidden chats are erased after 30 days or by `erase_deleted`. `restore` is the undo.
// Threads: one at a time; the product gives the store a thread of its own.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"

namespace millrace {

enum class ChatId : int64_t {};
enum class MessageId : int64_t { kNone = 0 };

enum class Author : uint8_t { kSystem, kUser, kAssistant };

// How a message came to its end.
enum class MessageState : uint8_t {
    kWhole,
    kStopped,  // by the person
    kGrowing,  // being generated, or the program ended in the middle: can be continued
    kCutOff,   // a limit of length or context
};

struct ChatSummary {
    ChatId id = {};
    std::string title;
    int64_t created_ms = 0, changed_ms = 0;  // since 1970
    int64_t messages = 0;
    bool pinned = false;
    std::optional<int64_t> deleted_ms;
};

struct StoredMessage {
    MessageId id = MessageId::kNone;
    MessageId parent = MessageId::kNone;  // kNone: a first message
    Author author = Author::kUser;
    MessageState state = MessageState::kWhole;
    std::string content, reasoning;
    std::vector<int32_t>
        tokens;  // of an assistant's message as generated: what Continue goes on from; may be empty
    std::string facts;  // JSON of the program: speed, counts, thinking mode; opaque here
    int64_t created_ms = 0;
};

// All messages of a chat, parents before children, and the leaf that is shown.
struct ChatTree {
    ChatSummary chat;
    std::vector<StoredMessage> messages;
    MessageId leaf = MessageId::kNone;
    std::string draft;     // what stands in the composer
    std::string settings;  // JSON of the program: system message, sampling, thinking; opaque here
};

struct FoundMessage {
    ChatId chat = {};
    MessageId message = MessageId::kNone;  // kNone: the title matches
    std::string title;
    std::string snippet;                    // a line around the match
    size_t match_begin = 0, match_end = 0;  // bytes of the snippet
    int64_t created_ms = 0;
};

// What opening had to do, in sentences for the person; empty when all is well.
struct OpenReport {
    std::vector<std::string> notices;
    int64_t salvaged_messages = 0;
    std::optional<Path> set_aside;  // the broken file, kept under this name
};

class ChatStore {
public:
    // `directory` is made when it is not there (mode 0700): chats.db and state.key lie in it. A file from a newer version
    // is refused (kInvalid, says which version is wanted) and left alone. A broken file is set aside and what can be read
    // is salvaged into a new one. A wrong key is refused: it would make the chats unreadable. A second process that holds
    // the store is refused, named as such.
    [[nodiscard]] static Result<std::unique_ptr<ChatStore>> open(const Path& directory);
    virtual ~ChatStore() = default;
    [[nodiscard]] virtual const OpenReport& report() const = 0;

    // Newest change first, pinned before all; without those that are deleted unless wanted.
    enum class Deleted : uint8_t { kNo, kOnly };
    [[nodiscard]] virtual Result<std::vector<ChatSummary>> list(Deleted deleted) = 0;
    [[nodiscard]] virtual Result<ChatTree> read(ChatId chat) = 0;

    [[nodiscard]] virtual Result<ChatId> create(std::string_view title) = 0;
    [[nodiscard]] virtual Status rename(ChatId chat, std::string_view title) = 0;
    [[nodiscard]] virtual Status pin(ChatId chat, bool pinned) = 0;
    [[nodiscard]] virtual Status remove(ChatId chat) = 0;   // soft
    [[nodiscard]] virtual Status restore(ChatId chat) = 0;  // undoes remove
    [[nodiscard]] virtual Status erase_deleted(
        ChatId chat) = 0;  // for good; kInvalid unless deleted
    [[nodiscard]] virtual Status set_settings(ChatId chat, std::string_view json) = 0;

    // Appends and shows it: the message becomes the leaf. The id and created_ms in `message` are not read. A chat in the bin
    // is refused until it is restored (kInvalid), here and by show_leaf.
    [[nodiscard]] virtual Result<MessageId> append(ChatId chat, const StoredMessage& message) = 0;
    // A whole tree as a new chat, in one step: what import_chats gave, or a copy. Title, times, pin, leaf, draft, settings
    // and messages are taken, ids are new. kInvalid unless parents stand before their children.
    [[nodiscard]] virtual Result<ChatId> adopt(const ChatTree& tree) = 0;
    // Replaces content, reasoning, tokens, facts and state of a message; for answers that grow.
    [[nodiscard]] virtual Status update(const StoredMessage& message) = 0;
    // Another branch is shown; kNone: the empty one before the first message.
    [[nodiscard]] virtual Status show_leaf(ChatId chat, MessageId leaf) = 0;
    // A branch (the message and all below it) is hidden; where it was shown, its newest other version is now, to that one's
    // end, else what stood before it. `restore_branch` undoes both. Hidden branches are erased after 30 days.
    [[nodiscard]] virtual Status remove_branch(MessageId message) = 0;
    [[nodiscard]] virtual Status restore_branch(MessageId message) = 0;

    [[nodiscard]] virtual Status save_draft(ChatId chat, std::string_view text) = 0;
    // The composer of no chat yet, and settings of the whole program.
    [[nodiscard]] virtual Status set_value(std::string_view key, std::string_view value) = 0;
    [[nodiscard]] virtual Result<std::optional<std::string>> value(std::string_view key) = 0;

    // Case folded, every word must be there; works for Chinese and for two letters. Best first.
    [[nodiscard]] virtual Result<std::vector<FoundMessage>> search(std::string_view words,
                                                                   int64_t count_max) = 0;

    static constexpr int kSchemaVersion = 1;
};

}  // namespace millrace
