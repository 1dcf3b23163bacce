#pragma once
// The window, whoever makes it. Behind this seam so that another library (one with full input-method support) can take
// its place, and so that tests have none.
// Threads: all on the thread that opened it, but for `wake`.

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "ui/damage.h"
#include "ui/input.h"
#include "ui/typeset/glyph_atlas.h"

namespace millrace {

struct WindowOptions {
    std::string title = "Millrace";
    int width = 1440, height = 900;
};

class Window {
public:
    virtual ~Window() = default;

    // Sleeps until something happens, `wake` is called, or `wait` has passed; then says what happened.
    [[nodiscard]] virtual const PersonInput& wait(std::chrono::milliseconds wait) = 0;
    [[nodiscard]] virtual const PersonInput& input() const = 0;  // what `wait` said last
    virtual void wake() = 0;                                     // any thread

    [[nodiscard]] virtual int width() const = 0;  // device pixels
    [[nodiscard]] virtual int height() const = 0;
    [[nodiscard]] virtual float monitor_scale() const = 0;
    [[nodiscard]] virtual bool minimised() const = 0;

    // Between the two, Dear ImGui's draw lists are filled. `show` uploads what changed in the atlas, clears the grounds
    // in their order, draws the lists and shows them; where drawing is done by processors, only what has changed.
    virtual void begin_frame() = 0;
    virtual void show(GlyphAtlas& atlas, std::span<const Ground> grounds) = 0;

    [[nodiscard]] virtual std::string clipboard() = 0;
    virtual void set_clipboard(std::string_view text) = 0;
    // What was selected last, in whichever program: of X11. Elsewhere it is this window's alone.
    [[nodiscard]] virtual std::string selected() = 0;
    virtual void set_selected(std::string_view text) = 0;
    virtual void set_title(std::string_view title) = 0;
    virtual void keep_open() = 0;  // the wish to close was not granted
};

// kUnsupported with a sentence when there is no display, or none that can draw.
[[nodiscard]] Result<std::unique_ptr<Window>> open_window(const WindowOptions& options);

// The texture of a page of the atlas, as Dear ImGui's draw commands name it; the window knows its own from it.
[[nodiscard]] inline uintptr_t page_texture(int page) {
    return uintptr_t{0x1000} + static_cast<uintptr_t>(page);
}

}  // namespace millrace
