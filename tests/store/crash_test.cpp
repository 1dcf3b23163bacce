// A person's session that is killed before every single change of a file, loses power there, or finds the disk full: what
// a call had returned as done is there, and nothing else.

#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "tests/support/store_world.h"

namespace millrace::test {
namespace {

using Step = std::function<Status(ChatStore&)>;

Status told(const Result<MessageId>& id, MessageId& out) {
    if (!id.ok()) return id.error();
    out = *id;
    return {};
}

// Ids that steps hand on to later ones.
struct Session {
    ChatId chat{}, other{};
    MessageId none = MessageId::kNone;
    MessageId question{}, answer{}, second{}, again{};
};

Step grow(Session& session, int pieces, MessageState state) {
    return [&session, pieces, state](ChatStore& store) -> Status {
        StoredMessage message;
        message.id = session.answer;
        message.state = state;
        for (int i = 0; i < pieces; ++i) {
            message.content += "A longer and longer answer, word by word. ";
            message.reasoning += "Hm. ";
            message.tokens.insert(message.tokens.end(), {i, 7, 128000});
        }
        message.facts = R"({"speed":12.5})";
        return store.update(message);
    };
}

std::vector<Step> steps_of(Session& session) {
    const auto chat = [](ChatId& out, const char* title) {
        return [&out, title](ChatStore& store) -> Status {
            out = TRY(store.create(title));
            return {};
        };
    };
    const auto say = [&session](Author author, const char* text, MessageId& under, MessageId& out) {
        return [&session, author, text, &under, &out](ChatStore& store) -> Status {
            return told(store.append(session.chat, message_of(author, text, under)), out);
        };
    };
    const auto draft = [&session](const char* text) {
        return [&session, text](ChatStore& store) { return store.save_draft(session.chat, text); };
    };
    return {
        [](ChatStore& store) { return store.set_value("composer", "what I am about to ask"); },
        chat(session.chat, "First"),
        draft("How do"),
        draft("How does streaming work?"),
        say(Author::kUser, "How does streaming work?", session.none, session.question),
        draft(""),
        say(Author::kAssistant, "", session.question, session.answer),
        grow(session, 1, MessageState::kGrowing),
        grow(session, 20, MessageState::kGrowing),
        grow(session, 200, MessageState::kGrowing),
        grow(session, 300, MessageState::kWhole),
        [&](ChatStore& store) { return store.rename(session.chat, "On streaming"); },
        [&](ChatStore& store) { return store.set_settings(session.chat, R"({"t":0.6})"); },
        say(Author::kUser, "And in short?", session.question, session.second),
        say(Author::kAssistant, "It reads.", session.second, session.again),
        [&](ChatStore& store) { return store.show_leaf(session.chat, session.answer); },
        [&](ChatStore& store) { return store.remove_branch(session.answer); },
        [&](ChatStore& store) { return store.restore_branch(session.answer); },
        chat(session.other, "Second"),
        [&](ChatStore& store) { return store.pin(session.other, true); },
        [&](ChatStore& store) { return store.remove(session.chat); },
        [&](ChatStore& store) { return store.restore(session.chat); },
        [&](ChatStore& store) { return store.remove(session.other); },
        [&](ChatStore& store) { return store.erase_deleted(session.other); },
        [](ChatStore& store) { return store.set_value("composer", "next"); },
    };
}

struct Moment {
    MemoryVfs::Image files;
    size_t done = 0;  // calls that had returned
};

struct Recording {
    std::vector<Moment> killed, powerless;
    std::vector<std::string> states;  // after so many calls
};

Recording record(StoreTestWorld& world, uint64_t seed) {
    Recording recording;
    MemoryVfs disk("recorded");
    Random random(seed);
    size_t done = 0;
    disk.before_change = [&] {
        recording.killed.push_back({disk.image(), done});
        recording.powerless.push_back({disk.image_without_power(random), done});
    };
    Session session;
    auto store = world.must_open(disk.name());
    // Looking changes nothing, so it makes no moments.
    recording.states.push_back(everything(*store));
    for (const Step& step : steps_of(session)) {
        world.calendar.now += 1000;
        REQUIRE(step(*store).ok());
        ++done;
        recording.states.push_back(everything(*store));
    }
    recording.powerless.push_back({disk.image_without_power(random), done});
    store.reset();
    recording.killed.push_back({disk.image(), done});
    return recording;
}

void check_moments(StoreTestWorld& world, const std::vector<Moment>& moments,
                   const std::vector<std::string>& states) {
    for (const Moment& moment : moments) {
        MemoryVfs disk("found", moment.files);
        auto store = world.must_open(disk.name());
        const std::string found = everything(*store);
        CHECK(store->report().notices.empty());
        const bool next = moment.done + 1 < states.size() && found == states[moment.done + 1];
        INFO("after ", moment.done, " calls");
        CHECK((found == states[moment.done] || next));
        // And it goes on.
        CHECK(store->create("afterwards").ok());
    }
}

}  // namespace

TEST_CASE("killed before any change of a file, the store has all that was done") {
    StoreTestWorld world;
    const Recording recording = record(world, 1);
    MESSAGE("kill points: ", recording.killed.size());
    CHECK(recording.killed.size() > 200);
    check_moments(world, recording.killed, recording.states);
}

TEST_CASE("without power before any change of a file, the store has all that was done") {
    for (const uint64_t seed : {2u, 3u}) {
        StoreTestWorld world;
        const Recording recording = record(world, seed);
        check_moments(world, recording.powerless, recording.states);
    }
}

TEST_CASE("on a full disk a call fails and changes nothing; with room the store goes on") {
    StoreTestWorld world;
    for (int64_t room = 0;; ++room) {
        MemoryVfs disk("full");
        Session session;
        auto store = world.must_open(disk.name());
        disk.writes_left = room;
        bool refused = false;
        for (const Step& step : steps_of(session)) {
            const std::string before = everything(*store);
            Status done = step(*store);
            if (!done.ok()) {
                refused = true;
                CHECK(done.error().code == ErrorCode::kNoSpace);
                CHECK(done.error().message.find("make room") != std::string::npos);
                CHECK(everything(*store) == before);
                disk.writes_left = -1;
                done = step(*store);
            }
            INFO((done.ok() ? std::string() : done.error().message));
            REQUIRE(done.ok());
        }
        const std::string end = everything(*store);
        store.reset();
        MemoryVfs later("later", disk.image());
        CHECK(everything(*world.must_open(later.name())) == end);
        if (!refused) break;
        REQUIRE(room < 1000);
    }
}

TEST_CASE("a disk that is full from the start gives a sentence, then a store") {
    StoreTestWorld world;
    for (int64_t room = 0; room < 40; ++room) {
        MemoryVfs disk("full");
        disk.writes_left = room;
        const auto refused = world.open(disk.name());
        if (refused.ok()) break;
        CHECK(refused.error().code == ErrorCode::kNoSpace);
        disk.writes_left = -1;
        CHECK(world.must_open(disk.name())->create("then").ok());
    }
}

}  // namespace millrace::test
