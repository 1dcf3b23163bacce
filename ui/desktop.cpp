#include "ui/desktop.h"

#include <algorithm>
#include <cmath>

#include "core/base/strings.h"
#include "ui/calm.h"
#include "ui/shell.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;

class WindowClipboard final : public Clipboard {
public:
    explicit WindowClipboard(Window& window) : window_(window) {}
    std::string clipboard() override { return window_.clipboard(); }
    void set_clipboard(std::string_view text) override { window_.set_clipboard(text); }
    std::string selected() override { return window_.selected(); }
    void set_selected(std::string_view text) override { window_.set_selected(text); }

private:
    Window& window_;
};

// How long nothing need be drawn: until something is due.
milliseconds patience(const Desk& desk, int frames_owed, bool restless) {
    if (restless || frames_owed > 0) return milliseconds(0);
    constexpr double kLongest_s = 3600;
    const double due = std::min(kLongest_s, desk.seconds_until_due());
    if (desk.state().running)
        return milliseconds(std::min<int64_t>(200, static_cast<int64_t>(due * 1000) + 1));
    return milliseconds(static_cast<int64_t>(due * 1000) + 1);
}

DeskParts parts_of(Window& window, const DesktopOptions& options, const ModelOpener& opener) {
    DeskParts parts;
    const bool home = !options.state_directory.empty();
    Result<std::unique_ptr<ChatStore>> store =
        home ? ChatStore::open(options.state_directory)
             : Error{ErrorCode::kInvalid, "there is no home directory; set HOME or XDG_STATE_HOME"};
    if (store.ok()) {
        parts.store = std::move(*store);
    } else {
        parts.store_text = cat("Chats will not be kept: ", store.error().message);
    }
    parts.store_lane = start_lane("chats");
    parts.make_port = [opener](ModelPort::Listener listener) {
        return make_model_host(opener, std::move(listener));
    };
    parts.wake = [&window] { window.wake(); };
    parts.now_s = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    };
    parts.seed = fresh_seed;
    parts.home = options.home;
    return parts;
}

}  // namespace

Status run_desktop(Window& window, const DesktopOptions& options, const ModelOpener& opener) {
    const std::unique_ptr<FontSet> fonts = TRY(FontSet::open(options.fonts));
    const std::unique_ptr<Desk> desk = Desk::open(parts_of(window, options, opener), options.model);
    WindowClipboard clipboard(window);
    Ui ui(*fonts, clipboard);
    ViewState view(*fonts);
    const std::unique_ptr<Workshop> workshop =
        options.make_workshop ? options.make_workshop([&window] { window.wake(); }) : nullptr;
    Frame frame{ui, *desk, view, workshop.get()};
    size_t notices_told = 0;
    // Things that were opened by an event show themselves a frame later, and what they opened one after that.
    constexpr int kFramesAfterEvent = 3;
    int owed = kFramesAfterEvent;
    double drawn_s = 0;
    while (!desk->state().quit) {
        const bool minimised = window.minimised();
        const PersonInput& input = window.wait(
            minimised ? milliseconds(500) : patience(*desk, owed, ui.restless() && !minimised));
        bool changed = desk->tick();
        if (changed && desk->state().running) {
            constexpr double kCalm_s = 0.04;
            keep_calm(window, drawn_s + kCalm_s, ui.input());
            changed = desk->tick() || changed;
        }
        if (acted(input, ui.input())) owed = kFramesAfterEvent;
        if (changed) owed = std::max(owed, 1);
        if (input.close_wanted) desk->quit();
        if (minimised) continue;
        for (; notices_told < fonts->notices().size(); ++notices_told)
            desk->tell(fonts->notices()[notices_told]);
        drawn_s = window.input().now_s;
        const auto began = std::chrono::steady_clock::now();
        window.begin_frame();
        const float zoom = static_cast<float>(desk->state().settings.zoom_percent) / 100;
        ui.begin(window.input(), static_cast<float>(window.width()),
                 static_cast<float>(window.height()), window.monitor_scale() * zoom,
                 theme_named(desk->state().settings.theme));
        draw_shell(frame);
        ui.end();
        window.show(fonts->atlas(), ui.grounds());
        window.set_title(desk->state().chat ? cat(desk->state().chat->summary.title, " — Millrace")
                                            : "Millrace");
        if (options.watch) {
            const std::chrono::duration<double, std::milli> cost =
                std::chrono::steady_clock::now() - began;
            options.watch(*desk, {.milliseconds = cost.count()});
        }
        if (owed > 0) --owed;
    }
    return {};
}

}  // namespace millrace
