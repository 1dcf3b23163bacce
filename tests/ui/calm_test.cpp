// Streamed text is drawn in calm steps, whoever wakes the window; a person is answered at once.

#include "ui/calm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

namespace millrace {
namespace {

// Woken every two milliseconds, as by a fast model's tokens.
class WokenWindow final : public Window {
public:
    const PersonInput& wait(std::chrono::milliseconds wait) override {
        ++waits;
        input_.now_s += std::min(0.002, static_cast<double>(wait.count()) / 1000);
        if (happens) happens(input_, waits);
        return input_;
    }
    const PersonInput& input() const override { return input_; }
    void wake() override {}
    int width() const override { return 1; }
    int height() const override { return 1; }
    float monitor_scale() const override { return 1; }
    bool minimised() const override { return false; }
    void begin_frame() override {}
    void show(GlyphAtlas&, std::span<const Ground>) override {}
    std::string clipboard() override { return {}; }
    void set_clipboard(std::string_view) override {}
    std::string selected() override { return {}; }
    void set_selected(std::string_view) override {}
    void set_title(std::string_view) override {}
    void keep_open() override {}

    int waits = 0;
    std::function<void(PersonInput&, int)> happens;

private:
    PersonInput input_;
};

}  // namespace

TEST_CASE("a window that is woken by every token is drawn no sooner") {
    WokenWindow window;
    keep_calm(window, 0.04, {});
    CHECK(window.input().now_s >= 0.04);
    CHECK(window.input().now_s < 0.05);
    CHECK(window.waits == 20);
    keep_calm(window, 0.04, {});  // the time is over already
    CHECK(window.waits == 20);
}

TEST_CASE("whatever a person does ends the pause") {
    const std::function<void(PersonInput&)> deeds[] = {
        [](PersonInput& input) { input.keys.push_back({.key = Key::kEscape}); },
        [](PersonInput& input) { input.text = "a"; },
        [](PersonInput& input) { input.wheel = 1; },
        [](PersonInput& input) { input.left.pressed = true; },
        [](PersonInput& input) { input.left.released = true; },
        [](PersonInput& input) { input.right.pressed = true; },
        [](PersonInput& input) { input.middle.pressed = true; },
        [](PersonInput& input) { input.dropped.emplace_back("/a"); },
        [](PersonInput& input) { input.x = 5; },
        [](PersonInput& input) { input.close_wanted = true; },
    };
    for (const auto& deed : deeds) {
        WokenWindow window;
        window.happens = [&](PersonInput& input, int waits) {
            if (waits == 3) deed(input);
        };
        keep_calm(window, 0.04, {});
        CHECK(window.waits == 3);
    }
}

}  // namespace millrace
