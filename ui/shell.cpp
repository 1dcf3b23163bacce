#include "ui/shell.h"

#include "ui/commands.h"
#include "ui/token_card.h"

namespace millrace {
namespace {

// What nobody took belongs to a command. A key that types is never a command's while somebody writes: fields take it before.
void run_chords(Frame& frame) {
    const std::vector<Chord> chords = frame.ui.chords();
    for (const Chord& chord : chords) {
        for (const Command& command : commands()) {
            if (chord_of(command, frame.desk.state().settings) != chord) continue;
            if (is_enabled(command, frame.desk, frame.view)) {
                static_cast<void>(frame.ui.take(chord));
                command.run(frame.desk, frame.view);
                frame.ui.be_restless();
            }
            break;
        }
    }
}

void draw_screen(Frame& frame, const Box& box) {
    switch (frame.desk.state().screen) {
        case Screen::kChat: {
            Box chat = box;
            const float pane = frame.ui.px(340);
            frame.view.engine.pane_shown =
                frame.desk.state().settings.engine_pane && box.width() > frame.ui.px(900);
            if (frame.view.engine.pane_shown) {
                chat.right -= pane;
                engine_pane(frame, {chat.right, box.top, box.right, box.bottom});
            }
            chat_view(frame, chat);
            draw_token_card(frame, chat);
            break;
        }
        case Screen::kEngine: engine_view(frame, box); break;
        case Screen::kModels: models_view(frame, box); break;
        case Screen::kBenchmark: benchmark_view(frame, box); break;
        case Screen::kSettings: settings_view(frame, box); break;
        case Screen::kLogs: logs_view(frame, box); break;
    }
}

}  // namespace

void draw_shell(Frame& frame) {
    Ui& ui = frame.ui;
    const AppState& state = frame.desk.state();
    tend_workshop(frame);
    const Box whole = ui.whole();
    Box page = whole;
    // A narrow window shows the list in place of the page, not beside it.
    const bool rail = state.settings.rail && whole.width() > ui.px(620);
    if (rail) {
        page.left += ui.px(268);
        rail_view(frame, {whole.left, whole.top, page.left, whole.bottom});
    }
    draw_screen(frame, page);
    notices_view(frame);
    menu_view(frame);
    branches_view(frame);
    palette_view(frame);
    dialog_view(frame);
    help_view(frame);
    // While a key is being chosen in the settings, it is no command.
    if (frame.view.chord_for.empty()) run_chords(frame);
    for (const std::string& path : ui.input().dropped) frame.desk.import_from(path);
    if (!frame.view.copy_wanted.empty()) {
        ui.clipboard().set_clipboard(frame.view.copy_wanted);
        frame.view.copy_wanted.clear();
    }
}

}  // namespace millrace
