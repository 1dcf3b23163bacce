#include "core/store/chats.h"

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>

#include "core/base/disk.h"
#include "core/base/strings.h"
#include "core/store/opening.h"
#include "core/store/rows.h"
#include "core/store/salvage.h"
#include "core/store/search_index.h"
#include "core/store/store_world.h"

namespace millrace {
namespace {

struct MachineWorld {
    SystemCalendar calendar;
    SystemEntropy entropy;
};

Error no_chat(ChatId chat) {
    return {ErrorCode::kNotFound,
            cat("there is no chat ", static_cast<int64_t>(chat), "; it may have been erased")};
}
Error no_message(MessageId message) {
    return {ErrorCode::kNotFound, cat("there is no message ", static_cast<int64_t>(message),
                                      "; it may have been erased")};
}

class Store final : public ChatStore {
public:
    Store(DirectoryLock lock, Database database, Sealer sealer, const StoreWorld& world)
        : lock_(std::move(lock)),
          database_(std::move(database)),
          sealer_(std::move(sealer)),
          calendar_(world.calendar) {}

    void own(std::unique_ptr<MachineWorld> machine) { machine_ = std::move(machine); }
    void set_report(OpenReport report) { report_ = std::move(report); }

    [[nodiscard]] const OpenReport& report() const override { return report_; }
    [[nodiscard]] Result<std::vector<ChatSummary>> list(Deleted deleted) override;
    [[nodiscard]] Result<ChatTree> read(ChatId chat) override;
    [[nodiscard]] Result<ChatId> create(std::string_view title) override;
    [[nodiscard]] Status rename(ChatId chat, std::string_view title) override;
    [[nodiscard]] Status pin(ChatId chat, bool pinned) override;
    [[nodiscard]] Status remove(ChatId chat) override;
    [[nodiscard]] Status restore(ChatId chat) override;
    [[nodiscard]] Status erase_deleted(ChatId chat) override;
    [[nodiscard]] Status set_settings(ChatId chat, std::string_view json) override;
    [[nodiscard]] Result<MessageId> append(ChatId chat, const StoredMessage& message) override;
    [[nodiscard]] Result<ChatId> adopt(const ChatTree& tree) override;
    [[nodiscard]] Status update(const StoredMessage& message) override;
    [[nodiscard]] Status show_leaf(ChatId chat, MessageId leaf) override;
    [[nodiscard]] Status remove_branch(MessageId message) override;
    [[nodiscard]] Status restore_branch(MessageId message) override;
    [[nodiscard]] Status save_draft(ChatId chat, std::string_view text) override;
    [[nodiscard]] Status set_value(std::string_view key, std::string_view value) override;
    [[nodiscard]] Result<std::optional<std::string>> value(std::string_view key) override;
    [[nodiscard]] Result<std::vector<FoundMessage>> search(std::string_view words,
                                                           int64_t count_max) override;

private:
    // One statement as a transaction of its own: `sql` with its places bound by `bind`. kNotFound where no row changed.
    template <class Bind>
    [[nodiscard]] Status change_chat(ChatId chat, std::string_view sql, Bind bind);
    [[nodiscard]] Result<ChatRow> chat_row(ChatId chat);
    [[nodiscard]] Result<MessageRow> message_row(MessageId message);
    [[nodiscard]] Result<ChatId> next_chat_id();
    [[nodiscard]] Result<int64_t> next_message_id();
    // A message of this chat that is not hidden, or none.
    [[nodiscard]] Status check_shown(ChatId chat, MessageId message);
    [[nodiscard]] Status set_leaf(ChatId chat, MessageId leaf);
    [[nodiscard]] Status touch(ChatId chat);
    [[nodiscard]] Status build_index();
    [[nodiscard]] Result<std::optional<FoundMessage>> found_message(const SearchIndex::Hit& hit,
                                                                    std::string_view words);

