#include "ui/shell.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "core/base/strings.h"
#include "tests/ui/shell_world.h"
#include "ui/commands.h"
#include "ui/plot_scale.h"

using namespace millrace;
using namespace millrace::test;

namespace {

// A chat of ten thousand messages, to be imported.
Path many_messages(const Path& directory) {
    const Path path = directory / "many.json";
    std::ofstream file(path);
    file << "[";
    for (int i = 0; i < 10000; ++i) {
        file << (i > 0 ? "," : "") << R"({"role":")" << (i % 2 == 0 ? "user" : "assistant")
             << R"(","content":"message )" << i << R"( with **some** words"})";
    }
    file << "]";
    return path;
}

}  // namespace

TEST_CASE("one types a question, presses Enter, and reads the answer") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.frames(3);
    CHECK(world.focused_name() == "Message");
    world.type("Wo liegt die Mühle?");
    CHECK(world.desk_world.desk->draft() == "Wo liegt die Mühle?");
    world.key("Enter");
    REQUIRE(world.desk_world.port->asked.size() == 1);
    CHECK(world.find("Stop") != nullptr);
    world.desk_world.port->prefill(50, 200);
    world.frame();
    CHECK(world.find("Pause") != nullptr);
    world.desk_world.answer("Am **Bach**.");
    world.frames(3);
    CHECK(world.find("Stop") == nullptr);
    CHECK(world.find("Again") != nullptr);
    CHECK(world.find("Wo liegt die Mühle?") != nullptr);  // the chat's row
}

TEST_CASE("Shift+Enter breaks the line, Escape stops, Continue goes on") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.frames(2);
    world.type("one");
    world.key("Shift+Enter");
    world.type("two");
    CHECK(world.desk_world.desk->draft() == "one\ntwo");
    world.key("Enter");
    world.desk_world.port->grow("Half");
    world.frame();
    world.key("Esc");
    CHECK(world.desk_world.port->stops == 1);
    world.desk_world.port->finish(FinishReason::kCancelled);
    world.frames(2);
    REQUIRE(world.click("Continue"));
    CHECK(world.desk_world.port->asked.size() == 2);
    world.desk_world.port->finish(FinishReason::kCancelled);
    world.frames(2);
    // The composer has the keyboard and takes Enter, but not this one.
    REQUIRE(world.click("Message"));
    world.key("Ctrl+Shift+Enter");
    CHECK(world.desk_world.port->asked.size() == 3);
    CHECK(world.desk_world.desk->draft().empty());
}

TEST_CASE(
    "every screen can be reached by keys, draws itself, and Tab walks over all of its controls") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.desk_world.send("Question");
    world.desk_world.answer("Answer");
    for (const char* chord : {"Ctrl+1", "Ctrl+2", "Ctrl+3", "Ctrl+4", "Ctrl+5", "Ctrl+,"}) {
        CAPTURE(chord);
        world.key(chord);
        std::set<uint32_t> wanted, seen;
        for (const Thing& thing : world.ui->things()) {
            const bool walks = thing.role != ThingRole::kPlot && thing.role != ThingRole::kText &&
                               thing.role != ThingRole::kHandle;
            if (walks && thing.enabled) wanted.insert(thing.id);
            CHECK_FALSE(thing.name.empty());
        }
        for (size_t i = 0; i < wanted.size() + 2; ++i) {
            world.key("Tab");
            seen.insert(world.ui->focused());
        }
        for (const uint32_t id : wanted) CHECK(seen.contains(id));
    }
}

TEST_CASE("no two things that can be used at the same time have one id") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.desk_world.send("Question");
    world.desk_world.answer("Answer");
    for (const char* chord :
         {"Ctrl+1", "Ctrl+2", "Ctrl+3", "Ctrl+4", "Ctrl+5", "Ctrl+,", "Ctrl+K"}) {
        world.key(chord);
        std::set<uint32_t> ids;
        for (const Thing& thing : world.ui->things()) {
            CAPTURE(thing.name);
            CHECK(ids.insert(thing.id).second);
        }
    }
}

