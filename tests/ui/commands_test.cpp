#include "ui/commands.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "ui/input.h"

using namespace millrace;

TEST_CASE("every command has a name, a key of its own, and something to do") {
    std::set<std::string_view> ids;
    std::map<std::string, std::string_view> chords;
    for (const Command& command : commands()) {
        CAPTURE(command.id);
        CHECK(ids.insert(command.id).second);
        CHECK_FALSE(command.name.empty());
        CHECK((command.run != nullptr));
        const Chord chord = chord_named(command.chord);
        CHECK(chord.key != Key::kNone);
        CHECK(name_of(chord) == command.chord);
        CHECK(chords.emplace(command.chord, command.id).second);
        CHECK(command_named(command.id) == &command);
    }
}

TEST_CASE("a person's own key takes the place of the usual one") {
    Settings settings;
    const Command& command = *command_named("chat.new");
    CHECK(name_of(chord_of(command, settings)) == "Ctrl+N");
    settings.keys["chat.new"] = "Alt+F9";
    CHECK(name_of(chord_of(command, settings)) == "Alt+F9");
    settings.keys["chat.new"] = "";
    CHECK(chord_of(command, settings).key == Key::kNone);
}

TEST_CASE("the palette finds by the letters of a name, the closest first") {
    REQUIRE_FALSE(matching("new ch").empty());
    CHECK(matching("new ch").front()->id == "chat.new");
    CHECK(matching("exphtml").front()->id == "file.html");
    CHECK(matching("qqq").empty());
    CHECK(matching("").size() == commands().size());
}

TEST_CASE("chords read back what they are called") {
    for (const char* name : {"Ctrl+K", "Ctrl+Alt+Shift+F12", "Esc", "Shift+Tab", "Alt+Left",
                             "Ctrl+,", "Ctrl+=", "Ctrl+-"}) {
        CHECK(name_of(chord_named(name)) == name);
    }
    CHECK(chord_named("Ctrl+Nonsense").key == Key::kNone);
    CHECK(chord_named("").key == Key::kNone);
}
