// The engine's screen over a feed that was filled by hand.

#include <doctest/doctest.h>

#include "tests/ui/fed_world.h"
#include "tests/ui/shell_world.h"

namespace millrace::test {
TEST_CASE("the engine's screen is empty until something ran, then every plot is there") {
    if (skipped()) return;
    const TempDirectory directory;
    FedWorld engine;
    ShellWorld world(directory.path(), 1440, 2600);
    world.desk_world.ready();
    world.desk_world.port->fed = engine.feed.get();
    world.desk_world.desk->go(Screen::kEngine);
    world.frames(2);
    CHECK(world.find("Tokens a second") == nullptr);
    CHECK(world.find("Pause") != nullptr);

    engine.prefill(0, 512);
    for (int64_t i = 0; i < 300; ++i) engine.decode(i);
    world.frames(2);
    for (const std::string_view plot :
         {"Tokens a second", "Prompt tokens a second", "Time of each token",
          "Share of the drive's limit", "Queue depth", "Experts found in memory",
          "Memory by purpose", "Last tokens", "Time of this token", "Experts by layer"}) {
        CAPTURE(plot);
        REQUIRE(world.find(plot) != nullptr);
        CHECK(world.find(plot)->box.width() > 100);
    }
    // Each can be pointed at.
    for (const std::string_view plot : {"Tokens a second", "Time of each token", "Experts by layer",
                                        "Memory by purpose", "Prompt tokens a second"}) {
        const Box box = world.find(plot)->box;
        for (const float at : {0.01F, 0.5F, 0.99F})
            world.point(box.left + box.width() * at, (box.top + box.bottom) / 2);
    }
    world.desk_world.desk->change([](Settings& settings) { settings.engine_pane = true; });
    world.desk_world.desk->go(Screen::kChat);
    world.frames(2);
    CHECK(world.find("Tokens a second") != nullptr);
}

TEST_CASE(
    "while an answer is written plots move five times a second, and at once when it is done") {
    if (skipped()) return;
    const TempDirectory directory;
    FedWorld engine;
    ShellWorld world(directory.path(), 1440, 2600);
    world.desk_world.ready();
    world.desk_world.port->fed = engine.feed.get();
    world.desk_world.desk->go(Screen::kEngine);
    const auto shown = [&] {
        world.frame();
        return world.view->engine.history.tokens_per_second().size();
    };
    engine.decode(0);
    CHECK(shown() == 1);  // nothing is asked: nothing waits
    engine.decode(1);
    CHECK(shown() == 2);
    world.desk_world.send("Question");
    world.desk_world.port->grow("Answer");
    CHECK(shown() == 2);
    engine.decode(2);
    world.desk_world.now_s += 0.1;
    CHECK(shown() == 2);
    world.desk_world.now_s += 0.15;
    CHECK(shown() == 3);
    engine.decode(3);
    CHECK(shown() == 3);
    world.desk_world.answer(".");
    CHECK(shown() == 4);
}

TEST_CASE("a token that is clicked stays, its experts are marked, and CSV goes to the clipboard") {
    if (skipped()) return;
    const TempDirectory directory;
    FedWorld engine;
    ShellWorld world(directory.path(), 1440, 2600);
    world.desk_world.ready();
    world.desk_world.port->fed = engine.feed.get();
    for (int64_t i = 0; i < 5; ++i) engine.decode(i);
    world.desk_world.desk->go(Screen::kEngine);
    world.frames(2);
    const Box strip = world.find("Last tokens")->box;
    world.point(strip.left + 2, strip.top + 5);
    REQUIRE(world.view->engine.token_hovered);
    CHECK(*world.view->engine.token_hovered == 0);
    world.press();
    REQUIRE(world.view->engine.token_shown);
    world.point(5, 5);
    CHECK_FALSE(world.view->engine.token_hovered);
    CHECK(*world.view->engine.token_shown == 0);

    REQUIRE(world.click("16"));
    CHECK(world.view->engine.routed_tokens == 16);
    REQUIRE(world.click("Copy CSV"));  // of the last card
    CHECK(world.clipboard.text.starts_with("layer,expert,count\n0,0,5\n"));

    REQUIRE(world.click("Pause"));
    CHECK(world.view->engine.history.paused());
    engine.decode(5);
    world.frames(2);
    CHECK(world.view->engine.history.tokens().size() == 5);
    REQUIRE(world.click("Go on"));
    CHECK(world.view->engine.history.tokens().size() == 6);
}

}  // namespace millrace::test