TEST_CASE("every command can be run from the palette, in any state, and nothing breaks") {
    if (skipped()) return;
    for (const bool chat : {false, true}) {
        const TempDirectory directory;
        ShellWorld world(directory.path());
        if (chat) {
            world.desk_world.ready();
            world.desk_world.send("Question");
            world.desk_world.answer("Answer");
        }
        for (const Command& command : commands()) {
            if (command.id == "program.quit") continue;
            CAPTURE(command.id);
            world.key("Ctrl+K");
            CHECK(world.view->palette_open);
            world.type(command.name);
            world.key("Enter");
            CHECK_FALSE((world.view->palette_open && command.id != "view.palette"));
            world.frames(2);
            for (int i = 0; i < 3; ++i) world.key("Esc");
        }
    }
}

TEST_CASE("a dialogue takes the keyboard, Escape leaves it, Enter does it") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.desk_world.send("Old name");
    world.desk_world.answer("x");
    world.frames(2);
    world.key("F2");
    CHECK(world.focused_name() == "Rename chat");
    world.key("Esc");
    CHECK(world.view->dialog.kind == DialogKind::kNone);
    world.key("F2");
    world.type("New name");
    world.key("Enter");
    world.frames(2);
    CHECK(world.desk_world.state().chat->summary.title == "New name");
    world.key("Tab");
    world.key("Ctrl+Z");
    CHECK(world.desk_world.state().chat->summary.title == "Old name");
}

TEST_CASE("find in a chat counts, marks and steps through what it finds") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.desk_world.send("the clause");
    world.desk_world.answer("Clause 9 and clause 10.");
    world.frames(2);
    world.key("Ctrl+F");
    world.type("clause");
    world.frames(2);
    CHECK(world.view->found.size() == 3);
    CHECK(world.view->found_here == 0);
    REQUIRE(world.click("Next"));
    CHECK(world.view->found_here == 1);
    REQUIRE(world.click("Prev"));
    REQUIRE(world.click("Prev"));
    CHECK(world.view->found_here == 2);
    REQUIRE(world.click("Find in this chat"));
    world.key("Esc");
    CHECK_FALSE(world.view->find_open);
}

TEST_CASE("the key of the search over all chats goes to its field, also from the composer") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.desk_world.send("The wheel turns.");
    world.desk_world.answer("It does.");
    REQUIRE(world.click("Message"));
    world.key("Ctrl+Shift+F");
    CHECK(world.focused_name() == "Search all chats");
    world.type("wheel");
    CHECK(world.desk_world.desk->draft().empty());
    REQUIRE_FALSE(world.desk_world.state().search.found.empty());
    world.key("Esc");
    CHECK(world.focused_name() == "Message");
}

TEST_CASE("text is selected over messages and copied as it was written") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.desk_world.send("first");
    world.desk_world.answer("second **bold** end");
    world.frames(3);
    const Thing* zone = world.find("conversation");
    REQUIRE(zone != nullptr);
    const Box box = zone->box;
    world.drag(box.left + 2, box.top + 2, box.right - 20, box.bottom - 30);
    CHECK_FALSE(world.view->selection_empty());
    world.key("Tab");  // the keyboard leaves the composer, whose own copy comes first
    world.key("Ctrl+C");
    CHECK(world.clipboard.text == "first\n\nsecond **bold** end");
    world.key("Ctrl+Shift+C");
    CHECK(world.clipboard.text == "first\n\nsecond bold end");
}

TEST_CASE("what is selected is pasted by the middle button, in the chat and in a field") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.desk_world.send("first");
    world.desk_world.answer("second **bold** end");
    world.frames(3);
    const auto middle_click = [&](const Box& box) {
        world.point(box.left + 20, (box.top + box.bottom) / 2);
        world.input.middle.pressed = true;
        world.frame();
        world.input.middle.pressed = false;
        world.frames(2);
    };
    const Thing* zone = world.find("conversation");
    REQUIRE(zone != nullptr);
    const Box box = zone->box;
    world.drag(box.left + 2, box.top + 2, box.right - 20, box.bottom - 30);
    CHECK(world.clipboard.primary == "first\n\nsecond bold end");
    CHECK(world.clipboard.text.empty());
    const Thing* composer = world.find("Message");
    REQUIRE(composer != nullptr);
    world.clipboard.primary = "from elsewhere";
    middle_click(composer->box);
    CHECK(world.desk_world.desk->draft() == "from elsewhere");
    // Selected in the field, by the keyboard: offered as well.
    world.key("Shift+Home");
    CHECK(world.clipboard.primary == "from elsewhere");
    world.key("End");
    world.clipboard.primary = "";
    world.key("Ctrl+Shift+Left");
    CHECK(world.clipboard.primary == "elsewhere");
}

