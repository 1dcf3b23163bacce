// Settings: looks, answers, keys.

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/strings.h"
#include "ui/commands.h"
#include "ui/views.h"

namespace millrace {
namespace {

// A column of rows inside a scroll.
class Page {
public:
    Page(Ui& ui, const Box& box, Scroll& scroll) : ui_(ui), box_(box) {
        scroll.at_end = false;
        ui.begin_scroll("page", box, scroll, true);
        const float width = std::min(ui.px(720), box.width() - ui.px(48));
        left = std::round(box.left + (box.width() - width) / 2);
        right = left + width;
        y = top_ = box.top - scroll.offset + ui.px(20);
    }
    void end() { ui_.end_scroll(y - top_ + ui_.px(60)); }

    void title(std::string_view text) {
        ui_.text(text, left, y + ui_.px(24), Size::kTitle, Tone::kText);
        y += ui_.px(44);
    }
    void section(std::string_view text) {
        y += ui_.px(16);
        ui_.label(text, {left, y, right, y + ui_.px(30)}, Size::kStrong, Tone::kMuted);
        y += ui_.px(34);
        ui_.canvas().line(left, y - ui_.px(4), right, y - ui_.px(4), 1, ui_.tone(Tone::kBorder));
    }
    Box row(float height = 38) {
        const Box box = {left, y, right, y + ui_.px(height)};
        y = box.bottom + ui_.px(4);
        return box;
    }
    [[nodiscard]] bool seen(const Box& box) const {
        return box.bottom > box_.top && box.top < box_.bottom;
    }

    float left = 0, right = 0, y = 0;

private:
    Ui& ui_;
    const Box box_;
    float top_ = 0;
};

void looks(Frame& frame, Page& page) {
    Ui& ui = frame.ui;
    const Settings& settings = frame.desk.state().settings;
    page.section("Looks");
    Box row = page.row();
    ui.label("Theme", row, Size::kLabel, Tone::kText);
    float x = row.right;
    for (size_t i = kThemeNames.size(); i-- > 0;) {
        const float width = ui.width_of(kThemeNames[i], Size::kStrong) + ui.px(24);
        x -= width;
        if (ui.choice(kThemeNames[i], {x, row.top + ui.px(4), x + width, row.bottom - ui.px(4)},
                      settings.theme == static_cast<ThemeName>(i))) {
            frame.desk.change([i](Settings& s) { s.theme = static_cast<ThemeName>(i); });
        }
    }
    row = page.row();
    ui.label("Size", row, Size::kLabel, Tone::kText);
    const float button = ui.px(36);
    if (ui.button("+", {row.right - button, row.top + ui.px(3), row.right, row.bottom - ui.px(3)}))
        run_command(frame, "view.larger");
    ui.label(cat(settings.zoom_percent, " %"),
             {row.right - button - ui.px(70), row.top, row.right - button, row.bottom},
             Size::kLabel, Tone::kText, Align::kCentre);
    if (ui.button("-", {row.right - 2 * button - ui.px(70), row.top + ui.px(3),
                        row.right - button - ui.px(70), row.bottom - ui.px(3)}))
        run_command(frame, "view.smaller");
    if (ui.toggle("Engine beside the chat", page.row(), settings.engine_pane))
        run_command(frame, "view.pane");
    if (ui.toggle("Enter sends; off: Ctrl+Enter sends", page.row(), settings.enter_sends))
        frame.desk.change([](Settings& s) { s.enter_sends = !s.enter_sends; });
}

// A number that is moved in steps.
void stepper(Frame& frame, Page& page, std::string_view name, std::string_view hint, double value,
             double step, double low, double high, int decimals,
             const std::function<void(double)>& set) {
    Ui& ui = frame.ui;
    const Box row = page.row();
    ui.push_id(name);
    ui.label(name, row, Size::kLabel, Tone::kText);
    ui.label(hint, {row.left + ui.px(150), row.top, row.right - ui.px(160), row.bottom},
             Size::kCaption, Tone::kMuted);
    const float button = ui.px(36);
    if (ui.button("+", {row.right - button, row.top + ui.px(3), row.right, row.bottom - ui.px(3)}))
        set(std::min(high, value + step));
    ui.label(fixed(value, decimals),
             {row.right - button - ui.px(70), row.top, row.right - button, row.bottom},
             Size::kLabel, Tone::kText, Align::kCentre);
    if (ui.button("-", {row.right - 2 * button - ui.px(70), row.top + ui.px(3),
                        row.right - button - ui.px(70), row.bottom - ui.px(3)}))
        set(std::max(low, value - step));
    ui.pop_id();
}

void answers(Frame& frame, Page& page) {
    Ui& ui = frame.ui;
    Desk& desk = frame.desk;
    const ChatSettings& chat = desk.chat_settings();
    page.section(desk.state().chat ? "Answers in this chat" : "Answers in the new chat");
    const auto set = [&](double ChatSettings::*field) {
        return [&desk, field](double value) {
            desk.change_chat([&](ChatSettings& s) { s.*field = value; });
        };
    };
    stepper(frame, page, "Temperature", "0 always takes the likeliest word, 1 is the model's own",
            chat.temperature, 0.1, 0, 2, 1, set(&ChatSettings::temperature));
    stepper(frame, page, "Top-p", "leaves out the unlikeliest words", chat.top_p, 0.05, 0.05, 1, 2,
            set(&ChatSettings::top_p));
    stepper(frame, page, "Min-p", "the same, by the likeliest one", chat.min_p, 0.01, 0, 0.5, 2,
            set(&ChatSettings::min_p));
    stepper(
        frame, page, "Longest answer", "tokens; 0: as long as it takes",
        static_cast<double>(chat.tokens_max), 256, 0, 1 << 16, 0, [&desk](double value) {
            desk.change_chat([&](ChatSettings& s) { s.tokens_max = static_cast<int64_t>(value); });
        });
    const Box row = page.row();
    const float wide = ui.button_width("System message…"),
                wider = ui.button_width("Make these usual for new chats");
    if (ui.button("System message…", {row.left, row.top, row.left + wide, row.bottom - ui.px(4)}))
        run_command(frame, "chat.system");
    if (ui.button("Make these usual for new chats",
                  {row.left + wide + ui.px(8), row.top, row.left + wide + wider + ui.px(8),
                   row.bottom - ui.px(4)})) {
        desk.change([&chat](Settings& s) { s.fresh = chat; });
        desk.tell("New chats begin with these settings.");
    }
}

void keys(Frame& frame, Page& page) {
    Ui& ui = frame.ui;
    ViewState& view = frame.view;
    const Settings& settings = frame.desk.state().settings;
    page.section("Keys");
    const FieldResult words =
        ui.field("Find a command", *view.command_words, page.left, page.y, page.right - page.left,
                 Size::kLabel, {.hint = "Find a command"});
    page.y += words.height + ui.px(8);
    // The next chord that comes is the one that is wanted.
    if (!view.chord_for.empty()) {
        for (const Chord& chord : ui.chords()) {
            const std::string id = view.chord_for;
            view.chord_for.clear();
            if (chord.key == Key::kEscape) break;
            const std::string name = name_of(chord);
            for (const Command& other : commands()) {
                if (other.id != id && chord_of(other, settings) == chord)
                    frame.desk.tell(
                        cat(name, " was the key of “", other.name, "”, which has none now."));
            }
            frame.desk.change([&](Settings& s) {
                for (const Command& other : commands()) {
                    if (chord_of(other, s) == chord) s.keys[std::string(other.id)] = "";
                }
                s.keys[id] = name;
            });
            break;
        }
    }
    for (const Command* command : matching(view.command_words->text())) {
        const Box row = page.row(34);
        if (!page.seen(row)) continue;
        ui.push_id(command->id);
        ui.label(command->name, row, Size::kLabel, Tone::kText);
        const bool own = settings.keys.contains(std::string(command->id));
        const bool listening = view.chord_for == command->id;
        const std::string chord =
            listening ? "press a key…" : name_of(chord_of(*command, settings));
        const Box at = {row.right - ui.px(200), row.top + ui.px(2), row.right - ui.px(70),
                        row.bottom - ui.px(2)};
        if (ui.button(chord.empty() ? "none" : chord, at,
                      listening ? ButtonLook::kPrimary : ButtonLook::kPlain))
            view.chord_for = command->id;
        if (own && ui.button("Reset", {row.right - ui.px(64), at.top, row.right, at.bottom},
                             ButtonLook::kQuiet)) {
            frame.desk.change([&](Settings& s) { s.keys.erase(std::string(command->id)); });
        }
        ui.pop_id();
    }
}

}  // namespace

void settings_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    ui.push_id("settings");
    Page page(ui, box, frame.view.settings_scroll);
    page.title("Settings");
    looks(frame, page);
    answers(frame, page);
    keys(frame, page);
    page.end();
    ui.pop_id();
}

