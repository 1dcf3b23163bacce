#include "ui/desk.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include "tests/ui/desk_world.h"

using namespace millrace;
using namespace millrace::test;

TEST_CASE("a first question makes a chat, is answered, and both are there after a restart") {
    const TempDirectory directory;
    {
        DeskWorld world(directory.path());
        CHECK_FALSE(world.desk->can_send());
        world.desk->set_draft("What is a mill?");
        CHECK_FALSE(world.desk->can_send());  // no model yet
        world.ready();
        CHECK(world.desk->can_send());
        world.desk->send();
        world.settle();
        REQUIRE(world.port->asked.size() == 1);
        CHECK(world.port->asked[0].messages.back().content == "What is a mill?");
        CHECK(world.desk->draft().empty());
        world.port->prefill(3, 10);
        world.settle();
        CHECK(world.state().running->doing == Running::Doing::kReading);
        world.port->grow("A ");
        world.port->grow("building.");
        world.settle();
        CHECK(world.shown() == "user: What is a mill? | assistant: A building.");
        world.port->finish();
        world.settle();
        CHECK_FALSE(world.state().running);
        CHECK(world.state().chat->summary.title == "What is a mill?");
        CHECK_FALSE(world.state().prompt.has_value());
        world.later(1);
        REQUIRE(world.state().prompt.has_value());
        CHECK(world.state().prompt->context.total() == 15 + 11);
    }
    DeskWorld again(directory.path());
    CHECK(again.shown() == "user: What is a mill? | assistant: A building.");
    CHECK(again.state().chats.size() == 1);
    CHECK(again.state().chat->branches.find(again.at(1))->state == MessageState::kWhole);
}

TEST_CASE("stopped, an answer goes on from its exact token with the seed that it began with") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("Count.");
    world.port->grow("one ");
    world.port->grow("two ");
    world.settle();
    world.desk->stop();
    CHECK(world.port->stops == 1);
    CHECK(world.state().running->doing == Running::Doing::kStopping);
    world.port->finish(FinishReason::kCancelled);
    world.settle();
    REQUIRE(world.desk->can_continue());
    world.desk->continue_answer();
    world.settle();
    REQUIRE(world.port->asked.size() == 2);
    CHECK(world.port->asked[1].so_far == std::vector<int32_t>{100, 101});
    CHECK(world.port->asked[1].seed == world.port->asked[0].seed);
    CHECK(world.port->asked[1].messages.size() == world.port->asked[0].messages.size());
    world.answer("three");
    CHECK(world.shown() == "user: Count. | assistant: one two three");
    CHECK_FALSE(world.desk->can_continue());
}

TEST_CASE("an answer that went on has thought as long as both parts did") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("Why?");
    world.port->grow("", "Hm ");
    world.settle();
    world.now_s += 3;
    world.port->grow("Because ");
    world.settle();
    world.desk->stop();
    world.port->finish(FinishReason::kCancelled);
    world.settle();
    world.desk->continue_answer();
    world.answer("so.");
    CHECK(facts_of(*world.state().chat->branches.find(world.at(1))).thought_s == 3);
}

TEST_CASE("an answer that the program's end cut off is there and can go on") {
    const TempDirectory directory;
    {
        DeskWorld world(directory.path());
        world.ready();
        world.send("Tell.");
        world.port->grow("Once");
        world.settle();
        world.later(2);
        // In the store while it grows, not only when the program ends in order.
        CHECK(world.store->read(world.state().chat->summary.id)->messages.back().content == "Once");
    }
    DeskWorld again(directory.path());
    CHECK(again.shown() == "user: Tell. | assistant: Once");
    again.ready();
    CHECK(again.desk->can_continue());
}