TEST_CASE("the view follows the answer at the end, and stands still for somebody who reads above") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    std::string lines;
    for (int i = 0; i < 60; ++i) lines += "line " + std::to_string(i) + "\n\n";
    world.desk_world.send("Tell");
    world.desk_world.port->grow(lines);
    world.frames(4);
    CHECK(world.view->chat_scroll.at_end);
    const Thing* zone = world.find("conversation");
    REQUIRE(zone != nullptr);
    world.point((zone->box.left + zone->box.right) / 2, (zone->box.top + zone->box.bottom) / 2);
    world.input.wheel = 5;
    world.frames(2);
    CHECK_FALSE(world.view->chat_scroll.at_end);
    const float stood = world.view->chat_scroll.offset;
    for (int i = 0; i < 10; ++i) {
        world.desk_world.port->grow("more and more\n\n");
        world.frame();
        CHECK(world.view->chat_scroll.offset == stood);
    }
    REQUIRE(world.click("Follow the answer"));
    world.frames(3);
    CHECK(world.view->chat_scroll.at_end);
}

TEST_CASE("every message's actions are reached by keyboard, also those of messages scrolled out") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    std::string long_answer;
    for (int i = 0; i < 12; ++i) long_answer += "a line of it\n\n";
    constexpr size_t kPairs = 6;
    for (size_t i = 0; i < kPairs; ++i) {
        world.desk_world.send("question " + std::to_string(i));
        world.desk_world.answer(long_answer + "answer " + std::to_string(i));
        world.frames(2);
    }
    world.frames(4);
    // The pointer is far from all of them: it uncovers nothing.
    world.point(5, 5);
    const auto edits = [&] {
        return std::ranges::count(world.ui->things(), std::string("Edit"), &Thing::name);
    };
    CHECK(edits() <= 2);
    const Branches& branches = world.desk_world.state().chat->branches;
    std::set<MessageId> reached;
    // From the end to the beginning, a page at a time; on each, every Edit that Tab comes to is opened.
    for (int page = 0; page < 12 && reached.size() < 2 * kPairs; ++page) {
        world.key("Tab");
        std::set<uint32_t> walked;
        while (walked.insert(world.ui->focused()).second) {
            if (world.focused_name() == "Edit") {
                const uint32_t here = world.ui->focused();
                world.key("Enter");
                REQUIRE(world.view->dialog.kind == DialogKind::kEdit);
                reached.insert(world.view->dialog.message);
                CHECK(world.view->dialog_text->text() ==
                      branches.find(world.view->dialog.message)->content);
                world.key("Esc");
                REQUIRE(world.view->dialog.kind == DialogKind::kNone);
                world.ui->focus(here);
                world.frame();
            }
            world.key("Tab");
        }
        world.key("PageUp");
    }
    CHECK(reached.size() == 2 * kPairs);
    for (const MessageId id : branches.shown()) CHECK(reached.contains(id));
    CHECK(world.view->chat_scroll.offset < 50);
}

TEST_CASE("a chat of ten thousand messages is drawn from what is seen, and keeps its place") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.desk->import_from(many_messages(directory.path()));
    world.frames(2);
    REQUIRE(world.desk_world.state().chats.size() == 1);
    world.desk_world.desk->open_chat(world.desk_world.state().chats[0].id);
    world.frames(4);
    REQUIRE(world.desk_world.state().chat);
    CHECK(world.desk_world.state().chat->branches.size() == 10000);
    CHECK(world.view->texts.size() < 60);
    CHECK(world.view->chat_scroll.at_end);
    for (int i = 0; i < 20; ++i) {
        const Thing* zone = world.find("conversation");
        world.point((zone->box.left + zone->box.right) / 2, (zone->box.top + zone->box.bottom) / 2);
        world.input.wheel = 40;
        world.frame();
    }
    CHECK(world.view->texts.size() < 400);
}

