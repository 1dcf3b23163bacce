// The pointer over a token of an answer, beside the engine's pane; and the keyboard in its strip.

#include <doctest/doctest.h>

#include <cmath>

#include "tests/ui/fed_world.h"
#include "tests/ui/shell_world.h"

namespace millrace::test {
namespace {

// An answer whose tokens the engine counts as FedWorld's: the first at position 100.
struct World {
    explicit World(bool pane = true) : shell(directory.path()) {
        shell.desk_world.ready();
        shell.desk_world.port->fed = engine.feed.get();
        shell.desk_world.desk->change([&](Settings& settings) { settings.engine_pane = pane; });
        shell.desk_world.send("Question");
    }
    void grow(std::vector<std::string> bytes, const std::string& content,
              const std::string& reasoning = "") {
        for (size_t i = 0; i < bytes.size(); ++i) engine.decode(decoded++);
        shell.desk_world.port->grow_tokens(std::move(bytes), content, reasoning);
        shell.frames(2);
    }
    // Each word a token.
    void grow_words(const std::vector<std::string>& words) {
        for (const std::string& word : words) grow({word}, word);
    }
    void finish() {
        shell.desk_world.port->finish();
        shell.frames(4);
    }
    ScriptedPort& port() { return *shell.desk_world.port; }
    const EngineViewState& view() const { return shell.view->engine; }
    const std::optional<TextToken>& looked() const { return view().text_token; }
    std::string card() const {
        for (const Thing& thing : shell.ui->things()) {
            if (thing.name.starts_with("Token “") || thing.name.starts_with("Token part") ||
                thing.name.starts_with("Token nothing"))
                return thing.name;
        }
        return "";
    }
    bool card_says(std::string_view words) const { return card().find(words) != std::string::npos; }

    // Where a byte of the answer's text is on the screen.
    Box place(size_t byte, bool reasoning = false) {
        const Thing* zone = shell.find("conversation");
        REQUIRE(zone != nullptr);
        const Box box = {zone->box.left, zone->box.top, zone->box.right + 12, zone->box.bottom};
        const float width = std::min(760.F, box.width() - 48);
        float x = std::round(box.left + (box.width() - width) / 2);
        const MessageId id = shell.desk_world.at(1);
        const MessageText& text = shell.view->texts.at(id);
        float y = box.top + 20 - shell.view->chat_scroll.offset +
                  shell.view->heights.at(shell.desk_world.at(0));
        const bool thinks = !text.reasoning->source().empty();
        if (reasoning) {
            x += 16;
            y += 34;
        } else if (thinks) {
            y += 34 + (shell.view->thinking_open[id] ? text.reasoning->height() + 12 : 0);
        }
        const Box at = (reasoning ? text.reasoning : text.content)->box_of(byte);
        return {x + at.left, y + at.top, x + at.right, y + at.bottom};
    }
    void point_at(size_t byte, bool reasoning = false, float along = 0.5F) {
        const Box at = place(byte, reasoning);
        shell.point(at.left + at.width() * along, (at.top + at.bottom) / 2);
        shell.frame();
    }
    // What is drawn in this colour, within a box.
    static Box drawn(Colour colour, const Box& within) {
        Box box = {1e9F, 1e9F, -1, -1};
        const ImU32 wanted = IM_COL32(colour.red, colour.green, colour.blue, colour.alpha);
        const ImDrawData* data = ImGui::GetDrawData();
        for (int list = 0; list < data->CmdListsCount; ++list) {
            for (const ImDrawVert& vertex : data->CmdLists[list]->VtxBuffer) {
                const bool inside = within.contains(vertex.pos.x, vertex.pos.y);
                if (vertex.col != wanted || !inside) continue;
                box = {std::min(box.left, vertex.pos.x), std::min(box.top, vertex.pos.y),
                       std::max(box.right, vertex.pos.x), std::max(box.bottom, vertex.pos.y)};
            }
        }
        return box;
    }
    Box lit() const {
        return drawn(theme_named(ThemeName::kDark).ink(Ink::kToken), {0, 0, 1440, 900});
    }
    bool marked() {
        const Thing* map = shell.find("Experts by layer");
        REQUIRE(map != nullptr);
        return drawn({255, 255, 255, 255}, map->box).right > 0;
    }

