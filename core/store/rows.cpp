#include "core/store/rows.h"

#include <array>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr const char* kSchema1 = R"(
CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), mark BLOB NOT NULL);
CREATE TABLE chats(id INTEGER PRIMARY KEY AUTOINCREMENT, created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL, pinned INTEGER NOT NULL, deleted_ms INTEGER, leaf INTEGER NOT NULL,
    title BLOB NOT NULL, settings BLOB NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY AUTOINCREMENT, chat INTEGER NOT NULL
    REFERENCES chats(id), parent INTEGER NOT NULL, author INTEGER NOT NULL, state INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, removed_ms INTEGER, removed_leaf INTEGER, body BLOB NOT NULL);
CREATE INDEX messages_tree ON messages(chat, parent, removed_ms);
CREATE INDEX messages_removed ON messages(chat, removed_ms) WHERE removed_ms IS NOT NULL;
CREATE TABLE drafts(chat INTEGER PRIMARY KEY REFERENCES chats(id), text BLOB NOT NULL);
CREATE TABLE program_values(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, value BLOB NOT NULL);
)";

Status create_tables(Database& database, const Sealer& sealer) {
    TRY(database.execute(kSchema1));
    Statement insert = TRY(database.prepare("INSERT INTO meta(id, mark) VALUES(1, ?)"));
    return insert.bind(sealer.mark()).run();
}

// Step i leads from version i to i + 1.
struct Migration {
    Status (*run)(Database&, const Sealer&);
    const char* stamp;
};
constexpr std::array<Migration, ChatStore::kSchemaVersion> kMigrations{{
    {create_tables, "PRAGMA application_id = 1297236808; PRAGMA user_version = 1"},
}};
static_assert(kApplicationId == 1297236808);

void append_size(std::string& out, uint64_t size) {
    for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(size >> shift));
}

void append_part(std::string& out, std::string_view part) {
    append_size(out, part.size());
    out.append(part);
}

bool take_part(std::string_view& body, std::string_view& part) {
    if (body.size() < 8) return false;
    uint64_t size = 0;
    for (size_t i = 0; i < 8; ++i) {
        size |= static_cast<uint64_t>(static_cast<unsigned char>(body[i])) << (8 * i);
    }
    body.remove_prefix(8);
    if (size > body.size()) return false;
    part = body.substr(0, size);
    body.remove_prefix(size);
    return true;
}

Error broken_seal(std::string_view table, int64_t row) {
    return {ErrorCode::kCorrupt, cat("row ", row, " of ", table, " is not what was written there")};
}

// Every row of `table` (row, then the sealed column) must open at the place that `place` names.
template <class Place>
Status check_column(Database& database, const Sealer& sealer, std::string_view sql,
                    std::string_view table, Place place) {
    Statement rows = TRY(database.prepare(sql));
    while (TRY(rows.step())) {
        if (!sealer.unseal(place(rows), rows.blob(1)).has_value()) {
            return broken_seal(table, rows.integer(0));
        }
    }
    return {};
}

}  // namespace

Status migrate(Database& database, const Sealer& sealer) {
    const int64_t found = TRY(database.integer("PRAGMA user_version"));
    for (size_t step = static_cast<size_t>(found); step < kMigrations.size(); ++step) {
        Transaction transaction = TRY(Transaction::begin(database));
        TRY(kMigrations[step].run(database, sealer));
        TRY(database.execute(kMigrations[step].stamp));
        TRY(transaction.commit());
    }
    return {};
}

SealedPlace body_place(const MessageRow& row) {
    const StoredMessage& message = row.message;
    return {"messages.body",
            {static_cast<int64_t>(message.id), static_cast<int64_t>(row.chat),
             static_cast<int64_t>(message.parent), static_cast<int64_t>(message.author),
             static_cast<int64_t>(message.state), message.created_ms}};
}
SealedPlace title_place(ChatId chat) { return {"chats.title", {static_cast<int64_t>(chat)}}; }
SealedPlace settings_place(ChatId chat) { return {"chats.settings", {static_cast<int64_t>(chat)}}; }
SealedPlace draft_place(ChatId chat) { return {"drafts.text", {static_cast<int64_t>(chat)}}; }
SealedPlace value_place(std::string_view digest) {
    return {cat("program_values.value of ", digest), {}};
}

std::string pack_body(const StoredMessage& message) {
    std::string tokens;
    for (const int32_t token : message.tokens) {
        for (int shift = 0; shift < 32; shift += 8) {
            tokens.push_back(static_cast<char>(static_cast<uint32_t>(token) >> shift));
        }
    }
    std::string body;
    for (const std::string_view part :
         {std::string_view(message.content), std::string_view(message.reasoning),
          std::string_view(tokens), std::string_view(message.facts)}) {
        append_part(body, part);
    }
    return body;
}

bool unpack_body(std::string_view body, StoredMessage& message) {
    std::array<std::string_view, 4> parts;
    for (std::string_view& part : parts) {
        if (!take_part(body, part)) return false;
    }
    if (!body.empty() || parts[2].size() % 4 != 0) return false;
    message.content = parts[0];
    message.reasoning = parts[1];
    message.tokens.clear();
    for (size_t i = 0; i < parts[2].size(); i += 4) {
        uint32_t token = 0;
        for (size_t k = 0; k < 4; ++k) {
            token |= static_cast<uint32_t>(static_cast<unsigned char>(parts[2][i + k])) << (8 * k);
        }
        message.tokens.push_back(static_cast<int32_t>(token));
    }
    message.facts = parts[3];
    return true;
}