TEST_CASE("what is hostile in a message is shown, not obeyed, and nothing breaks") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    std::string quotes(10000, '>'), word(1 << 20, 'x');
    const std::string bidi =
        "pay \xE2\x80\xAE"
        "001$\xE2\x80\xAC now \x01\x02\x7F";
    for (const std::string& text :
         {quotes, word, bidi, std::string("**"), std::string("\xff\xfe broken"),
          std::string(100000, '*'), std::string("| a |\n|---|\n") + std::string(50000, '|')}) {
        world.desk_world.send("q");
        world.desk_world.answer(text);
        world.frames(3);
    }
    CHECK(world.desk_world.state().chat->branches.size() == 14);
}

TEST_CASE("any size of window and text: all that is there lies in the window") {
    if (skipped()) return;
    for (const auto& [width, height, zoom] :
         {std::tuple(640.F, 480.F, 100), std::tuple(640.F, 480.F, 250),
          std::tuple(3840.F, 2160.F, 250), std::tuple(1440.F, 900.F, 75)}) {
        const TempDirectory directory;
        ShellWorld world(directory.path(), width, height);
        world.desk_world.desk->change(
            [percent = zoom](Settings& settings) { settings.zoom_percent = percent; });
        world.desk_world.ready();
        world.desk_world.send("Question");
        world.desk_world.answer("Answer");
        world.frames(4);
        const Thing* message = world.find("Message");
        REQUIRE(message != nullptr);
        CHECK(message->box.left >= 0);
        CHECK(message->box.right <= width);
        CHECK(message->box.bottom <= height);
        CHECK(message->box.width() > 60);
    }
}

TEST_CASE("what lies in the bin is erased only after a question") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    world.desk_world.ready();
    world.desk_world.send("Old");
    world.desk_world.answer("x");
    world.desk_world.desk->remove_chat(world.desk_world.state().chat->summary.id);
    world.frames(2);
    REQUIRE(world.click("Bin"));
    REQUIRE(world.click("Erase"));
    CHECK(world.desk_world.state().bin.size() == 1);
    REQUIRE(world.click("Cancel"));
    CHECK(world.desk_world.state().bin.size() == 1);
    REQUIRE(world.click("Erase"));
    world.frames(2);
    REQUIRE(world.click("Erase"));  // of the dialogue, which lies in front
    CHECK(world.desk_world.state().bin.empty());
}

TEST_CASE("the context bar says what is in it, under the pointer and under the keyboard") {
    if (skipped()) return;
    for (const auto& [width, zoom] : {std::pair(1440.F, 100), std::pair(640.F, 100),
                                      std::pair(640.F, 250), std::pair(1440.F, 250)}) {
        CAPTURE(width);
        CAPTURE(zoom);
        const TempDirectory directory;
        ShellWorld world(directory.path(), width, 900);
        world.desk_world.desk->change(
            [percent = zoom](Settings& settings) { settings.zoom_percent = percent; });
        world.desk_world.ready();
        world.desk_world.port->known = 14;
        world.desk_world.send("Question");
        world.desk_world.answer("Answer");
        world.frames(2);
        world.type("More");
        world.desk_world.later(1);
        world.frames(3);
        const std::string name = cat("Context: 18 of ", count_text(8192), " tokens. Ready");
        const Thing* bar = world.find(name);
        REQUIRE(bar != nullptr);
        CHECK(bar->box.left >= 0);
        CHECK(bar->box.right <= width);
        CHECK(bar->box.bottom <= 900);
        CHECK(bar->box.width() > 60);
        const std::string history = "History: 14 tokens, 0.2 %";
        CHECK(world.find(history) == nullptr);
        world.point((bar->box.left + bar->box.right) / 2, (bar->box.top + bar->box.bottom) / 2);
        world.frame();
        const std::vector<std::string> lines = {history,
                                                "Draft: 4 tokens, < 0.1 %",
                                                "System: 0 tokens, 0.0 %",
                                                "Thinking: 0 tokens, 0.0 %",
                                                cat("Free: ", count_text(8174), " tokens, 99.8 %"),
                                                "The model still knows 14 of these tokens."};
        for (const std::string& line : lines) {
            CAPTURE(line);
            const Thing* shown = world.find(line);
            REQUIRE(shown != nullptr);
            CHECK(shown->box.left >= 0);
            CHECK(shown->box.right <= width);
            CHECK(shown->box.top >= 0);
        }
        world.point(5, 5);
        CHECK(world.find(history) == nullptr);
        for (int i = 0; i < 60 && world.focused_name() != name; ++i) world.key("Tab");
        CHECK(world.focused_name() == name);
        CHECK(world.find(history) != nullptr);
    }
}

