#pragma once
// FRONT DOOR of ui: opens the window and stays until the person leaves.

#include <functional>
#include <memory>

#include "core/base/result.h"
#include "ui/desk.h"
#include "ui/model_host.h"
#include "ui/window.h"
#include "ui/workshop.h"

namespace millrace {

// What a frame cost, for benchmarks.
struct FrameCost {
    double milliseconds =
        0;  // of the window's thread, from the first line drawn to the picture shown
};

struct DesktopOptions {
    Path model;            // "": the one that was open last, or the demo
    Path state_directory;  // with the chats
    Path home;             // where exports are offered to go
    Path fonts = "/usr/share/fonts";
    // Called behind every frame. Null: nobody watches.
    std::function<void(Desk&, const FrameCost&)> watch = {};
    // Null: there is none. `wake` may be called from any thread.
    std::function<std::unique_ptr<Workshop>(std::function<void()> wake)> make_workshop = {};
};

// `window` is open already. Fails when there is no font, or the store cannot be opened and no window can say so.
[[nodiscard]] Status run_desktop(Window& window, const DesktopOptions& options,
                                 const ModelOpener& opener);

}  // namespace millrace