    TempDirectory directory;
    FedWorld engine;
    ShellWorld shell;
    int64_t decoded = 0;
};

}  // namespace

TEST_CASE("the pointer over a token of the answer lights it up and tells what it cost") {
    if (skipped()) return;
    World world;
    world.grow_words({"The", " mill", " grinds", "."});
    world.finish();
    CHECK(world.card().empty());
    CHECK(world.lit().right < 0);
    CHECK_FALSE(world.marked());
    world.point_at(10);
    REQUIRE(world.looked());
    CHECK(world.looked()->token.begin == 8);
    CHECK(world.looked()->token.end == 15);
    const std::vector<int16_t> experts = {0, 10, 1, 10, 2, 10};
    CHECK(world.looked()->experts == experts);
    for (const std::string_view words :
         {"“ grinds”", "Token 3 of the answer, position 102", "3.00 ms: 2.90 ms computing",
          "0.100 ms waiting for the drive", "5 from memory, 1 from the drive",
          "Read: 1.00 MB in 0.50 ms", " 0  0 10; ", " 2  2 10"}) {
        CAPTURE(world.card());
        CAPTURE(words);
        CHECK(world.card_says(words));
    }
    // Its bytes and no others.
    CHECK(world.lit().left == doctest::Approx(world.place(8).left).epsilon(0.01));
    CHECK(world.lit().right == doctest::Approx(world.place(14).right).epsilon(0.01));
    CHECK(world.marked());
    // The question is no answer, and beside the text there is nothing.
    world.shell.point(world.place(15).right + 60, world.place(15).top + 4);
    world.shell.frame();
    CHECK_FALSE(world.looked());
    CHECK(world.card().empty());
    CHECK_FALSE(world.marked());
}

TEST_CASE("without the pane nothing lights up") {
    if (skipped()) return;
    World world(false);
    world.grow_words({"The", " mill"});
    world.finish();
    world.point_at(1);
    CHECK_FALSE(world.looked());
    CHECK(world.lit().right < 0);
}

TEST_CASE("a character of several tokens, and tokens of Markdown") {
    if (skipped()) return;
    World world;
    world.grow({"**bo"}, "**bo");
    world.grow({"ld** \xE2"}, "ld** ");
    world.grow({"\x9C\x93"}, "✓");
    world.finish();
    world.point_at(9, false, 0.2F);
    REQUIRE(world.looked());
    CHECK(world.looked()->token.index == 1);
    CHECK(world.card_says("part of “ld** ✓”"));
    world.point_at(9, false, 0.8F);
    REQUIRE(world.looked());
    CHECK(world.looked()->token.index == 2);
    CHECK(world.card_says("part of “✓”"));
    CHECK(world.card_says("position 102"));
    world.point_at(2);
    REQUIRE(world.looked());
    CHECK(world.looked()->token.index == 0);
    CHECK(world.card_says("“**bo”"));
}

TEST_CASE("tokens of the thinking, when it is open, and of the answer behind it") {
    if (skipped()) return;
    World world;
    world.grow({"First"}, "", "First");
    world.grow({" think"}, "", " think");
    world.grow({""}, "");
    world.grow({"\n\n", "Then"}, "Then");
    world.grow({" say"}, " say");
    world.finish();
    const MessageId id = world.shell.desk_world.at(1);
    world.point_at(6);
    REQUIRE(world.looked());
    CHECK(world.looked()->token.index == 5);
    CHECK_FALSE(world.looked()->token.reasoning);
    world.shell.view->thinking_open[id] = true;
    world.shell.view->heights.clear();
    world.shell.frames(3);
    world.point_at(7, true);
    REQUIRE(world.looked());
    CHECK(world.looked()->token.reasoning);
    CHECK(world.looked()->token.index == 1);
    CHECK(world.card_says("“ think”"));
    CHECK(world.lit().top < world.place(0).top);
    world.point_at(1);
    REQUIRE(world.looked());
    CHECK_FALSE(world.looked()->token.reasoning);
    CHECK(world.card_says("“Then”"));
}

TEST_CASE("in text that was scrolled the token under the pointer is meant") {
    if (skipped()) return;
    World world;
    std::string all;
    std::vector<size_t> begins;
    for (int i = 0; i < 80; ++i) {
        const std::string line = "line " + std::to_string(i) + "\n\n";
        begins.push_back(all.size());
        all += line;
        world.grow({line}, line);
    }
    world.finish();
    const Box zone = world.shell.find("conversation")->box;
    world.shell.point((zone.left + zone.right) / 2, (zone.top + zone.bottom) / 2);
    world.shell.input.wheel = 20;
    world.shell.frames(4);
    size_t seen = 0;
    for (size_t i = 0; i < begins.size(); ++i) {
        const Box at = world.place(begins[i]);
        if (at.top < zone.top + 10 || at.bottom > zone.bottom - 60) continue;
        world.point_at(begins[i]);
        REQUIRE(world.looked());
        CHECK(world.looked()->token.index == static_cast<int64_t>(i));
        ++seen;
    }
    CHECK(seen > 8);
}

TEST_CASE("text from right to left") {
    if (skipped()) return;
    World world;
    world.grow_words({"שלום", " עולם"});
    world.finish();
    world.point_at(0);
    REQUIRE(world.looked());
    CHECK(world.looked()->token.index == 0);
    const Box first = world.lit();
    world.point_at(11);
    REQUIRE(world.looked());
    CHECK(world.looked()->token.index == 1);
    CHECK(world.card_says("“ עולם”"));
    CHECK(world.lit().right <= first.left + 1);
}

TEST_CASE("a letter of two tokens is read from its own side") {
    if (skipped()) return;
    World split;
    split.grow({"\xD7"}, "");
    split.grow({"\xA9"}, "ש");
    split.finish();
    split.point_at(0, false, 0.9F);
    REQUIRE(split.looked());
    CHECK(split.looked()->token.index == 0);
    split.point_at(0, false, 0.1F);
    REQUIRE(split.looked());
    CHECK(split.looked()->token.index == 1);
}

TEST_CASE("what is too long ago, or not computed yet, is said") {
    if (skipped()) return;
    World world;
    world.grow_words({"The", " mill"});
    world.port().grow_tokens({"."}, ".");
    world.finish();
    world.point_at(8);
    REQUIRE(world.looked());
    CHECK(world.card_says("Not computed"));
    const auto pass = [&](int64_t steps) {
        for (int64_t i = 0; i < steps; ++i) world.engine.decode(world.decoded++ + 10);
        world.shell.frames(2);
    };
    pass(static_cast<int64_t>(LiveFeed::kTokensMax));
    world.point_at(1);
    REQUIRE(world.looked());
    CHECK(world.card_says("1.00 ms: "));
    CHECK(world.card_says("experts are no longer kept"));
    CHECK_FALSE(world.marked());
    pass(static_cast<int64_t>(LiveFeed::kStepsMax));
    world.point_at(1);
    REQUIRE(world.looked());
    CHECK(world.card_says("Too long ago"));
    // Another model: what the old one did is not the new one's.
    world.port().opening();
    world.shell.desk_world.ready();
    world.point_at(1);
    CHECK_FALSE(world.looked());
}

TEST_CASE("the keyboard comes to the strip of tokens, walks over it, and the text follows") {
    if (skipped()) return;
    World world;
    std::vector<std::string> lines;
    for (int i = 0; i < 30; ++i) lines.push_back("line " + std::to_string(i) + "\n\n");
    world.grow_words(lines);
    world.finish();
    for (int i = 0; i < 80 && world.shell.focused_name() != "Last tokens"; ++i)
        world.shell.key("Tab");
    REQUIRE(world.shell.focused_name() == "Last tokens");
    const Box strip = world.shell.find("Last tokens")->box;
    CHECK(strip.bottom <= 900);
    world.shell.key("Left");
    world.shell.key("Left");
    REQUIRE(world.looked());
    CHECK(world.looked()->token.index == 28);
    CHECK(world.card_says("“line 28↵↵”"));
    CHECK(world.lit().right > 0);
    CHECK(world.marked());
    world.shell.key("Home");
    world.shell.frames(3);
    REQUIRE(world.looked());
    CHECK(world.looked()->token.index == 0);
    CHECK(world.lit().right > 0);
    const Box zone = world.shell.find("conversation")->box;
    CHECK(world.place(0).top >= zone.top);
    CHECK(world.place(0).bottom <= zone.bottom);
    world.shell.key("Right");
    REQUIRE(world.looked());
    CHECK(world.looked()->token.index == 1);
    world.shell.key("Esc");
    CHECK_FALSE(world.looked());
    CHECK(world.lit().right < 0);
}

TEST_CASE(
    "the pointer in the strip lights up the token in the text, until the strip is scrolled away") {
    if (skipped()) return;
    World world;
    world.grow_words({"The", " mill", " grinds", "."});
    world.finish();
    for (int i = 0; i < 80 && world.shell.focused_name() != "Last tokens"; ++i)
        world.shell.key("Tab");
    const Box strip = world.shell.find("Last tokens")->box;
    world.shell.point(strip.left + 9 + 3, strip.top + 5);
    world.shell.press();  // the keyboard leaves: only the pointer counts
    world.shell.press();
    world.shell.frames(2);
    REQUIRE(world.view().token_hovered == 1);
    CHECK_FALSE(world.view().token_shown);
    CHECK(world.lit().left == doctest::Approx(world.place(3).left).epsilon(0.01));
    CHECK(world.card().empty());  // that is in the pane
    world.shell.input.wheel = 100;
    world.shell.frames(3);
    CHECK(world.shell.find("Last tokens") == nullptr);
    CHECK_FALSE(world.view().token_hovered);
    CHECK(world.lit().right < 0);
}

}  // namespace millrace::test