TEST_CASE("editing a question makes a version, the arrows lead back, undo too") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("Hello");
    world.answer("Hi");
    const MessageId first = world.at(0);
    world.desk->edit(first, "Good day");
    world.settle();
    REQUIRE(world.port->asked.size() == 2);
    world.answer("Sir");
    CHECK(world.shown() == "user: Good day | assistant: Sir");
    const Branches::Version version = world.state().chat->branches.version_of(world.at(0));
    CHECK(version.number == 2);
    CHECK(version.count == 2);
    world.desk->show_version(version.before);
    world.settle();
    CHECK(world.shown() == "user: Hello | assistant: Hi");
    world.desk->show_version(world.state().chat->branches.version_of(first).after);
    CHECK(world.shown() == "user: Good day | assistant: Sir");
    world.desk->undo();
    world.settle();
    CHECK(world.shown() == "user: Hello | assistant: Hi");
}

TEST_CASE("answering again makes a second answer beside the first") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("Dice?");
    world.answer("Four");
    world.desk->regenerate(world.at(1));
    world.settle();
    world.answer("Six");
    CHECK(world.shown() == "user: Dice? | assistant: Six");
    CHECK(world.state().chat->branches.version_of(world.at(1)).count == 2);
    CHECK(world.port->asked[0].seed != world.port->asked[1].seed);
}

TEST_CASE("what is deleted can be taken back: a message, a chat") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("a");
    world.answer("b");
    world.send("c");
    world.answer("d");
    world.desk->remove_message(world.at(2));
    world.settle();
    CHECK(world.shown() == "user: a | assistant: b");
    CHECK(world.desk->undo_name() == "Delete message");
    world.desk->undo();
    world.settle();
    CHECK(world.shown() == "user: a | assistant: b | user: c | assistant: d");
    const ChatId chat = world.state().chat->summary.id;
    world.desk->remove_chat(chat);
    world.settle();
    CHECK(world.state().chats.empty());
    CHECK(world.state().bin.size() == 1);
    CHECK_FALSE(world.state().chat);
    world.desk->undo();
    world.settle();
    CHECK(world.state().bin.empty());
    CHECK(world.shown() == "user: a | assistant: b | user: c | assistant: d");
}

TEST_CASE("a chat that is left goes on being answered, and shows all of it when one comes back") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("Long story");
    const ChatId chat = world.state().chat->summary.id;
    world.port->grow("Once ");
    world.settle();
    world.desk->new_chat();
    world.settle();
    CHECK(world.shown().empty());
    world.port->grow("upon ");
    world.settle();
    world.desk->open_chat(chat);
    world.settle();
    CHECK(world.shown() == "user: Long story | assistant: Once upon ");
    world.desk->new_chat();
    world.port->grow("a time");
    world.port->finish();
    world.settle();
    world.desk->open_chat(chat);
    world.settle();
    CHECK(world.shown() == "user: Long story | assistant: Once upon a time");
}

TEST_CASE("drafts are kept within a second, each chat its own") {
    const TempDirectory directory;
    {
        DeskWorld world(directory.path());
        world.ready();
        world.send("First");
        world.answer("Answer");
        const ChatId chat = world.state().chat->summary.id;
        world.desk->set_draft("half a thou");
        world.later(0.7);
        CHECK(world.store->read(chat)->draft == "half a thou");
        world.desk->new_chat();
        world.desk->set_draft("another");
        world.later(0.7);
        CHECK(*world.store->value("draft") == "another");
    }
    DeskWorld again(directory.path());
    CHECK(again.desk->draft() == "another");
    again.desk->open_chat(again.state().chats[0].id);
    again.settle();
    CHECK(again.desk->draft() == "half a thou");
}

TEST_CASE("an answer that fails keeps what came, says why, and can go on") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("Read");
    world.port->grow("Partly");
    world.port->fail("the drive gave an error at expert 3 of layer 7");
    world.settle();
    CHECK(world.shown() == "user: Read | assistant: Partly");
    CHECK(world.state().notices.back().text.find("layer 7") != std::string::npos);
    CHECK(world.state().notices.back().bad);
    CHECK(world.desk->can_continue());
}

TEST_CASE("a model that cannot be opened is told, and chats are still there") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.port->closed("/models/x has no config.json");
    world.settle();
    CHECK(world.state().model.phase == ModelPhase::kClosed);
    CHECK(world.state().model.text == "/models/x has no config.json");
    world.desk->set_draft("Hello?");
    CHECK_FALSE(world.desk->can_send());
    world.desk->send();
    world.settle();
    CHECK(world.desk->draft() == "Hello?");
    CHECK(world.port->asked.empty());
}

