#pragma once
// One frame of the window: what views draw with and ask. Immediate: a call draws a thing and says what happened to it.
//
//   ui.begin(input, …) ─► views: ui.button(…), ui.field(…), ui.line(…) ─► ui.end()
//
// Every thing that can be used has an id, a role and a name: `things()` is what tests click by, what the keyboard walks
// over with Tab, and what a screen reader could be told one day. Layers stand over each other (page, menu, dialogue); only
// the topmost one that was open in the last frame hears the person.
// Threads: the window's.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ui/canvas.h"
#include "ui/input.h"
#include "ui/theme.h"
#include "ui/typeset/editor.h"
#include "ui/typeset/fonts.h"
#include "ui/window.h"

namespace millrace {

enum class ThingRole : uint8_t {
    kButton,
    kToggle,
    kField,
    kRow,
    kTab,
    kMenuItem,
    kLink,
    kHandle,
    kSlider,  // arrows move it
    kPlot,
    kText
};

struct Thing {
    uint32_t id = 0;
    ThingRole role = ThingRole::kText;
    std::string name;
    Box box;
    Box seen;  // the part of it that is not clipped
    int layer = 0;
    bool enabled = true, on = false, focused = false;
};

struct Touch {
    bool hovered = false, held = false, clicked = false, focused = false;
    bool right_clicked = false, double_clicked = false;
};

// Sizes of text, by use; pixels at scale 1.
enum class Size : uint8_t { kCaption, kLabel, kStrong, kBody, kHeading, kTitle, kMono };

enum class ButtonLook : uint8_t { kPlain, kPrimary, kQuiet, kDanger };
enum class Enabled : uint8_t { kNo, kYes };
enum class Align : uint8_t { kLeft, kCentre, kRight };

struct FieldLook {
    std::string_view hint;        // shown when it is empty
    float lines_max = 1;          // grows so far, then scrolls
    float lines_min = 1;          // as high as this many lines from the start
    bool submit_on_enter = true;  // else Enter is a line break and Ctrl+Enter submits
};
struct FieldResult {
    bool changed = false, submitted = false, focused = false;
    float height = 0;
};

// A place that scrolls.
struct Scroll {
    float offset = 0;    // pixels from the top
    float content = 0;   // height, as of the last frame
    bool at_end = true;  // stands at the end and stays there when the content grows
};

class Clipboard {
public:
    virtual ~Clipboard() = default;
    [[nodiscard]] virtual std::string clipboard() = 0;
    virtual void set_clipboard(std::string_view text) = 0;
    // X11's other clipboard: what was selected last, pasted with the middle button.
    [[nodiscard]] virtual std::string selected() = 0;
    virtual void set_selected(std::string_view text) = 0;
};

class Ui {
public:
    Ui(FontSet& fonts, Clipboard& clipboard) : fonts_(fonts), clipboard_(clipboard) {}

    void begin(const PersonInput& input, float width, float height, float scale,
               const Theme& theme);
    void end();

    // ── Facts ──
    [[nodiscard]] float px(float at_scale_1) const { return at_scale_1 * scale_; }
    [[nodiscard]] float scale() const { return scale_; }
    [[nodiscard]] Box whole() const { return {0, 0, width_, height_}; }
    [[nodiscard]] const Theme& theme() const { return *theme_; }
    [[nodiscard]] Colour tone(Tone tone) const { return theme_->tone(tone); }
    [[nodiscard]] const PersonInput& input() const { return input_; }
    [[nodiscard]] FontSet& fonts() { return fonts_; }
    [[nodiscard]] Canvas& canvas() { return canvas_; }
    [[nodiscard]] Clipboard& clipboard() { return clipboard_; }
    [[nodiscard]] const std::vector<Thing>& things() const { return shown_; }
    // Whether another frame is wanted soon although nothing happens: something fades or follows.
    [[nodiscard]] bool restless() const { return restless_; }
    void be_restless() { restless_ = true; }

    // A whole part of the page in one colour, under everything that is drawn on it. The window clears it, which costs
    // software drawing far less than a fill.
    void ground(const Box& box, Tone tone) { grounds_.push_back({box, theme_->tone(tone)}); }
    [[nodiscard]] const std::vector<Ground>& grounds() const { return grounds_; }