    DirectoryLock lock_;
    std::unique_ptr<MachineWorld> machine_;
    Database database_;
    Sealer sealer_;
    Calendar& calendar_;
    OpenReport report_;
    std::optional<SearchIndex> index_;  // from the first search on
};

template <class Bind>
Status Store::change_chat(ChatId chat, std::string_view sql, Bind bind) {
    Transaction transaction = TRY(Transaction::begin(database_));
    Statement statement = TRY(database_.prepare(sql));
    bind(statement);
    TRY(statement.bind(static_cast<int64_t>(chat)).run());
    if (database_.changed() == 0) return no_chat(chat);
    return transaction.commit();
}

Result<ChatRow> Store::chat_row(ChatId chat) {
    Statement row =
        TRY(database_.prepare(cat("SELECT ", kChatColumns, " FROM chats WHERE id = ?")));
    if (!TRY(row.bind(static_cast<int64_t>(chat)).step())) return no_chat(chat);
    return read_chat(row, sealer_);
}

Result<MessageRow> Store::message_row(MessageId message) {
    Statement row =
        TRY(database_.prepare(cat("SELECT ", kMessageColumns, " FROM messages WHERE id = ?")));
    if (!TRY(row.bind(static_cast<int64_t>(message)).step())) return no_message(message);
    return read_message(row, sealer_);
}

Result<std::vector<ChatSummary>> Store::list(Deleted deleted) {
    std::map<int64_t, std::vector<TreeNode>> nodes;
    Statement tree = TRY(database_.prepare(
        "SELECT chat, id, parent, removed_ms FROM messages INDEXED BY messages_tree"));
    while (TRY(tree.step())) {
        nodes[tree.integer(0)].push_back(
            {MessageId{tree.integer(1)}, MessageId{tree.integer(2)}, tree.maybe_integer(3)});
    }
    std::vector<ChatSummary> chats;
    Statement rows = TRY(database_.prepare(cat("SELECT ", kChatColumns,
                                               " FROM chats WHERE (deleted_ms IS NOT NULL) = ? "
                                               "ORDER BY pinned DESC, changed_ms DESC, id DESC")));
    rows.bind(int64_t{deleted == Deleted::kOnly});
    while (TRY(rows.step())) {
        ChatRow row = TRY(read_chat(rows, sealer_));
        row.chat.messages =
            MessageTree(std::move(nodes[static_cast<int64_t>(row.chat.id)])).shown_count();
        chats.push_back(std::move(row.chat));
    }
    return chats;
}

Result<ChatTree> Store::read(ChatId chat) {
    ChatRow row = TRY(chat_row(chat));
    const MessageTree tree = TRY(read_tree(database_, chat));
    ChatTree out;
    out.chat = std::move(row.chat);
    out.settings = std::move(row.settings);
    Statement messages = TRY(database_.prepare(
        cat("SELECT ", kMessageColumns, " FROM messages WHERE chat = ? ORDER BY id")));
    messages.bind(static_cast<int64_t>(chat));
    while (TRY(messages.step())) {
        MessageRow message = TRY(read_message(messages, sealer_));
        const TreeNode* node = tree.find(message.message.id);
        if (node == nullptr || node->hidden) continue;
        message.message.parent = node->parent;
        out.messages.push_back(std::move(message.message));
    }
    out.chat.messages = static_cast<int64_t>(out.messages.size());
    const TreeNode* leaf = tree.find(row.leaf);
    out.leaf = leaf != nullptr && !leaf->hidden ? row.leaf : MessageId::kNone;
    Statement draft = TRY(database_.prepare("SELECT text FROM drafts WHERE chat = ?"));
    if (TRY(draft.bind(static_cast<int64_t>(chat)).step())) {
        auto text = sealer_.unseal(draft_place(chat), draft.blob(0));
        if (!text) {
            return Error{ErrorCode::kCorrupt, "the draft is not what was written there"};
        }
        out.draft = *std::move(text);
    }
    return out;
}

Result<ChatId> Store::create(std::string_view title) {
    Transaction transaction = TRY(Transaction::begin(database_));
    ChatRow row;
    row.chat.id = TRY(next_chat_id());
    row.chat.title = title;
    row.chat.created_ms = row.chat.changed_ms = calendar_.now_ms();
    TRY(insert_chat(database_, sealer_, row));
    TRY(transaction.commit());
    if (index_) index_->put_title(row.chat.id, title);
    return row.chat.id;
}

Result<ChatId> Store::adopt(const ChatTree& tree) {
    Transaction transaction = TRY(Transaction::begin(database_));
    ChatRow chat;
    chat.chat = tree.chat;
    chat.chat.id = TRY(next_chat_id());
    chat.chat.deleted_ms.reset();
    chat.settings = tree.settings;
    std::map<MessageId, MessageId> ids{{MessageId::kNone, MessageId::kNone}};
    int64_t next = TRY(next_message_id());
    for (const StoredMessage& message : tree.messages) {
        ids.try_emplace(message.id, MessageId{next++});
    }
    const auto leaf = ids.find(tree.leaf);
    if (leaf == ids.end() || ids.size() != tree.messages.size() + 1) {
        return Error{ErrorCode::kInvalid,
                     "a tree of messages names one that is not in it, or twice"};
    }
    chat.leaf = leaf->second;
    TRY(insert_chat(database_, sealer_, chat));
    for (const StoredMessage& message : tree.messages) {
        MessageRow row;
        row.message = message;
        row.message.id = ids.at(message.id);
        const auto parent = ids.find(message.parent);
        if (parent == ids.end() || parent->second >= row.message.id) {
            return Error{ErrorCode::kInvalid, "a message stands before the one that it follows"};
        }
        row.message.parent = parent->second;
        row.chat = chat.chat.id;
        TRY(insert_message(database_, sealer_, row));
    }
    if (!tree.draft.empty()) TRY(put_draft(database_, sealer_, chat.chat.id, tree.draft));
    TRY(transaction.commit());
    if (!index_) return chat.chat.id;
    index_->put_title(chat.chat.id, chat.chat.title);
    for (const StoredMessage& message : tree.messages) {
        index_->put_message(chat.chat.id, ids.at(message.id), message.content, message.created_ms);
    }
    return chat.chat.id;
}

Status Store::rename(ChatId chat, std::string_view title) {
    const std::string sealed = sealer_.seal(title_place(chat), title);
    TRY(change_chat(
        chat, "UPDATE chats SET title = ?, changed_ms = ? WHERE id = ?",
        [&](Statement& row) { row.bind(std::string_view(sealed)).bind(calendar_.now_ms()); }));
    if (index_) index_->put_title(chat, title);
    return {};
}

Status Store::pin(ChatId chat, bool pinned) {
    return change_chat(chat, "UPDATE chats SET pinned = ? WHERE id = ?",
                       [&](Statement& row) { row.bind(int64_t{pinned}); });
}

Status Store::remove(ChatId chat) {
    // Removed again it keeps its first date: the bin's 30 days are not begun anew.
    return change_chat(chat, "UPDATE chats SET deleted_ms = coalesce(deleted_ms, ?) WHERE id = ?",
                       [&](Statement& row) { row.bind(calendar_.now_ms()); });
}

Status Store::restore(ChatId chat) {
    return change_chat(chat, "UPDATE chats SET deleted_ms = NULL WHERE id = ?", [](Statement&) {});
}

Status Store::erase_deleted(ChatId chat) {
    const ChatRow row = TRY(chat_row(chat));
    if (!row.chat.deleted_ms) {
        return Error{ErrorCode::kInvalid,
                     cat("chat ", static_cast<int64_t>(chat),
                         " is not in the bin, so it is not erased; remove it first")};
    }
    Transaction transaction = TRY(Transaction::begin(database_));
    TRY(erase_chat(database_, chat));
    TRY(transaction.commit());
    clear_log(database_);
    if (index_) index_->erase_chat(chat);
    return {};
}

Status Store::set_settings(ChatId chat, std::string_view json) {
    const std::string sealed = sealer_.seal(settings_place(chat), json);
    return change_chat(chat, "UPDATE chats SET settings = ? WHERE id = ?",
                       [&](Statement& row) { row.bind(std::string_view(sealed)); });
}

Result<ChatId> Store::next_chat_id() {
    return ChatId {
        1 + TRY(database_.integer("SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name "
                                  "= 'chats'), 0), coalesce((SELECT max(id) FROM chats), 0))"))
    };
}

Result<int64_t> Store::next_message_id() {
    return 1 + TRY(database_.integer(
                   "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'messages'), "
                   "0), coalesce((SELECT max(id) FROM messages), 0))"));
}

Status Store::check_shown(ChatId chat, MessageId message) {
    if (message == MessageId::kNone) return {};
    Statement row = TRY(database_.prepare("SELECT 1 FROM messages WHERE id = ? AND chat = ?"));
    row.bind(static_cast<int64_t>(message)).bind(static_cast<int64_t>(chat));
    if (!TRY(row.step())) return no_message(message);
    Statement hidden =
        TRY(database_.prepare("SELECT 1 FROM messages INDEXED BY messages_removed "
                              "WHERE chat = ? AND removed_ms IS NOT NULL LIMIT 1"));
    if (!TRY(hidden.bind(static_cast<int64_t>(chat)).step())) return {};
    const MessageTree tree = TRY(read_tree(database_, chat));
    const TreeNode* node = tree.find(message);
    if (node == nullptr || node->hidden) return no_message(message);
    return {};
}

Status Store::set_leaf(ChatId chat, MessageId leaf) {
    Statement row = TRY(database_.prepare("UPDATE chats SET leaf = ? WHERE id = ?"));
    return row.bind(static_cast<int64_t>(leaf)).bind(static_cast<int64_t>(chat)).run();
}

Status Store::touch(ChatId chat) {
    Statement row = TRY(database_.prepare("UPDATE chats SET changed_ms = ? WHERE id = ?"));
    return row.bind(calendar_.now_ms()).bind(static_cast<int64_t>(chat)).run();
}

Result<MessageId> Store::append(ChatId chat, const StoredMessage& message) {
    Transaction transaction = TRY(Transaction::begin(database_));
    const ChatRow owner = TRY(chat_row(chat));
    if (owner.chat.deleted_ms) {
        return Error{ErrorCode::kInvalid, cat("chat ", static_cast<int64_t>(chat),
                                              " is in the bin; restore it to go on with it")};
    }
    TRY(check_shown(chat, message.parent));
    MessageRow row;
    row.message = message;
    row.message.id = MessageId { TRY(next_message_id()) };
    row.message.created_ms = calendar_.now_ms();
    row.chat = chat;
    TRY(insert_message(database_, sealer_, row));
    TRY(set_leaf(chat, row.message.id));
    TRY(touch(chat));
    TRY(transaction.commit());
    if (index_) {
        index_->put_message(chat, row.message.id, message.content, row.message.created_ms);
    }
    return row.message.id;
}

Status Store::update(const StoredMessage& message) {
    Transaction transaction = TRY(Transaction::begin(database_));
    MessageRow row;
    {
        // What stays of the row lies open; the old body need not be read.
        Statement old = TRY(database_.prepare(
            "SELECT chat, parent, author, created_ms FROM messages WHERE id = ?"));
        if (!TRY(old.bind(static_cast<int64_t>(message.id)).step())) return no_message(message.id);
        row.message = message;
        row.chat = ChatId{old.integer(0)};
        row.message.parent = MessageId{old.integer(1)};
        row.message.author = static_cast<Author>(old.integer(2));
        row.message.created_ms = old.integer(3);
    }
    const std::string body = sealer_.seal(body_place(row), pack_body(row.message));
    Statement put = TRY(database_.prepare("UPDATE messages SET state = ?, body = ? WHERE id = ?"));
    put.bind(static_cast<int64_t>(message.state)).bind(std::string_view(body));
    TRY(put.bind(static_cast<int64_t>(message.id)).run());
    TRY(touch(row.chat));
    TRY(transaction.commit());
    if (index_) {
        index_->put_message(row.chat, message.id, message.content, row.message.created_ms);
    }
    return {};
}

Status Store::show_leaf(ChatId chat, MessageId leaf) {
    Transaction transaction = TRY(Transaction::begin(database_));
    const ChatRow owner = TRY(chat_row(chat));
    if (owner.chat.deleted_ms) {
        return Error{ErrorCode::kInvalid, cat("chat ", static_cast<int64_t>(chat),
                                              " is in the bin; restore it to see it")};
    }
    TRY(check_shown(chat, leaf));
    TRY(set_leaf(chat, leaf));
    return transaction.commit();
}

Status Store::remove_branch(MessageId message) {
    Transaction transaction = TRY(Transaction::begin(database_));
    const MessageRow row = TRY(message_row(message));
    if (row.removed_ms) return {};
    const MessageTree tree = TRY(read_tree(database_, row.chat));
    const ChatRow owner = TRY(chat_row(row.chat));
    std::optional<int64_t> shown;
    if (owner.leaf != MessageId::kNone && tree.contains(message, owner.leaf)) {
        shown = static_cast<int64_t>(owner.leaf);
        TRY(set_leaf(row.chat, tree.leaf_without(message)));
    }
    Statement hide =
        TRY(database_.prepare("UPDATE messages SET removed_ms = ?, removed_leaf = ? WHERE id = ?"));
    hide.bind(calendar_.now_ms()).bind(shown);
    TRY(hide.bind(static_cast<int64_t>(message)).run());
    return transaction.commit();
}

Status Store::restore_branch(MessageId message) {
    Transaction transaction = TRY(Transaction::begin(database_));
    const MessageRow row = TRY(message_row(message));
    if (!row.removed_ms) return {};
    Statement show = TRY(database_.prepare(
        "UPDATE messages SET removed_ms = NULL, removed_leaf = NULL WHERE id = ?"));
    TRY(show.bind(static_cast<int64_t>(message)).run());
    if (row.removed_leaf) {
        const MessageTree tree = TRY(read_tree(database_, row.chat));
        const TreeNode* leaf = tree.find(MessageId{*row.removed_leaf});
        if (leaf != nullptr && !leaf->hidden) TRY(set_leaf(row.chat, leaf->id));
    }
    return transaction.commit();
}

Status Store::save_draft(ChatId chat, std::string_view text) {
    Transaction transaction = TRY(Transaction::begin(database_));
    Statement owner = TRY(database_.prepare("SELECT 1 FROM chats WHERE id = ?"));
    if (!TRY(owner.bind(static_cast<int64_t>(chat)).step())) return no_chat(chat);
    TRY(owner.run());  // to its end, so that the transaction can be committed
    TRY(put_draft(database_, sealer_, chat, text));
    return transaction.commit();
}

Status Store::set_value(std::string_view key, std::string_view value) {
    Transaction transaction = TRY(Transaction::begin(database_));
    TRY(put_value(database_, sealer_, sealer_.digest(key), value));
    return transaction.commit();
}

Result<std::optional<std::string>> Store::value(std::string_view key) {
    const std::string digest = sealer_.digest(key);
    Statement row = TRY(database_.prepare("SELECT value FROM program_values WHERE name = ?"));
    if (!TRY(row.bind(std::string_view(digest)).step())) return std::optional<std::string>();
    auto text = sealer_.unseal(value_place(digest), row.blob(0));
    if (!text) {
        return Error{ErrorCode::kCorrupt,
                     cat("the value of ", quote_text(key), " is not what was written there")};
    }
    return text;
}

Status Store::build_index() {
    SearchIndex index;
    Statement chats = TRY(database_.prepare(cat("SELECT ", kChatColumns, " FROM chats")));
    while (TRY(chats.step())) {
        const ChatRow row = TRY(read_chat(chats, sealer_));
        index.put_title(row.chat.id, row.chat.title);
    }
    Statement rows = TRY(database_.prepare(cat("SELECT ", kMessageColumns, " FROM messages")));
    while (TRY(rows.step())) {
        const MessageRow row = TRY(read_message(rows, sealer_));
        index.put_message(row.chat, row.message.id, row.message.content, row.message.created_ms);
    }
    index_ = std::move(index);
    return {};
}

// Absent: it is hidden.
Result<std::optional<FoundMessage>> Store::found_message(const SearchIndex::Hit& hit,
                                                         std::string_view words) {
    FoundMessage found;
    found.chat = hit.chat;
    found.message = hit.message;
    ChatRow chat = TRY(chat_row(hit.chat));
    if (chat.chat.deleted_ms) return std::optional<FoundMessage>();
    std::string text = chat.chat.title;
    found.created_ms = chat.chat.created_ms;
    if (hit.message != MessageId::kNone) {
        MessageRow row = TRY(message_row(hit.message));
        text = std::move(row.message.content);
        found.created_ms = row.message.created_ms;
    }
    found.title = std::move(chat.chat.title);
    Snippet snippet = snippet_of(text, words);
    found.snippet = std::move(snippet.line);
    found.match_begin = snippet.match_begin;
    found.match_end = snippet.match_end;
    return std::optional<FoundMessage>(std::move(found));
}

Result<std::vector<FoundMessage>> Store::search(std::string_view words, int64_t count_max) {
    if (!index_) TRY(build_index());
    std::map<int64_t, MessageTree> trees;
    std::vector<FoundMessage> found;
    for (const SearchIndex::Hit& hit : index_->find(words)) {
        if (static_cast<int64_t>(found.size()) >= count_max) break;
        if (hit.message != MessageId::kNone) {
            const int64_t chat = static_cast<int64_t>(hit.chat);
            auto tree = trees.find(chat);
            if (tree == trees.end()) {
                MessageTree fresh = TRY(read_tree(database_, hit.chat));
                tree = trees.emplace(chat, std::move(fresh)).first;
            }
            const TreeNode* node = tree->second.find(hit.message);
            if (node == nullptr || node->hidden) continue;
        }
        auto one = TRY(found_message(hit, words));
        if (one) found.push_back(*std::move(one));
    }
    return found;
}

void describe(const Salvage& salvage, const Error& why, OpenReport& report) {
    report.salvaged_messages = salvage.messages;
    report.set_aside = salvage.set_aside;
    report.notices.push_back(cat("The file of chats was damaged (", why.message, ")."));
    report.notices.push_back(
        cat(salvage.messages, " messages in ", salvage.chats, " chats were saved",
            salvage.messages_lost > 0 ? cat("; ", salvage.messages_lost, " could not be read")
                                      : std::string(),
            ". The damaged file is kept as ", salvage.set_aside.string(), "."));
}

}  // namespace

Result<std::unique_ptr<ChatStore>> open_store(const Path& directory, const StoreWorld& world) {
    TRY(SystemDisk().make_directory(directory));
    DirectoryLock lock = TRY(DirectoryLock::take(directory));
    TRY(finish_salvage(directory));
    Sealer sealer(TRY(open_state_key(directory, world.entropy)), world.entropy);
    OpenReport report;
    auto database = open_chats(directory, world, sealer);
    if (!database.ok() && database.error().code == ErrorCode::kCorrupt) {
        const Error why = database.error();
        const Salvage salvage = TRY(salvage_chats(directory, world, sealer));
        describe(salvage, why, report);
        database = open_chats(directory, world, sealer);
    }
    if (!database.ok()) return database.error();
    const Status emptied = empty_bin(*database, world.calendar.now_ms());
    // On a full disk the bin waits for another day.
    if (!emptied.ok() && emptied.error().code != ErrorCode::kNoSpace) return emptied.error();
    auto store =
        std::make_unique<Store>(std::move(lock), *std::move(database), std::move(sealer), world);
    store->set_report(std::move(report));
    return std::unique_ptr<ChatStore>(std::move(store));
}

Result<std::unique_ptr<ChatStore>> ChatStore::open(const Path& directory) {
    auto machine = std::make_unique<MachineWorld>();
    const StoreWorld world{nullptr, machine->calendar, machine->entropy};
    std::unique_ptr<ChatStore> store = TRY(open_store(directory, world));
    static_cast<Store&>(*store).own(std::move(machine));
    return store;
}

}  // namespace millrace