TEST_CASE("without a store one can chat, and is told that it is not kept") {
    const TempDirectory directory;
    // A file where the directory should be.
    std::ofstream(directory.path() / "state") << "x";
    DeskWorld world(directory.path());
    CHECK(world.state().store_failed);
    CHECK_FALSE(world.state().store_text.empty());
    world.ready();
    world.send("Still there?");
    world.answer("Yes");
    CHECK(world.shown() == "user: Still there? | assistant: Yes");
}

TEST_CASE("settings are kept, of the program and of a chat") {
    const TempDirectory directory;
    {
        DeskWorld world(directory.path());
        world.ready();
        world.desk->change([](Settings& settings) {
            settings.theme = ThemeName::kLight;
            settings.zoom_percent = 175;
        });
        world.settle();
        world.send("x");
        world.answer("y");
        world.desk->change_chat([](ChatSettings& settings) {
            settings.system = "Be brief.";
            settings.think = "high";
        });
        world.settle();
    }
    DeskWorld again(directory.path());
    CHECK(again.state().settings.theme == ThemeName::kLight);
    CHECK(again.state().settings.zoom_percent == 175);
    CHECK(again.desk->chat_settings().system == "Be brief.");
    again.ready();
    again.send("z");
    CHECK(again.port->asked[0].messages[0].content == "Be brief.");
    CHECK(again.port->asked[0].options.think == "high");
}

TEST_CASE("search finds words in messages of other chats") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("the termination clause");
    world.answer("Section nine.");
    world.desk->new_chat();
    world.send("weather");
    world.answer("Rain");
    world.desk->search("clause");
    world.settle();
    REQUIRE(world.state().search.found.size() >= 1);
    CHECK_FALSE(world.state().search.running);
    world.desk->open_chat(world.state().search.found[0].chat,
                          world.state().search.found[0].message);
    world.settle();
    CHECK(world.shown() == "user: the termination clause | assistant: Section nine.");
}

TEST_CASE("many chats and messages: random deeds agree with a list of what was said") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    uint64_t state = 88172645463325252U;
    const auto random = [&](uint64_t below) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state % below;
    };
    std::string before;
    for (int step = 0; step < 120; ++step) {
        const size_t count = world.state().chat ? world.state().chat->branches.shown().size() : 0;
        switch (random(6)) {
            case 0:
            case 1:
                world.send(std::to_string(step));
                world.answer("re " + std::to_string(step));
                break;
            case 2:
                if (count > 0)
                    world.desk->edit(world.at(random(count)), "edited " + std::to_string(step));
                world.settle();
                if (world.state().running) world.answer("re edited");
                break;
            case 3:
                if (count > 0) world.desk->remove_message(world.at(random(count)));
                world.settle();
                break;
            case 4:
                before = world.shown();
                if (count > 1) {
                    world.desk->remove_message(world.at(random(count)));
                    world.settle();
                    world.desk->undo();
                    world.settle();
                    CHECK(world.shown() == before);
                }
                break;
            default:
                if (world.desk->can_undo()) world.desk->undo();
                world.settle();
                break;
        }
        // What is in memory is what the store has.
        if (!world.state().chat) continue;
        before = world.shown();
        world.desk->open_chat(world.state().chat->summary.id);
        world.settle();
        REQUIRE(world.shown() == before);
    }
}

TEST_CASE(
    "on a full disk nothing is lost: the draft stays, no answer waits for ever, and it goes on "
    "with room") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("First");
    world.answer("Answer");
    world.store->refuses = true;
    world.send("Second");
    CHECK(world.shown() == "user: First | assistant: Answer");
    CHECK(world.desk->draft() == "Second");
    CHECK_FALSE(world.state().running);
    CHECK(world.state().notices.back().text.find("full") != std::string::npos);
    world.desk->regenerate(world.at(1));
    world.settle();
    CHECK_FALSE(world.state().running);
    CHECK(world.port->asked.size() == 1);
    world.store->refuses = false;
    world.desk->send();
    world.settle();
    REQUIRE(world.port->asked.size() == 2);
    // Full while the answer grows: what came is shown, told once, and saved when there is room again.
    world.store->refuses = true;
    world.port->grow("Grown");
    world.later(2);
    world.later(2);
    CHECK(std::ranges::count_if(world.state().notices, [](const Notice& notice) {
              return notice.text.find("saving the answer") != std::string::npos;
          }) == 1);
    world.store->refuses = false;
    world.port->finish();
    world.settle();
    CHECK(world.store->read(world.state().chat->summary.id)->messages.back().content == "Grown");
}