    // ── Text ──
    [[nodiscard]] TextStyle style(Size size) const;
    float text(std::string_view text, float x, float baseline, Size size, Tone tone);
    // In the box, on one line, cut with "…"; centred in height. Returns the width.
    float label(std::string_view text, const Box& box, Size size, Tone tone,
                Align align = Align::kLeft);
    // Wrapped at spaces; returns the height.
    float paragraph(std::string_view text, float x, float top, float width, Size size, Tone tone);
    [[nodiscard]] float width_of(std::string_view text, Size size);

    // ── Ids, layers ──
    [[nodiscard]] uint32_t id(std::string_view name) const;
    void push_id(std::string_view name) { ids_.push_back(id(name)); }
    void push_id(int64_t number);
    void pop_id() { ids_.pop_back(); }
    // What follows, until the layer ends, stands over everything before. Layers lie over each other, not in each other.
    void begin_layer();
    void end_layer();
    [[nodiscard]] bool layer_is_top() const { return layer_ == top_layer_; }

    // ── Use ──
    // The base of all below: registers a thing and says what the person does to it.
    Touch thing(uint32_t id, ThingRole role, std::string_view name, const Box& box,
                Enabled enabled = Enabled::kYes, bool on = false);
    bool button(std::string_view name, const Box& box, ButtonLook look = ButtonLook::kPlain,
                Enabled enabled = Enabled::kYes);
    [[nodiscard]] float button_width(std::string_view name);
    // A switch with its name at the left; returns whether it was turned.
    bool toggle(std::string_view name, const Box& box, bool on);
    bool choice(std::string_view name, const Box& box,
                bool chosen);  // one of several, drawn as a segment
    FieldResult field(std::string_view name, TextEditor& editor, float x, float top, float width,
                      Size size, const FieldLook& look);
    void chip(std::string_view text, float& x, float centre, Tone text_tone, Tone ground);
    void tooltip(std::string_view text);  // beside the pointer, at the end of the frame

    void focus(uint32_t id) { focus_ = id; }
    [[nodiscard]] uint32_t focused() const { return focus_; }
    // The keyboard moved the focus last: what only the pointer uncovers otherwise should be there.
    [[nodiscard]] bool by_keyboard() const { return keyboard_; }
    // The chord was pressed and nobody took it before.
    bool take(const Chord& chord);
    bool take(Key key) { return take(Chord{.key = key}); }
    // Chords of the frame that nobody has taken.
    [[nodiscard]] const std::vector<Chord>& chords() const { return input_.keys; }

    // ── Scrolling ── Between the two, things stand at `box.top - offset`. The wheel, a drag at the right edge and page keys
    // (when `keys`) move it.
    void begin_scroll(std::string_view name, const Box& box, Scroll& scroll, bool keys = false);
    void end_scroll(float content_height);

private:
    struct Scrolled {
        Box box;
        Scroll* scroll = nullptr;
        uint32_t id = 0;
        bool keys = false;
    };
    [[nodiscard]] bool reachable(const Box& box) const;
    void walk_focus();
    void edit_keys(TextEditor& editor, const FieldLook& look, FieldResult& result);
    void draw_tooltip();
    void focus_ring(const Box& box, float radius);

    FontSet& fonts_;
    Clipboard& clipboard_;
    Canvas canvas_;
    PersonInput input_;
    const Theme* theme_ = nullptr;
    float width_ = 0, height_ = 0, scale_ = 1;
    std::vector<uint32_t> ids_;
    std::vector<Thing> now_, shown_;  // of this frame; of the last whole one
    size_t now_count_ = 0;
    std::vector<Ground> grounds_;
    std::vector<Scrolled> scrolls_;
    int layer_ = 0, layers_now_ = 0, top_layer_ = 0;
    uint32_t hot_ = 0;       // held by the pointer
    uint32_t under_ = 0;     // what lies foremost under the pointer, as of the last frame
    uint32_t focus_ = 0;     // has the keyboard
    bool keyboard_ = false;  // the focus was last moved by a key, so it is shown
    bool restless_ = false;
    std::string tooltip_;
};

}  // namespace millrace