Result<MessageRow> read_message(const Statement& row, const Sealer& sealer) {
    MessageRow out;
    out.message.id = MessageId{row.integer(0)};
    out.chat = ChatId{row.integer(1)};
    out.message.parent = MessageId{row.integer(2)};
    const int64_t author = row.integer(3), state = row.integer(4);
    if (author < 0 || author > static_cast<int64_t>(Author::kAssistant) || state < 0 ||
        state > static_cast<int64_t>(MessageState::kCutOff)) {
        return broken_seal("messages", row.integer(0));
    }
    out.message.author = static_cast<Author>(author);
    out.message.state = static_cast<MessageState>(state);
    out.message.created_ms = row.integer(5);
    out.removed_ms = row.maybe_integer(6);
    out.removed_leaf = row.maybe_integer(7);
    const auto body = sealer.unseal(body_place(out), row.blob(8));
    if (!body || !unpack_body(*body, out.message)) return broken_seal("messages", row.integer(0));
    return out;
}

Result<ChatRow> read_chat(const Statement& row, const Sealer& sealer) {
    ChatRow out;
    out.chat.id = ChatId{row.integer(0)};
    out.chat.created_ms = row.integer(1);
    out.chat.changed_ms = row.integer(2);
    out.chat.pinned = row.integer(3) != 0;
    out.chat.deleted_ms = row.maybe_integer(4);
    out.leaf = MessageId{row.integer(5)};
    auto title = sealer.unseal(title_place(out.chat.id), row.blob(6));
    auto settings = sealer.unseal(settings_place(out.chat.id), row.blob(7));
    if (!title || !settings) return broken_seal("chats", row.integer(0));
    out.chat.title = *std::move(title);
    out.settings = *std::move(settings);
    return out;
}

Status insert_message(Database& database, Sealer& sealer, const MessageRow& row) {
    const std::string body = sealer.seal(body_place(row), pack_body(row.message));
    Statement insert = TRY(database.prepare("INSERT INTO messages(" + std::string(kMessageColumns) +
                                            ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    const StoredMessage& message = row.message;
    insert.bind(static_cast<int64_t>(message.id)).bind(static_cast<int64_t>(row.chat));
    insert.bind(static_cast<int64_t>(message.parent)).bind(static_cast<int64_t>(message.author));
    insert.bind(static_cast<int64_t>(message.state)).bind(message.created_ms);
    return insert.bind(row.removed_ms).bind(row.removed_leaf).bind(std::string_view(body)).run();
}

Status insert_chat(Database& database, Sealer& sealer, const ChatRow& row) {
    const std::string title = sealer.seal(title_place(row.chat.id), row.chat.title);
    const std::string settings = sealer.seal(settings_place(row.chat.id), row.settings);
    Statement insert = TRY(database.prepare("INSERT INTO chats(" + std::string(kChatColumns) +
                                            ") VALUES(?, ?, ?, ?, ?, ?, ?, ?)"));
    insert.bind(static_cast<int64_t>(row.chat.id)).bind(row.chat.created_ms);
    insert.bind(row.chat.changed_ms).bind(int64_t{row.chat.pinned}).bind(row.chat.deleted_ms);
    insert.bind(static_cast<int64_t>(row.leaf));
    return insert.bind(std::string_view(title)).bind(std::string_view(settings)).run();
}

Status put_draft(Database& database, Sealer& sealer, ChatId chat, std::string_view text) {
    const std::string sealed = sealer.seal(draft_place(chat), text);
    Statement put =
        TRY(database.prepare("INSERT INTO drafts(chat, text) VALUES(?, ?) "
                             "ON CONFLICT(chat) DO UPDATE SET text = excluded.text"));
    return put.bind(static_cast<int64_t>(chat)).bind(std::string_view(sealed)).run();
}

Status put_value(Database& database, Sealer& sealer, std::string_view digest,
                 std::string_view value) {
    const std::string sealed = sealer.seal(value_place(digest), value);
    Statement put =
        TRY(database.prepare("INSERT INTO program_values(name, value) VALUES(?, ?) "
                             "ON CONFLICT(name) DO UPDATE SET value = excluded.value"));
    return put.bind(digest).bind(std::string_view(sealed)).run();
}

Result<MessageTree> read_tree(Database& database, ChatId chat) {
    Statement rows =
        TRY(database.prepare("SELECT id, parent, removed_ms FROM messages INDEXED BY messages_tree "
                             "WHERE chat = ?"));
    rows.bind(static_cast<int64_t>(chat));
    std::vector<TreeNode> nodes;
    while (TRY(rows.step())) {
        nodes.push_back(
            {MessageId{rows.integer(0)}, MessageId{rows.integer(1)}, rows.maybe_integer(2)});
    }
    return MessageTree(std::move(nodes));
}

Status check_seals(Database& database, const Sealer& sealer) {
    Statement chats = TRY(database.prepare(cat("SELECT ", kChatColumns, " FROM chats")));
    while (TRY(chats.step())) void(TRY(read_chat(chats, sealer)));
    Statement messages = TRY(database.prepare(cat("SELECT ", kMessageColumns, " FROM messages")));
    while (TRY(messages.step())) void(TRY(read_message(messages, sealer)));
    TRY(check_column(database, sealer, "SELECT chat, text FROM drafts", "drafts",
                     [](const Statement& row) { return draft_place(ChatId{row.integer(0)}); }));
    return check_column(database, sealer, "SELECT id, value, name FROM program_values",
                        "program_values",
                        [](const Statement& row) { return value_place(row.blob(2)); });
}

}  // namespace millrace
