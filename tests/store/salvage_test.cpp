// Broken files of chats: whatever page is overwritten and wherever the file ends, the store opens, says what happened,
// keeps the broken file, and has every message whose own pages are whole.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <set>

#include "core/base/random.h"
#include "core/store/page_scan.h"
#include "core/store/rows.h"
#include "core/store/salvage.h"
#include "tests/support/store_world.h"

namespace millrace::test {
namespace {

constexpr size_t kPage = kStorePageBytes;

// A store whose files the test breaks before they are opened on the machine's disk.
struct BrokenWorld : StoreTestWorld {
    Path directory = place.path() / "state";
    MemoryVfs::Image whole;
    std::map<int64_t, StoredMessage> messages;
    std::map<int64_t, MessageId> parents;
    ChatId long_chat{}, short_chat{};

    // Thirty turns of growing length, so that there are rows within a page and rows over several.
    explicit BrokenWorld(bool keep_log) {
        MemoryVfs disk("whole");
        auto store = must_open(disk.name());
        long_chat = *store->create("A long chat");
        short_chat = *store->create("Kurz");
        REQUIRE(store->save_draft(long_chat, "unfinished").ok());
        REQUIRE(store->set_value("composer", "new").ok());
        MessageId parent = MessageId::kNone;
        for (int i = 0; i < 30; ++i) {
            const std::string text =
                cat("message ", i, std::string(static_cast<size_t>(i) * 180, 'x'));
            parent = say(*store, long_chat, text, parent);
        }
        say(*store, short_chat, "Hallo", MessageId::kNone);
        if (!keep_log) store.reset();
        whole = disk.image();
    }

    MessageId say(ChatStore& store, ChatId chat, const std::string& text, MessageId parent) {
        const StoredMessage message = message_of(Author::kUser, text, parent);
        const auto id = store.append(chat, message);
        REQUIRE(id.ok());
        messages[static_cast<int64_t>(*id)] = message;
        return *id;
    }

    std::string& file() { return whole[(directory / "chats.db").string()]; }
    std::string& log() { return whole[(directory / "chats.db-wal").string()]; }

    // What lies on the disk is `file` and `log`, nothing else but the key.
    void lay(const std::string& file_bytes, const std::string& log_bytes) const {
        for (const auto& entry : std::filesystem::directory_iterator(directory)) {
            if (entry.path().filename() != "state.key") std::filesystem::remove(entry.path());
        }
        REQUIRE(write_file(directory / "chats.db", std::string_view(file_bytes)).ok());
        if (log_bytes.empty()) return;
        REQUIRE(write_file(directory / "chats.db-wal", std::string_view(log_bytes)).ok());
    }