TEST_CASE("the overview of branches: the arrows walk, Enter shows, Escape leaves") {
    if (skipped()) return;
    const TempDirectory directory;
    ShellWorld world(directory.path());
    DeskWorld& desk_world = world.desk_world;
    desk_world.ready();
    desk_world.send("Question");
    desk_world.answer("First");
    world.key("Ctrl+Shift+B");
    CHECK(world.view->branches.open);
    CHECK(world.view->branches.map.branches() == 1);
    CHECK(world.focused_name() == "Answer: First, shown");
    world.key("Esc");
    CHECK_FALSE(world.view->branches.open);
    CHECK(desk_world.port->stops == 0);
    CHECK(world.focused_name() == "Message");

    desk_world.desk->regenerate(desk_world.at(1));
    desk_world.settle();
    desk_world.answer("Second");
    desk_world.send("More");
    desk_world.answer("End");
    world.frames(2);
    REQUIRE(world.click("More"));  // the chat's menu
    REQUIRE(world.click("Branches of this chat"));
    CHECK(world.view->branches.map.branches() == 2);
    CHECK(world.focused_name() == "Answer: End, shown");
    world.key("Home");
    CHECK(world.focused_name() == "You: Question, shown");
    world.key("Down");
    CHECK(world.focused_name() == "Answer: First, version 1 of 2");
    world.key("Right");
    CHECK(world.focused_name() == "Answer: Second, version 2 of 2, shown");
    world.key("Left");
    world.key("Enter");
    CHECK_FALSE(world.view->branches.open);
    CHECK(desk_world.shown() == "user: Question | assistant: First");

    // What is on the branch that is shown is gone to, and stays shown.
    world.key("Ctrl+Shift+B");
    REQUIRE(world.click("Answer: End"));
    CHECK(desk_world.shown() == "user: Question | assistant: Second | user: More | assistant: End");
    world.key("Ctrl+Shift+B");
    REQUIRE(world.click("Answer: Second, version 2 of 2, shown"));
    CHECK(desk_world.shown() == "user: Question | assistant: Second | user: More | assistant: End");
    world.key("Ctrl+Shift+B");
    std::set<std::string> reached;
    for (int i = 0; i < 6; ++i) {
        world.key("Tab");
        reached.insert(world.focused_name());
    }
    CHECK(reached.size() == 6);  // five messages and Close
    REQUIRE(world.click("Close"));
    CHECK_FALSE(world.view->branches.open);
}

TEST_CASE(
    "the overview of a chat of ten thousand messages draws what is seen, Tab goes through all") {
    if (skipped()) return;
    for (const auto& [width, height, zoom] :
         {std::tuple(1440.F, 900.F, 100), std::tuple(640.F, 480.F, 250)}) {
        const TempDirectory directory;
        ShellWorld world(directory.path(), width, height);
        Desk& desk = *world.desk_world.desk;
        desk.change([percent = zoom](Settings& settings) { settings.zoom_percent = percent; });
        desk.import_from(many_messages(directory.path()));
        world.frames(2);
        desk.open_chat(world.desk_world.state().chats[0].id);
        world.frames(2);
        world.key("Ctrl+Shift+B");
        CHECK(world.view->branches.map.rows().size() == 10000);
        CHECK(world.focused_name() == "Answer: message 9999 with **some** words, shown");
        const auto rows = [&] {
            size_t count = 0;
            for (const Thing& thing : world.ui->things()) {
                if (thing.layer == 0 || thing.role != ThingRole::kRow) continue;
                ++count;
                CHECK(thing.box.left >= 0);
                CHECK(thing.box.right <= width);
            }
            return count;
        };
        CHECK(rows() > 0);
        CHECK(rows() < 40);
        world.key("Home");
        CHECK(world.focused_name() == "You: message 0 with **some** words, shown");
        for (int i = 0; i < 30; ++i) world.key("Tab");
        CHECK(world.focused_name() == "You: message 30 with **some** words, shown");
        world.key("PageDown");
        CHECK(world.focused_name() != "You: message 30 with **some** words, shown");
        CHECK(rows() < 40);
        world.key("Enter");
        CHECK_FALSE(world.view->branches.open);
        CHECK(world.desk_world.state().chat->branches.shown().size() == 10000);
        CHECK_FALSE(world.view->chat_scroll.at_end);
    }
}
