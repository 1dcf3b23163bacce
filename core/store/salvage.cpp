#include "core/store/salvage.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <system_error>

#include "core/base/disk.h"
#include "core/base/strings.h"
#include "core/store/opening.h"
#include "core/store/page_scan.h"
#include "core/store/rows.h"
#include "core/store/utc_time.h"

namespace millrace {
namespace {

constexpr const char* kSalvagedName = "chats.salvaged.db";
constexpr const char* kLostTitle = "Salvaged chat";  // of a chat whose own title is lost

struct Found {
    std::map<int64_t, ChatRow> chats;
    std::map<int64_t, MessageRow> messages;
    std::map<int64_t, std::string> drafts;
    std::map<std::string, std::string> values;               // by digest
    std::map<int64_t, std::pair<int64_t, int64_t>> lineage;  // message → chat, parent
    bool other_key = false;
};

std::optional<int64_t> integer(const RawValue& value) {
    if (value.kind != RawValue::Kind::kInteger) return std::nullopt;
    return value.integer;
}

// The row again as `read_message` would have it; only what the seal confirms.
void take_message(const RawRow& raw, const Sealer& sealer, Found& found) {
    MessageRow row;
    std::array<int64_t, 5> numbers{};
    for (size_t i = 0; i < numbers.size(); ++i) {
        const auto value = integer(raw.values[i + 1]);
        if (!value) return;
        numbers[i] = *value;
    }
    const auto& [chat, parent, author, state, created_ms] = numbers;
    if (author < 0 || author > static_cast<int64_t>(Author::kAssistant) || state < 0 ||
        state > static_cast<int64_t>(MessageState::kCutOff)) {
        return;
    }
    row.message.id = MessageId{raw.id};
    row.message.parent = MessageId{parent};
    row.message.author = static_cast<Author>(author);
    row.message.state = static_cast<MessageState>(state);
    row.message.created_ms = created_ms;
    row.chat = ChatId{chat};
    row.removed_ms = integer(raw.values[6]);
    row.removed_leaf = integer(raw.values[7]);
    const auto body = sealer.unseal(body_place(row), raw.values[8].blob);
    if (!body || !unpack_body(*body, row.message)) return;
    found.lineage[raw.id] = {chat, parent};
    // Twice only where the log is lost: an answer grows, so the longer one is the newer one.
    const auto there = found.messages.find(raw.id);
    if (there != found.messages.end() && pack_body(there->second.message).size() > body->size()) {
        return;
    }
    found.messages.insert_or_assign(raw.id, std::move(row));
}

void take_chat(const RawRow& raw, const Sealer& sealer, Found& found) {
    ChatRow row;
    row.chat.id = ChatId{raw.id};
    const auto title = sealer.unseal(title_place(row.chat.id), raw.values[6].blob);
    const auto settings = sealer.unseal(settings_place(row.chat.id), raw.values[7].blob);
    if (!title && !settings) return;
    row.chat.title = title.value_or(kLostTitle);
    row.settings = settings.value_or("");
    row.chat.created_ms = integer(raw.values[1]).value_or(0);
    row.chat.changed_ms = integer(raw.values[2]).value_or(0);
    row.chat.pinned = integer(raw.values[3]).value_or(0) != 0;
    row.chat.deleted_ms = integer(raw.values[4]);
    row.leaf = MessageId{integer(raw.values[5]).value_or(0)};
    const auto there = found.chats.find(raw.id);
    if (there != found.chats.end() && there->second.chat.changed_ms > row.chat.changed_ms) return;
    found.chats.insert_or_assign(raw.id, std::move(row));
}

void take_row(const RawRow& raw, const Sealer& sealer, Found& found) {
    if (raw.values.size() == 9) return take_message(raw, sealer, found);
    if (raw.values.size() == 8) return take_chat(raw, sealer, found);
    if (raw.values.size() == 3) {
        const std::string digest(raw.values[1].blob);
        auto value = sealer.unseal(value_place(digest), raw.values[2].blob);
        if (value) found.values.insert_or_assign(digest, *std::move(value));
    } else if (raw.values.size() == 2) {
        auto draft = sealer.unseal(draft_place(ChatId{raw.id}), raw.values[1].blob);
        if (draft) found.drafts.insert_or_assign(raw.id, *std::move(draft));
        if (sealer.compare(raw.values[1].blob) == Sealer::Mark::kOther) found.other_key = true;
    }
}

Result<Found> scan(const Path& directory, const Sealer& sealer) {
    File file, log;
    MappedFile file_map, log_map;
    const auto map = [](const Path& path, File& open, MappedFile& mapped) -> Status {
        std::error_code problem;
        const auto size = std::filesystem::file_size(path, problem);
        if (problem || size == 0) return {};
        open = TRY(File::open(path));
        mapped = TRY(MappedFile::map(open));
        return {};
    };
    TRY(map(directory / kDatabaseName, file, file_map));
    TRY(map(directory / kLogName, log, log_map));
    const auto text = [](const MappedFile& mapped) {
        return std::string_view(reinterpret_cast<const char*>(mapped.bytes().data()),
                                mapped.bytes().size());
    };
    const PageSet pages(text(file_map), text(log_map));
    Found found;
    for (const RawRow& raw : index_rows(pages)) {
        if (raw.values.size() != 4) continue;  // chat, parent, removed, row
        const auto chat = integer(raw.values[0]), parent = integer(raw.values[1]),
                   id = integer(raw.values[3]);
        if (chat && parent && id) found.lineage[*id] = {*chat, *parent};
    }
    for (const RawRow& raw : table_rows(pages)) take_row(raw, sealer, found);
    return found;
}

// The nearest message above `id` (itself included) that is there.
MessageId survivor(const Found& found, int64_t chat, int64_t id) {
    const auto there = [&](int64_t message) {
        const auto row = found.messages.find(message);
        return row != found.messages.end() && static_cast<int64_t>(row->second.chat) == chat;
    };
    while (id != 0 && !there(id)) {
        const auto known = found.lineage.find(id);
        if (known == found.lineage.end() || known->second.first != chat ||
            known->second.second >= id) {
            // The way is lost. Before the id, newest first.
            auto row = found.messages.lower_bound(id);
            while (row != found.messages.begin()) {
                --row;
                if (static_cast<int64_t>(row->second.chat) == chat) return MessageId{row->first};
            }
            return MessageId::kNone;
        }
        id = known->second.second;
    }
    return MessageId{id};
}

void mend(Found& found) {
    for (auto& [id, row] : found.messages) {
        const int64_t chat = static_cast<int64_t>(row.chat);
        const int64_t parent = static_cast<int64_t>(row.message.parent);
        row.message.parent = parent < id ? survivor(found, chat, parent) : MessageId::kNone;
        const auto [place, fresh] = found.chats.try_emplace(chat);
        if (!fresh) continue;
        ChatRow& owner = place->second;
        owner.chat.id = row.chat;
        owner.chat.title = kLostTitle;
        owner.chat.created_ms = owner.chat.changed_ms = row.message.created_ms;
        owner.leaf = MessageId{found.messages.rbegin()->first};  // then its own newest, below
    }
    for (const auto& [chat, draft] : found.drafts) {
        const auto [place, fresh] = found.chats.try_emplace(chat);
        if (!fresh) continue;
        place->second.chat.id = ChatId{chat};
        place->second.chat.title = kLostTitle;
    }
    for (auto& [id, row] : found.chats) {
        row.leaf = survivor(found, id, static_cast<int64_t>(row.leaf));
    }
}

Status write_rows(Database& database, Sealer& sealer, const Found& found) {
    TRY(database.execute("PRAGMA page_size = 4096; PRAGMA synchronous = FULL"));
    TRY(migrate(database, sealer));
    Transaction transaction = TRY(Transaction::begin(database));
    for (const auto& [id, row] : found.chats) TRY(insert_chat(database, sealer, row));
    for (const auto& [id, row] : found.messages) TRY(insert_message(database, sealer, row));
    for (const auto& [chat, text] : found.drafts) {
        TRY(put_draft(database, sealer, ChatId{chat}, text));
    }
    for (const auto& [digest, value] : found.values) {
        TRY(put_value(database, sealer, digest, value));
    }
    return transaction.commit();
}

// Another name for the same bytes; a copy where the file system knows no links.
Status add_name(const Path& from, const Path& to) {
    std::error_code problem;
    std::filesystem::create_hard_link(from, to, problem);
    if (!problem) return {};
    std::filesystem::copy_file(from, to, problem);
    if (!problem) return {};
    return Error{ErrorCode::kIo, cat("setting ", from.string(), " aside: ", problem.message())};
}

Result<Path> set_aside(const Path& directory, int64_t now_ms) {
    const Path file = directory / kDatabaseName, log = directory / kLogName;
    Path aside;
    for (int number = 1;; ++number) {
        aside = directory / cat("chats.broken-", utc_date(now_ms),
                                number == 1 ? std::string() : cat("-", number), ".db");
        if (!std::filesystem::exists(aside) && !std::filesystem::exists(aside.string() + "-wal")) {
            break;
        }
    }
    if (std::filesystem::exists(file)) TRY(add_name(file, aside));
    if (std::filesystem::exists(log)) TRY(add_name(log, aside.string() + "-wal"));
    const Path journal = directory / kJournalName;
    if (std::filesystem::exists(journal)) TRY(add_name(journal, aside.string() + "-journal"));
    TRY(SystemDisk().sync_directory(directory));
    return aside;
}

}  // namespace

Result<Salvage> salvage_chats(const Path& directory, const StoreWorld& world, Sealer& sealer) {
    // That there is a file says that no salvage has come to its end (finish_salvage).
    if (!std::filesystem::exists(directory / kDatabaseName)) {
        TRY(write_file(directory / kDatabaseName, std::string_view()));
    }
    Found found = TRY(scan(directory, sealer));
    if (found.other_key) {
        return Error{ErrorCode::kInvalid,
                     cat((directory / kDatabaseName).string(),
                         " is damaged and was written with another key than the one beside it; put "
                         "the right key back")};
    }
    Salvage result;
    for (const auto& [id, place] : found.lineage) {
        if (!found.messages.contains(id)) ++result.messages_lost;
    }
    mend(found);
    result.messages = static_cast<int64_t>(found.messages.size());
    result.chats = static_cast<int64_t>(found.chats.size());
    {
        Database fresh = TRY(Database::open(directory / kSalvagedName, world.vfs));
        TRY(write_rows(fresh, sealer, found));
    }
    // From here on the broken file has two names, and the new one is whole and on the drive.
    result.set_aside = TRY(set_aside(directory, world.calendar.now_ms()));
    SystemDisk disk;
    TRY(disk.remove(directory / kDatabaseName));
    TRY(disk.sync_directory(directory));
    TRY(finish_salvage(directory));
    return result;
}

Status finish_salvage(const Path& directory) {
    const Path salvaged = directory / kSalvagedName;
    if (!std::filesystem::exists(salvaged)) return {};
    SystemDisk disk;
    if (std::filesystem::exists(directory / kDatabaseName)) {
        TRY(disk.remove(salvaged.string() + "-journal"));
        TRY(disk.remove(salvaged));
        return disk.sync_directory(directory);
    }
    // The old log first: laid over the new file it would break it.
    TRY(disk.remove(directory / kLogName));
    TRY(disk.remove(directory / kJournalName));
    TRY(disk.sync_directory(directory));
    TRY(disk.rename(salvaged, directory / kDatabaseName));
    return disk.sync_directory(directory);
}

}  // namespace millrace
