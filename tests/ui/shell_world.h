#pragma once
// The whole window without a window: frames are drawn into Dear ImGui's lists and thrown away, the person is a list of keys
// and clicks, and things are found by their names.

#include <doctest/doctest.h>
#include <imgui.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/ui/desk_world.h"
#include "ui/shell.h"

namespace millrace::test {

class MemoryClipboard final : public Clipboard {
public:
    std::string clipboard() override { return text; }
    void set_clipboard(std::string_view given) override { text = given; }
    std::string selected() override { return primary; }
    void set_selected(std::string_view given) override { primary = given; }
    std::string text, primary;
};

// Tests of the window need the fonts that ./check installs.
inline bool skipped() {
    if (std::filesystem::exists("/usr/share/fonts/opentype/inter/Inter-Regular.otf")) return false;
    MESSAGE("skipped: the fonts of the desktop are not installed (fonts-inter)");
    return true;
}

class ShellWorld {
public:
    explicit ShellWorld(const Path& directory, float width = 1440, float height = 900)
        : desk_world(directory), width_(width), height_(height) {
        IMGUI_CHECKVERSION();
        ImGui::CreateContext();
        ImGuiIO& io = ImGui::GetIO();
        io.IniFilename = nullptr;
        io.Fonts->AddFontDefault();
        io.Fonts->Build();
        fonts = std::move(*FontSet::open("/usr/share/fonts"));
        ui = std::make_unique<Ui>(*fonts, clipboard);
        view = std::make_unique<ViewState>(*fonts);
        frames(3);
    }
    ~ShellWorld() {
        view.reset();
        ui.reset();
        ImGui::DestroyContext();
    }
    ShellWorld(const ShellWorld&) = delete;
    ShellWorld& operator=(const ShellWorld&) = delete;

    void frame() {
        desk_world.settle();
        ImGuiIO& io = ImGui::GetIO();
        io.DisplaySize = {width_, height_};
        io.DeltaTime = 1.F / 60;
        ImGui::NewFrame();
        input.now_s = desk_world.now_s;
        const float zoom = static_cast<float>(desk_world.state().settings.zoom_percent) / 100;
        ui->begin(input, width_, height_, zoom, theme_named(desk_world.state().settings.theme));
        Frame f{*ui, *desk_world.desk, *view, workshop};
        draw_shell(f);
        ui->end();
        ImGui::Render();
        input.keys.clear();
        input.text.clear();
        input.wheel = 0;
        input.clicks = 0;
        input.dropped.clear();
        for (PointerButton* button : {&input.left, &input.right}) {
            button->pressed = button->released = false;
        }
        desk_world.settle();
    }
    void frames(int count) {
        for (int i = 0; i < count; ++i) frame();
    }

    // Null: nobody is called that.
    [[nodiscard]] const Thing* find(std::string_view name) const {
        const auto& things = ui->things();
        // What was drawn last stands in front.
        const auto found = std::find_if(things.rbegin(), things.rend(),
                                        [&](const Thing& thing) { return thing.name == name; });
        return found == things.rend() ? nullptr : &*found;
    }
    bool click(std::string_view name) {
        const Thing* thing = find(name);
        if (thing == nullptr) return false;
        const Box box = thing->box;
        point((box.left + box.right) / 2, (box.top + box.bottom) / 2);
        press();
        return true;
    }
    void point(float x, float y) {
        input.x = x;
        input.y = y;
        frame();
    }
    void press(int clicks = 1) {
        input.left = {.down = true, .pressed = true};
        input.clicks = clicks;
        frame();
        input.left = {.down = false, .released = true};
        frames(2);
    }
    void drag(float x0, float y0, float x1, float y1) {
        point(x0, y0);
        input.left = {.down = true, .pressed = true};
        input.clicks = 1;
        frame();
        input.x = x1;
        input.y = y1;
        frame();
        input.left = {.down = false, .released = true};
        frames(2);
    }
    void type(std::string_view text) {
        input.text = text;
        frames(2);
    }
    void key(std::string_view chord) {
        input.keys.push_back(chord_named(chord));
        frames(3);
    }
    [[nodiscard]] std::string focused_name() const {
        for (const Thing& thing : ui->things()) {
            if (thing.focused) return thing.name;
        }
        return "";
    }

    DeskWorld desk_world;
    MemoryClipboard clipboard;
    PersonInput input;
    std::unique_ptr<FontSet> fonts;
    std::unique_ptr<Ui> ui;
    std::unique_ptr<ViewState> view;
    Workshop* workshop = nullptr;

private:
    float width_, height_;
};

}  // namespace millrace::test