void logs_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    ViewState& view = frame.view;
    const AppState& state = frame.desk.state();
    ui.push_id("logs");
    const float left = box.left + ui.px(24), right = box.right - ui.px(24);
    float y = box.top + ui.px(20);
    ui.text("Logs", left, y + ui.px(24), Size::kTitle, Tone::kText);
    const float copy = ui.button_width("Copy all"), only = ui.px(190);
    if (ui.button("Copy all", {right - copy, y, right, y + ui.px(34)})) {
        for (const LogLine& line : state.log)
            view.copy_wanted +=
                cat(fixed(line.at_s, 3), line.bad ? " error " : " ", line.text, "\n");
    }
    if (ui.toggle("Only what went wrong",
                  {right - copy - only - ui.px(24), y, right - copy - ui.px(16), y + ui.px(34)},
                  view.log_bad_only))
        view.log_bad_only = !view.log_bad_only;
    y += ui.px(48);
    y +=
        ui.field("Filter", *view.log_words, left, y, right - left, Size::kLabel, {.hint = "Filter"})
            .height +
        ui.px(10);
    std::vector<const LogLine*> lines;
    for (const LogLine& line : state.log) {
        if (view.log_bad_only && !line.bad) continue;
        if (line.text.find(view.log_words->text()) != std::string::npos) lines.push_back(&line);
    }
    const Box list = {left, y, right, box.bottom - ui.px(16)};
    ui.begin_scroll("lines", list, view.log_scroll, true);
    const float row = ui.px(24);
    for (size_t i = 0; i < lines.size(); ++i) {
        const float at = list.top - view.log_scroll.offset + row * static_cast<float>(i);
        if (at + row < list.top || at > list.bottom) continue;
        ui.label(cat(fixed(lines[i]->at_s, 1), " s"), {left, at, left + ui.px(70), at + row},
                 Size::kCaption, Tone::kMuted);
        ui.label(lines[i]->text, {left + ui.px(78), at, right - ui.px(16), at + row}, Size::kLabel,
                 lines[i]->bad ? Tone::kBad : Tone::kText);
    }
    if (lines.empty())
        ui.label(state.log.empty() ? "Nothing has happened yet." : "No line matches.",
                 {left, list.top, right, list.top + row}, Size::kLabel, Tone::kMuted);
    ui.end_scroll(row * static_cast<float>(lines.size()));
    ui.pop_id();
}

}  // namespace millrace
