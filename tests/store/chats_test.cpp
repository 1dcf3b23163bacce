// The store of chats: what it keeps, what it refuses, what it finds.

#include "core/store/chats.h"

#include <doctest/doctest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "core/store/page_scan.h"
#include "core/store/rows.h"
#include "core/store/search_index.h"
#include "tests/support/store_world.h"

namespace millrace::test {
namespace {

constexpr int64_t kDayMs = 24 * 60 * 60 * 1000;

bool says(const Error& error, std::string_view words) {
    INFO(error.message);
    return error.message.find(words) != std::string::npos;
}

// As another program would change the file.
void change_file(const Path& file, const char* sql) {
    sqlite3* handle = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &handle) == SQLITE_OK);
    CHECK(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    CHECK(sqlite3_close(handle) == SQLITE_OK);
}

std::string bytes_of(const Path& file) {
    auto text = read_text_file(file, uint64_t{1} << 30);
    REQUIRE(text.ok());
    return *std::move(text);
}

MessageId say(ChatStore& store, ChatId chat, const std::string& text,
              MessageId parent = MessageId::kNone) {
    const auto id = store.append(chat, message_of(Author::kUser, text, parent));
    REQUIRE(id.ok());
    return *id;
}

std::vector<std::string> found(ChatStore& store, const char* words) {
    const auto hits = store.search(words, 100);
    REQUIRE(hits.ok());
    std::vector<std::string> texts;
    for (const FoundMessage& hit : *hits) {
        texts.push_back(hit.snippet.substr(hit.match_begin, hit.match_end - hit.match_begin));
    }
    return texts;
}

// Of the first message that the files hold.
std::string sealed_body(const MemoryVfs::Image& image, const Path& directory) {
    const PageSet pages(image.at((directory / "chats.db").string()),
                        image.at((directory / "chats.db-wal").string()));
    for (const RawRow& row : table_rows(pages)) {
        if (row.values.size() == 9) return std::string(row.values[8].blob);
    }
    return {};
}

std::string titles(ChatStore& store) {
    const auto chats = store.list(ChatStore::Deleted::kNo);
    REQUIRE(chats.ok());
    std::string all;
    for (const ChatSummary& chat : *chats) all += chat.title;
    return all;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("all that a message has comes back, after closing too") {
    StoreTestWorld world;
    const Path directory = world.place.path() / "state";
    StoredMessage message = message_of(Author::kAssistant, "Answer \xF0\x9F\x8C\x8A", {});
    message.reasoning = "because";
    message.tokens = {0, 1, 129279, -1};
    message.facts = R"({"a":1})";
    message.state = MessageState::kStopped;
    std::string before;
    {
        auto store = world.must_open(nullptr);
        CHECK(store->report().notices.empty());
        const ChatId chat = *store->create("Titel \xC3\xA4");
        REQUIRE(store->append(chat, message).ok());
        REQUIRE(store->save_draft(chat, "draft").ok());
        REQUIRE(store->set_settings(chat, "{}").ok());
        REQUIRE(store->set_value("composer", "").ok());
        const auto tree = store->read(chat);
        REQUIRE(tree.ok());
        const StoredMessage& read = tree->messages.at(0);
        CHECK(read.tokens == message.tokens);
        CHECK(read.reasoning == message.reasoning);
        CHECK(read.facts == message.facts);
        CHECK(read.state == message.state);
        CHECK(read.author == Author::kAssistant);
        CHECK(read.created_ms == world.calendar.now);
        CHECK(tree->leaf == read.id);
        before = everything(*store);
    }
    CHECK(everything(*world.must_open(nullptr)) == before);
    struct stat info {};
    REQUIRE(::stat((directory / "state.key").c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    REQUIRE(::stat(directory.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("the file holds no word that was written, and what is erased is gone from it") {
    StoreTestWorld world;
    MemoryVfs disk("dark");
    auto store = world.must_open(disk.name());
    const ChatId chat = *store->create("PlainTitle");
    StoredMessage message = message_of(Author::kUser, "PlainContent", {});
    message.reasoning = "PlainReasoning";
    message.facts = "PlainFacts";
    REQUIRE(store->append(chat, message).ok());
    REQUIRE(store->save_draft(chat, "PlainDraft").ok());
    REQUIRE(store->set_settings(chat, "PlainSettings").ok());
    REQUIRE(store->set_value("PlainName", "PlainValue").ok());
    REQUIRE(store->search("PlainContent", 5).ok());
    for (const auto& [path, bytes] : disk.image()) CHECK(bytes.find("Plain") == std::string::npos);

    // The sealed bytes of what is erased are gone as well.
    const std::string sealed = sealed_body(disk.image(), world.place.path() / "state");
    REQUIRE(sealed.size() > Sealer::kExtraBytes);
    const auto holds = [&] {
        for (const auto& [path, bytes] : disk.image()) {
            if (bytes.find(sealed) != std::string::npos) return true;
        }
        return false;
    };
    CHECK(holds());
    REQUIRE(store->remove(chat).ok());
    REQUIRE(store->erase_deleted(chat).ok());
    CHECK_FALSE(holds());
}

TEST_CASE("rows cannot take each other's place") {
    StoreTestWorld world;
    const Path file = world.place.path() / "state" / "chats.db";
    {
        auto store = world.must_open(nullptr);
        const ChatId chat = *store->create("one");
        say(*store, chat, "first");
        say(*store, chat, "other");
    }
    change_file(file,
                "CREATE TEMP TABLE t AS SELECT id, body FROM messages;"
                "UPDATE messages SET body = (SELECT t.body FROM t WHERE t.id = 3 - messages.id)");
    auto store = world.must_open(nullptr);
    REQUIRE(store->report().notices.size() == 2);
    CHECK(store->report().salvaged_messages == 0);
}

TEST_CASE("a key that others may read, another key, and no key are refused; the chats stay") {
    StoreTestWorld world;
    const Path directory = world.place.path() / "state";
    const Path key = directory / "state.key", file = directory / "chats.db";
    REQUIRE(world.must_open(nullptr)->create("one").ok());
    const std::string before = bytes_of(file), secret = bytes_of(key);

    REQUIRE(::chmod(key.c_str(), 0644) == 0);
    CHECK(says(world.open(nullptr).error(), "has the mode 0644"));
    REQUIRE(::chmod(key.c_str(), 0600) == 0);

    std::filesystem::remove(key);
    CHECK(says(world.open(nullptr).error(), "put the key back"));
    CHECK_FALSE(std::filesystem::exists(key));

    REQUIRE(write_file(key, std::string(32, 'k')).ok());
    REQUIRE(::chmod(key.c_str(), 0600) == 0);
    const auto refused = world.open(nullptr);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kInvalid);
    CHECK(says(refused.error(), "another key"));
    CHECK(bytes_of(file) == before);
    // Also where the file is damaged besides.
    std::string broken = before;
    broken.replace(0, 100, std::string(100, '\0'));
    REQUIRE(write_file(file, std::string_view(broken)).ok());
    CHECK(says(world.open(nullptr).error(), "another key"));
    CHECK(bytes_of(file) == broken);

    REQUIRE(write_file(file, std::string_view(before)).ok());
    REQUIRE(write_file(key, std::string_view(secret)).ok());
    REQUIRE(::chmod(key.c_str(), 0600) == 0);
    CHECK(world.must_open(nullptr)->list(ChatStore::Deleted::kNo)->size() == 1);
}

TEST_CASE("a newer version is refused and left byte for byte") {
    StoreTestWorld world;
    const Path file = world.place.path() / "state" / "chats.db";
    REQUIRE(world.must_open(nullptr)->create("one").ok());
    change_file(file, "PRAGMA user_version = 2");
    const std::string before = bytes_of(file);
    const auto refused = world.open(nullptr);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kInvalid);
    CHECK(says(refused.error(), "newer Millrace (version 2"));
    CHECK(bytes_of(file) == before);
    change_file(file, "PRAGMA user_version = 1");
    CHECK(world.must_open(nullptr)->list(ChatStore::Deleted::kNo)->size() == 1);
}

TEST_CASE("an empty file of version 0 becomes one of today's") {
    StoreTestWorld world;
    auto database = Database::open(world.place.path() / "alone.db", nullptr);
    REQUIRE(database.ok());
    CHECK(*database->integer("PRAGMA user_version") == 0);
    Secret secret;
    const Sealer sealer(secret, world.entropy);
    REQUIRE(migrate(*database, sealer).ok());
    CHECK(*database->integer("PRAGMA user_version") == ChatStore::kSchemaVersion);
    CHECK(*database->integer("PRAGMA application_id") == kApplicationId);
    // Once more changes nothing: there is no step left.
    CHECK(migrate(*database, sealer).ok());
}

TEST_CASE("a second store is refused, in this process and in another") {
    StoreTestWorld world;
    auto store = world.must_open(nullptr);
    CHECK(says(world.open(nullptr).error(), "another Millrace"));
    const pid_t child = ::fork();
    if (child == 0) ::_exit(world.open(nullptr).ok() ? 1 : 0);
    int status = 1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    store.reset();

    // A program that knows nothing of our lock.
    sqlite3* handle = nullptr;
    const Path file = world.place.path() / "state" / "chats.db";
    REQUIRE(sqlite3_open(file.c_str(), &handle) == SQLITE_OK);
    REQUIRE(sqlite3_exec(handle, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    CHECK(says(world.open(nullptr).error(), "another program has the chats open"));
    sqlite3_close(handle);
    CHECK(world.open(nullptr).ok());
}

TEST_CASE("the bin: hidden, found again, erased after thirty days") {
    StoreTestWorld world;
    MemoryVfs disk("bin");
    auto store = world.must_open(disk.name());
    const ChatId chat = *store->create("chat"), kept = *store->create("kept");
    say(*store, chat, "words");
    const MessageId top = say(*store, kept, "top"), gone = say(*store, kept, "gone", top);
    say(*store, kept, "under it", gone);
    CHECK(store->erase_deleted(chat).error().code == ErrorCode::kInvalid);
    REQUIRE(store->remove(chat).ok());
    CHECK(store->list(ChatStore::Deleted::kNo)->size() == 1);
    CHECK(store->list(ChatStore::Deleted::kOnly)->size() == 1);
    CHECK(found(*store, "words").empty());
    CHECK(store->append(chat, message_of(Author::kUser, "more", {})).error().code ==
          ErrorCode::kInvalid);
    REQUIRE(store->restore(chat).ok());
    CHECK(found(*store, "words").size() == 1);

    REQUIRE(store->remove(chat).ok());
    REQUIRE(store->remove_branch(gone).ok());
    CHECK(store->read(kept)->leaf == top);
    CHECK(store->append(kept, message_of(Author::kUser, "x", gone)).error().code ==
          ErrorCode::kNotFound);
    world.calendar.now += 29 * kDayMs;
    store.reset();
    store = world.must_open(disk.name());
    CHECK(store->list(ChatStore::Deleted::kOnly)->size() == 1);
    world.calendar.now += 2 * kDayMs;
    store.reset();
    store = world.must_open(disk.name());
    CHECK(store->list(ChatStore::Deleted::kOnly)->empty());
    CHECK(store->restore(chat).error().code == ErrorCode::kNotFound);
    CHECK(store->restore_branch(gone).error().code == ErrorCode::kNotFound);
    CHECK(store->read(kept)->messages.size() == 1);
    // Its number is not given to another.
    CHECK(*store->create("new") > kept);
    CHECK(say(*store, kept, "later", top) > gone);
}

TEST_CASE("pinned chats stand first, then the newest change") {
    StoreTestWorld world;
    MemoryVfs disk("order");
    auto store = world.must_open(disk.name());
    std::vector<ChatId> chats;
    for (const char* title : {"a", "b", "c"}) {
        world.calendar.now += 10;
        chats.push_back(*store->create(title));
    }
    world.calendar.now += 10;
    say(*store, chats[1], "later");
    REQUIRE(store->pin(chats[0], true).ok());
    CHECK(titles(*store) == "abc");
    REQUIRE(store->pin(chats[0], false).ok());
    CHECK(titles(*store) == "bca");
    CHECK(store->pin(ChatId{99}, true).error().code == ErrorCode::kNotFound);
}

TEST_CASE("search: case, languages, short words, titles first, hidden ones not") {
    StoreTestWorld world;
    MemoryVfs disk("search");
    auto store = world.must_open(disk.name());
    const ChatId chat = *store->create("Flüsse und Mühlen");
    say(*store, chat, "Die STRASSE am Fluß ist naß.");
    say(*store, chat, "今天的天气很好，我们去河边。");
    const MessageId wave =
        say(*store, chat, "a wave \xF0\x9F\x8C\x8A\xF0\x9F\x8C\x8A here\nand more");
    CHECK(found(*store, "straße") == Texts{"STRASSE"});
    CHECK(found(*store, "FLUSS") == Texts{"Fluß"});
    CHECK(found(*store, "天气") == Texts{"天气"});
    CHECK(found(*store, "天") == Texts{"天"});
    CHECK(found(*store, "\xF0\x9F\x8C\x8A") == Texts{"\xF0\x9F\x8C\x8A"});
    CHECK(found(*store, "am") == Texts{"am"});
    CHECK(found(*store, "MÜHLEN") == Texts{"Mühlen"});
    CHECK(found(*store, "mu\xCC\x88hlen") == Texts{"Mühlen"});  // u and its dots apart
    CHECK(found(*store, "fluss nass") == Texts{"Fluß"});        // apart: the longest is shown
    CHECK(found(*store, "fluss wetter").empty());
    CHECK(found(*store, "  ").empty());
    CHECK(found(*store, "%").empty());
    CHECK(found(*store, "here and") == Texts{"here"});

    // What comes later is found, what has changed is found as it is now.
    say(*store, chat, "neulich am Wehr");
    CHECK(found(*store, "wehr").size() == 1);
    StoredMessage grown = message_of(Author::kUser, "no water", {});
    grown.id = wave;
    REQUIRE(store->update(grown).ok());
    CHECK(found(*store, "here and").empty());
    REQUIRE(store->remove_branch(wave).ok());
    CHECK(found(*store, "water").empty());
    REQUIRE(store->restore_branch(wave).ok());
    CHECK(found(*store, "water").size() == 1);
    REQUIRE(store->rename(chat, "Water").ok());
    const auto hits = store->search("water", 1);
    REQUIRE(hits->size() == 1);
    CHECK(hits->front().message == MessageId::kNone);
    CHECK(hits->front().title == "Water");
}

TEST_CASE("a snippet is a line of whole characters around the match") {
    std::string text;
    for (int i = 0; i < 100; ++i) text += "水";
    text += "Ziel";
    for (int i = 0; i < 100; ++i) text += "水";
    const Snippet snippet = snippet_of(text, "ziel");
    CHECK(snippet.line.substr(snippet.match_begin, snippet.match_end - snippet.match_begin) ==
          "Ziel");
    CHECK(snippet.line.size() < 200);
    CHECK(snippet.line.size() % 3 == 1);
    CHECK(snippet_of("", "x").line.empty());
    CHECK(fold_text("\xFF\xC3") == "\xFF\xC3");
}

TEST_CASE("ten thousand messages: listed, read and found") {
    StoreTestWorld world;
    MemoryVfs disk("many");
    auto store = world.must_open(disk.name());
    for (int c = 0; c < 100; ++c) {
        const ChatId chat = *store->create(cat("chat ", c));
        MessageId parent = MessageId::kNone;
        for (int m = 0; m < 100; ++m) {
            parent = say(*store, chat, cat("message ", m, " of chat ", c, m == 50 ? " Nadel" : ""),
                         parent);
        }
    }
    const auto chats = store->list(ChatStore::Deleted::kNo);
    REQUIRE(chats->size() == 100);
    for (const ChatSummary& chat : *chats) CHECK(chat.messages == 100);
    CHECK(store->read(chats->front().id)->messages.size() == 100);
    CHECK(store->search("nadel", 1000)->size() == 100);
    CHECK(store->search("nadel", 7)->size() == 7);
    CHECK(store->search("chat 77 nadel", 1000)->size() == 1);
}

}  // namespace millrace::test
