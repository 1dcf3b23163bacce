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

struct DesktopOptions {
    Path model;            // "": the one that was open last, or the demo
    Path state_directory;  // with the chats
    Path home;             // where exports are offered to go
    Path fonts = "/usr/share/fonts";
    // Null: there is none. `wake` may be called from any thread.
    std::function<std::unique_ptr<Workshop>(std::function<void()> wake)> make_workshop = {};
};

// `window` is open already. Fails when there is no font, or the store cannot be opened and no window can say so.
[[nodiscard]] Status run_desktop(Window& window, const DesktopOptions& options,
                                 const ModelOpener& opener);

}  // namespace millrace