TEST_CASE("an export never takes the place of a file that is there") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.send("Title");
    world.answer("Text");
    const Path first = world.desk->export_path(ExportFormat::kMarkdown);
    world.desk->export_chat_to(first, ExportFormat::kMarkdown, ExportWhat::kBranch);
    world.settle();
    CHECK(world.desk->export_path(ExportFormat::kMarkdown) != first);
    std::ofstream(first) << "mine";
    world.desk->export_chat_to(first, ExportFormat::kMarkdown, ExportWhat::kBranch);
    world.settle();
    CHECK(world.state().notices.back().bad);
    std::ifstream file(first);
    CHECK(std::string(std::istreambuf_iterator<char>(file), {}) == "mine");
}

TEST_CASE("what is counted is what would be sent next") {
    const TempDirectory directory;
    DeskWorld world(directory.path());
    world.ready();
    world.later(1);
    CHECK(world.port->counted.empty());  // a new chat, and nothing written
    CHECK(world.state().prompt->context.total() == 0);
    world.desk->set_draft("One?");
    world.later(1);
    REQUIRE(world.port->counted.size() == 1);
    CHECK(world.port->counted.back().messages.empty());
    CHECK(world.port->counted.back().draft == "One?");
    world.send("One?");
    world.answer("Uno.");
    world.later(1);
    // Answered: the question that follows, although none of it is written yet.
    CHECK(world.port->counted.back().messages.size() == 2);
    CHECK(world.port->counted.back().draft == "");
    CHECK(world.state().prompt->context.of(ContextKind::kHistory) == 8);
    world.send("Two?");
    world.port->grow("D", "so");
    world.port->finish(FinishReason::kCancelled);
    world.settle();
    world.later(1);
    // Stopped: the answer that goes on, by its own tokens.
    CHECK(world.port->counted.back().messages.size() == 3);
    CHECK_FALSE(world.port->counted.back().draft.has_value());
    CHECK(world.port->counted.back().so_far.size() == 1);
    world.desk->set_draft("Three?");
    world.later(1);
    CHECK(world.port->counted.back().messages.size() == 4);
    CHECK(world.port->counted.back().so_far.empty());
    CHECK(world.state().prompt->context.of(ContextKind::kThinking) == 2);
    CHECK(world.state().prompt->context.of(ContextKind::kDraft) == 6);
    // Another chat begins with nothing known.
    world.desk->new_chat();
    CHECK_FALSE(world.state().prompt.has_value());
}

TEST_CASE(
    "how fast a prompt is read is measured, kept with the answer, and forgotten with the model") {
    const TempDirectory directory;
    {
        DeskWorld world(directory.path());
        world.ready();
        world.port->stats.prompt_tokens = 1000;
        world.port->stats.reused_tokens = 200;
        world.port->stats.prefill_ns = 4'000'000'000;
        world.send("One?");
        world.answer("Uno.");
        CHECK(world.state().prefill_rate == 200);
        // A few tokens tell nothing.
        world.port->stats.reused_tokens = 990;
        world.send("Two?");
        world.answer("Due.");
        CHECK(world.state().prefill_rate == 200);
        world.desk->open_model("/another");
        ModelReport opening;
        world.port->say(opening);
        world.settle();
        CHECK(world.state().prefill_rate == 0);
    }
    DeskWorld again(directory.path());
    again.ready();
    again.later(1);
    CHECK(again.state().prefill_rate == 0);
    CHECK(again.state().prefill_rate_before == 200);
}
