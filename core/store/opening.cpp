#include "core/store/opening.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/strings.h"
#include "core/store/message_tree.h"
#include "core/store/rows.h"

namespace millrace {
namespace {

constexpr std::string_view kKeyName = "state.key";
constexpr SecretWords kKeyWords{.what = "the secret of the chats",
                                .lost = "what was written with it",
                                .escape = "or start with another state directory"};
constexpr int64_t kBinMs = int64_t{30} * 24 * 60 * 60 * 1000;

uint64_t bytes_of(const Path& path) {
    std::error_code problem;
    const auto bytes = std::filesystem::file_size(path, problem);
    return problem ? 0 : bytes;
}

bool holds_bytes(const Path& path) { return bytes_of(path) > 0; }

// What SQLite would take for a new file, or would not say.
Status check_beginning(const Path& directory) {
    const Path path = directory / kDatabaseName;
    const uint64_t bytes = bytes_of(path);
    if (bytes == 0 && holds_bytes(directory / kLogName)) {
        return Error{ErrorCode::kCorrupt,
                     cat(path.string(), " is gone, but what was written to it last is there")};
    }
    // A journal can still take it back to nothing.
    if (bytes > 0 && bytes < kStorePageBytes && !holds_bytes(directory / kJournalName)) {
        return Error{ErrorCode::kCorrupt,
                     cat(path.string(), " ends after ", bytes, " bytes, within its first page")};
    }
    return {};
}

Status check_version(Database& database) {
    const int64_t application = TRY(database.integer("PRAGMA application_id"));
    const int64_t version = TRY(database.integer("PRAGMA user_version"));
    const int64_t pages = TRY(database.integer("PRAGMA page_count"));
    if (application == 0 && version == 0 && pages <= 1) {
        // New, or ended before its first transaction: no table may be there.
        const int64_t tables = TRY(database.integer("SELECT count(*) FROM sqlite_schema"));
        if (tables == 0) return {};
    }
    if (application != kApplicationId || version < 1) {
        return Error{ErrorCode::kCorrupt,
                     cat(database.path().string(), " is not a file of chats (application ",
                         application, ", wanted ", kApplicationId, ")")};
    }
    if (version > ChatStore::kSchemaVersion) {
        return Error{
            ErrorCode::kInvalid,
            cat(database.path().string(), " was written by a newer Millrace (version ", version,
                " of the file, this one knows ", ChatStore::kSchemaVersion,
                "); it was left alone: start a newer Millrace, or another state directory")};
    }
    return {};
}

Status check_key(Database& database, const Sealer& sealer) {
    const std::string mark = TRY(database.text("SELECT mark FROM meta WHERE id = 1"));
    const auto seen = sealer.compare(mark);
    if (seen == Sealer::Mark::kOurs) return {};
    if (seen == Sealer::Mark::kDamaged) {
        return Error{ErrorCode::kCorrupt,
                     cat(database.path().string(), " does not say which key it was written with")};
    }
    return Error{ErrorCode::kInvalid,
                 cat(database.path().string(), " was written with another key than ", kKeyName,
                     " beside it; put the right key back, or start with another state directory")};
}

Status check_whole(Database& database, const Sealer& sealer) {
    const std::string verdict = TRY(database.text("PRAGMA integrity_check(1)"));
    if (verdict != "ok") {
        return Error{ErrorCode::kCorrupt,
                     cat(database.path().string(), " is damaged: ", quote_text(verdict))};
    }
    return check_seals(database, sealer);
}

Status erase_messages(Database& database, ChatId chat, const std::vector<MessageId>& tops) {
    const MessageTree tree = TRY(read_tree(database, chat));
    std::vector<MessageId> all = tops;
    for (const TreeNode& node : tree.nodes()) {  // parents first, so the list grows downwards
        for (const MessageId top : tops) {
            if (node.id != top && tree.contains(top, node.id)) all.push_back(node.id);
        }
    }
    for (const MessageId id : all) {
        Statement erase = TRY(database.prepare("DELETE FROM messages WHERE id = ?"));
        TRY(erase.bind(static_cast<int64_t>(id)).run());
    }
    return {};
}

}  // namespace

Result<DirectoryLock> DirectoryLock::take(const Path& directory) {
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return io_error("opening", directory, errno);
    DirectoryLock lock(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno != EWOULDBLOCK) return io_error("locking", directory, errno);
    return Error{ErrorCode::kInvalid,
                 cat("another Millrace has the chats in ", directory.string(),
                     " open; close it, or start this one with another state directory")};
}

DirectoryLock::~DirectoryLock() {
    if (fd_ >= 0) ::close(fd_);
}

Result<Secret> open_state_key(const Path& directory, Entropy& entropy) {
    if (!holds_bytes(directory / kDatabaseName) && !holds_bytes(directory / kLogName)) {
        return open_secret(directory, kKeyName, kKeyWords, entropy);
    }
    auto secret = read_secret(directory, kKeyName, kKeyWords);
    if (secret.ok() || secret.error().code != ErrorCode::kNotFound) return secret;
    return Error{ErrorCode::kInvalid,
                 cat((directory / kKeyName).string(), " is missing, and ",
                     (directory / kDatabaseName).string(),
                     " cannot be read without it; put the key back, or move the file away to begin "
                     "anew")};
}

Result<Database> open_chats(const Path& directory, const StoreWorld& world, const Sealer& sealer) {
    const Path path = directory / kDatabaseName;
    TRY(check_beginning(directory));
    Database database = TRY(Database::open(path, world.vfs));
    // Until all is known to be well, closing must not carry the log over into the file.
    TRY(database.keep_log(true));
    // Exclusive: no other process can come between, and the log needs no shared memory.
    TRY(database.execute("PRAGMA locking_mode = EXCLUSIVE"));
    TRY(check_version(database));
    const bool fresh = TRY(database.integer("PRAGMA user_version"))
    == 0;
    if (!fresh) {
        TRY(check_key(database, sealer));
        TRY(check_whole(database, sealer));
    }
    TRY(database.keep_log(false));
    // `secure_delete`: what is erased is overwritten, also for whoever has the key.
    TRY(database.execute(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 256"));
    TRY(migrate(database, sealer));
    return database;
}

Status erase_chat(Database& database, ChatId chat) {
    for (const std::string_view sql :
         {"DELETE FROM messages WHERE chat = ?", "DELETE FROM drafts WHERE chat = ?",
          "DELETE FROM chats WHERE id = ?"}) {
        Statement erase = TRY(database.prepare(sql));
        TRY(erase.bind(static_cast<int64_t>(chat)).run());
    }
    return {};
}

Status empty_bin(Database& database, int64_t now_ms) {
    const int64_t oldest = now_ms - kBinMs;
    std::vector<ChatId> chats;
    Statement deleted = TRY(database.prepare("SELECT id FROM chats WHERE deleted_ms < ?"));
    deleted.bind(oldest);
    while (TRY(deleted.step())) chats.push_back(ChatId{deleted.integer(0)});

    std::vector<std::pair<ChatId, MessageId>> tops;
    Statement removed =
        TRY(database.prepare("SELECT chat, id FROM messages INDEXED BY messages_removed "
                             "WHERE removed_ms < ? AND removed_ms IS NOT NULL ORDER BY chat"));
    removed.bind(oldest);
    while (TRY(removed.step())) {
        tops.emplace_back(ChatId{removed.integer(0)}, MessageId{removed.integer(1)});
    }
    if (chats.empty() && tops.empty()) return {};
    Transaction transaction = TRY(Transaction::begin(database));
    for (size_t i = 0; i < tops.size();) {
        std::vector<MessageId> of_chat;
        const ChatId chat = tops[i].first;
        for (; i < tops.size() && tops[i].first == chat; ++i) of_chat.push_back(tops[i].second);
        TRY(erase_messages(database, chat, of_chat));
    }
    for (const ChatId chat : chats) TRY(erase_chat(database, chat));
    TRY(transaction.commit());
    clear_log(database);
    return {};
}

void clear_log(Database& database) {
    // Erased it is already; where the log cannot be carried over now, it will be when the store is closed.
    void(database.execute("PRAGMA wal_checkpoint(TRUNCATE)").ok());
}

}  // namespace millrace