    // Opens what is there, and checks that nothing was invented; how many messages there are.
    size_t count_checked(std::unique_ptr<ChatStore>& store) {
        size_t count = 0;
        const auto chats = store->list(ChatStore::Deleted::kNo);
        REQUIRE(chats.ok());
        for (const ChatSummary& chat : *chats) {
            const auto tree = store->read(chat.id);
            REQUIRE(tree.ok());
            std::set<MessageId> seen{MessageId::kNone};
            for (const StoredMessage& message : tree->messages) {
                const auto known = messages.find(static_cast<int64_t>(message.id));
                REQUIRE(known != messages.end());
                CHECK(known->second.content == message.content);
                CHECK(seen.contains(message.parent));
                seen.insert(message.id);
                ++count;
            }
            CHECK(seen.contains(tree->leaf));
        }
        return count;
    }
};

}  // namespace

TEST_CASE("whatever page is overwritten, the rest is there") {
    BrokenWorld world(false);
    const std::string file = world.file();
    const size_t pages = file.size() / kPage;
    REQUIRE(pages > 20);
    size_t least = world.messages.size();
    for (size_t page = 0; page < pages; ++page) {
        std::string broken = file;
        for (size_t i = 0; i < kPage; ++i)
            broken[page * kPage + i] = static_cast<char>(i * 131 + page);
        world.lay(broken, "");
        auto store = world.must_open(nullptr);
        const size_t count = world.count_checked(store);
        least = std::min(least, count);
        // A page of the free list may be anything.
        if (store->report().notices.empty()) {
            CHECK(count == world.messages.size());
            continue;
        }
        CHECK(store->report().salvaged_messages == static_cast<int64_t>(count));
        REQUIRE(store->report().set_aside.has_value());
        const auto kept = read_text_file(*store->report().set_aside, 1 << 24);
        REQUIRE(kept.ok());
        CHECK(*kept == broken);
        CHECK(store->create("and on").ok());
    }
    // At most what lies in one page is lost.
    CHECK(least >= world.messages.size() - 10);
}

TEST_CASE("a flipped bit is seen, whatever it hits, and costs a message or a page of them") {
    BrokenWorld world(false);
    const std::string file = world.file();
    Random random(7);
    int salvages = 0;
    for (int round = 0; round < 120; ++round) {
        std::string broken = file;
        const size_t place =
            100 + random.below(file.size() - 100);  // behind the versions in the header
        broken[place] = static_cast<char>(broken[place] ^ (1 << random.below(8)));
        world.lay(broken, "");
        auto store = world.must_open(nullptr);
        const size_t count = world.count_checked(store);
        INFO("byte ", place);
        const bool told = !store->report().notices.empty();
        CHECK((told || count == world.messages.size()));
        CHECK(count + 10 >= world.messages.size());
        salvages += told ? 1 : 0;
    }
    CHECK(salvages > 60);
}

TEST_CASE("a message that only the index has lost is not lost") {
    BrokenWorld world(false);
    const std::string& file = world.file();
    std::string broken = file;
    const PageSet pages(file, "");
    for (const RawRow& row : index_rows(pages)) {
        if (row.values.size() != 4 || row.values[3].integer != 12) continue;
        const size_t place = file.find(row.record);
        REQUIRE(place != std::string::npos);
        broken[place + row.record.size() - 1] ^= 1;  // now it speaks of message 13
    }
    REQUIRE(broken != file);
    world.lay(broken, "");
    auto store = world.must_open(nullptr);
    CHECK(world.count_checked(store) == world.messages.size());
    CHECK(store->report().notices.size() == 2);
}

TEST_CASE("wherever the file ends, what stands before is there") {
    BrokenWorld world(false);
    const std::string file = world.file();
    size_t before = 0;
    for (size_t size = 1; size < file.size(); size += 3 * kPage / 2) {
        world.lay(file.substr(0, size), "");
        auto store = world.must_open(nullptr);
        const size_t count = world.count_checked(store);
        CHECK(count >= before);  // the longer, the more
        before = count;
        CHECK(store->report().set_aside.has_value());
    }
    CHECK(before > 20);
}

TEST_CASE("a broken log costs what its broken frames held, a missing one what it alone held") {
    BrokenWorld world(true);
    const std::string file = world.file(), log = world.log();
    REQUIRE(log.size() > 20 * kPage);
    {
        world.lay(file, log);
        auto store = world.must_open(nullptr);
        CHECK(world.count_checked(store) == world.messages.size());
        CHECK(store->report().notices.empty());
    }
    {
        world.lay(file, "");
        auto store = world.must_open(nullptr);
        CHECK(world.count_checked(store) < world.messages.size());
    }
    // The file is gone, its log is not.
    world.lay("", log);
    std::filesystem::remove(world.directory / "chats.db");
    auto store = world.must_open(nullptr);
    CHECK(world.count_checked(store) == world.messages.size());
    CHECK(store->report().set_aside.has_value());
    store.reset();

    // The scan goes on behind a broken frame, where SQLite would stop.
    std::string broken = log;
    const size_t frame = kPage + 24;
    broken[32 + 30 * frame + 1000] ^= 1;
    const PageSet pages(file, broken);
    std::set<int64_t> ids;
    for (const RawRow& row : table_rows(pages)) {
        if (row.values.size() == 9) ids.insert(row.id);
    }
    CHECK(ids.size() >= world.messages.size() - 3);
}

TEST_CASE("what is no file of chats is set aside under the date, twice a day too") {
    StoreTestWorld world;
    const Path directory = world.place.path() / "state";
    REQUIRE(world.must_open(nullptr)->create("one").ok());
    for (const char* name : {"chats.broken-2026-09-21.db", "chats.broken-2026-09-21-2.db"}) {
        REQUIRE(write_file(directory / "chats.db", std::string(10000, 'z')).ok());
        auto store = world.must_open(nullptr);
        REQUIRE(store->report().notices.size() == 2);
        CHECK(store->report().notices[1].find("0 messages") != std::string::npos);
        CHECK(store->report().set_aside->filename() == name);
        CHECK(std::filesystem::exists(directory / name));
    }
}

TEST_CASE("a lost message's answers hang on what stood above it") {
    BrokenWorld world(false);
    // The texts of one row are changed: its seal does not fit, all else is whole.
    const std::string& file = world.file();
    const PageSet pages(file, "");
    std::string broken = file;
    int64_t lost = 0;
    for (const RawRow& row : table_rows(pages)) {
        if (row.values.size() != 9 || row.id != 12) continue;
        lost = row.id;
        const size_t place = file.find(row.record.substr(row.record.size() - 40, 20));
        REQUIRE(place != std::string::npos);
        broken[place] ^= 1;
    }
    REQUIRE(lost == 12);
    world.lay(broken, "");
    auto store = world.must_open(nullptr);
    CHECK(world.count_checked(store) == world.messages.size() - 1);
    CHECK(store->report().notices[1].find("1 could not be read") != std::string::npos);
    const auto tree = store->read(world.long_chat);
    REQUIRE(tree.ok());
    CHECK(tree->chat.title == "A long chat");
    CHECK(tree->draft == "unfinished");
    CHECK(tree->messages.back().id == tree->leaf);
    for (const StoredMessage& message : tree->messages) {
        if (message.id == MessageId{13}) CHECK(message.parent == MessageId{11});
    }
    CHECK(**store->value("composer") == "new");
}

TEST_CASE("where there is no room for the salvage, the broken file stays, and is salvaged later") {
    StoreTestWorld world;
    const Path directory = world.place.path() / "state";
    REQUIRE(world.must_open(nullptr)->create("one").ok());
    const std::string broken(1000, 'z');
    REQUIRE(write_file(directory / "chats.db", std::string_view(broken)).ok());
    for (const int64_t room : {0, 1, 5}) {
        MemoryVfs disk("full");  // for the new file; the broken one lies on the machine's
        disk.writes_left = room;
        const auto refused = world.open(disk.name());
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().code == ErrorCode::kNoSpace);
        CHECK(*read_text_file(directory / "chats.db", 1 << 20) == broken);
        CHECK(std::distance(std::filesystem::directory_iterator(directory), {}) == 2);
    }
    CHECK(world.must_open(nullptr)->report().set_aside.has_value());
}

TEST_CASE("a salvage that was interrupted is brought to its end") {
    BrokenWorld world(false);
    const Path db = world.directory / "chats.db", salvaged = world.directory / "chats.salvaged.db";
    world.lay(world.file(), "");
    {
        // Before the old file went: it is still the one.
        REQUIRE(write_file(salvaged, std::string_view("half of it")).ok());
        auto store = world.must_open(nullptr);
        CHECK(world.count_checked(store) == world.messages.size());
        CHECK_FALSE(std::filesystem::exists(salvaged));
    }
    // After it went: the new one takes its place, without the old log.
    std::filesystem::rename(db, salvaged);
    REQUIRE(write_file(world.directory / "chats.db-wal", std::string(50000, 'w')).ok());
    auto store = world.must_open(nullptr);
    CHECK(world.count_checked(store) == world.messages.size());
    CHECK(store->report().notices.empty());
}

}  // namespace millrace::test
