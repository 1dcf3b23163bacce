#pragma once
// The tables of chats.db, and their rows as the program sees them. Numbers (ids, times, states) lie open, texts are sealed
// in their place:
//
//   meta            1, mark of the key
//   chats           id, created, changed, pinned, deleted, leaf, title*, settings*
//   messages        id, chat, parent (0: none), author, state, created, removed, leaf before that, body*   (* sealed)
//   drafts          chat, text*
//   program_values  id, digest of the name, value*
//   index messages_tree on messages (chat, parent, removed): the trees without their texts
//   index messages_removed on messages (chat, removed) where removed: the tops of hidden branches

#include <optional>
#include <string>
#include <string_view>

#include "core/store/chats.h"
#include "core/store/database.h"
#include "core/store/message_tree.h"
#include "core/store/sealer.h"

namespace millrace {

inline constexpr int64_t kApplicationId = 0x4D524348;  // "MRCH"
inline constexpr uint64_t kStorePageBytes = 4096;

// A message with what the tree needs of it. `message.id` is its row.
struct MessageRow {
    StoredMessage message;
    ChatId chat = {};
    std::optional<int64_t> removed_ms;    // the top of a hidden branch
    std::optional<int64_t> removed_leaf;  // the leaf that was shown in it then
};

struct ChatRow {
    ChatSummary chat;
    MessageId leaf = MessageId::kNone;
    std::string settings;
};

inline constexpr std::string_view kMessageColumns =
    "id, chat, parent, author, state, created_ms, removed_ms, removed_leaf, body";
inline constexpr std::string_view kChatColumns =
    "id, created_ms, changed_ms, pinned, deleted_ms, leaf, title, settings";

// From version `user_version` of the file to kSchemaVersion, one transaction a step. A file of version 0 is empty.
[[nodiscard]] Status migrate(Database& database, const Sealer& sealer);

// Where texts are sealed.
[[nodiscard]] SealedPlace body_place(const MessageRow& row);
[[nodiscard]] SealedPlace title_place(ChatId chat);
[[nodiscard]] SealedPlace settings_place(ChatId chat);
[[nodiscard]] SealedPlace draft_place(ChatId chat);
[[nodiscard]] SealedPlace value_place(std::string_view digest);

// Content, reasoning, tokens and facts as one text, and back; false: it is none.
[[nodiscard]] std::string pack_body(const StoredMessage& message);
[[nodiscard]] bool unpack_body(std::string_view body, StoredMessage& message);

// A row as it stands, in the order of the columns above. kCorrupt when a seal does not fit.
[[nodiscard]] Result<MessageRow> read_message(const Statement& row, const Sealer& sealer);
[[nodiscard]] Result<ChatRow> read_chat(const Statement& row, const Sealer& sealer);

[[nodiscard]] Status insert_message(Database& database, Sealer& sealer, const MessageRow& row);
[[nodiscard]] Status insert_chat(Database& database, Sealer& sealer, const ChatRow& row);
[[nodiscard]] Status put_draft(Database& database, Sealer& sealer, ChatId chat,
                               std::string_view text);
// `digest` of the value's name.
[[nodiscard]] Status put_value(Database& database, Sealer& sealer, std::string_view digest,
                               std::string_view value);

// Of one chat, from the index alone.
[[nodiscard]] Result<MessageTree> read_tree(Database& database, ChatId chat);

// Reads every sealed text; kCorrupt when one is not what was written there.
[[nodiscard]] Status check_seals(Database& database, const Sealer& sealer);

}  // namespace millrace
