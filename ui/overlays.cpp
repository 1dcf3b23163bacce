// What stands over the page: palette, dialogues, the chat's menu, the keys, and words at the foot.

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/strings.h"
#include "ui/cards.h"
#include "ui/commands.h"
#include "ui/views.h"

namespace millrace {
namespace {

constexpr std::array<std::string_view, 5> kGroupNames = {"Chat", "Answers", "View", "Files",
                                                         "Program"};

struct DialogText {
    std::string_view title, explanation, hint, done;
    float lines = 1;
};

DialogText text_of(const Dialog& dialog) {
    switch (dialog.kind) {
        case DialogKind::kRename: return {"Rename chat", "", "Title", "Rename"};
        case DialogKind::kEdit:
            return {"Edit message",
                    "The old version stays; the arrows under the message lead back to it.",
                    "Message", "Save as new version", 14};
        case DialogKind::kExport:
            return {"Export chat", "Where the file shall be written:", "/path/to/file", "Write"};
        case DialogKind::kImport:
            return {"Import chats",
                    "A JSON file of Millrace, ChatGPT, LM Studio, llama.cpp or Open WebUI. It can "
                    "also be dropped onto the window.",
                    "/path/to/file.json", "Import"};
        case DialogKind::kOpenModel:
            return {"Open a model",
                    "The directory of a checkpoint or of a store that was packed. Empty: the demo "
                    "model.",
                    "/path/to/model", "Open"};
        case DialogKind::kSystem:
            return {"System message", "What every answer in this chat keeps to.",
                    "You are a careful reader of contracts.", "Save", 10};
        case DialogKind::kErase: return {"Erase for good?", "This cannot be undone.", "", "Erase"};
        case DialogKind::kNone: break;
    }
    return {};
}

void finish_dialog(Frame& frame, const Dialog& dialog, const std::string& text) {
    Desk& desk = frame.desk;
    switch (dialog.kind) {
        case DialogKind::kRename: desk.rename_chat(dialog.chat, text); break;
        case DialogKind::kEdit: desk.edit(dialog.message, text); break;
        case DialogKind::kExport: desk.export_chat_to(text, dialog.format, dialog.what); break;
        case DialogKind::kImport: desk.import_from(text); break;
        case DialogKind::kOpenModel: desk.open_model(text); break;
        case DialogKind::kSystem:
            desk.change_chat([&](ChatSettings& settings) { settings.system = text; });
            break;
        case DialogKind::kErase: desk.erase_chat(dialog.chat); break;
        case DialogKind::kNone: break;
    }
}

}  // namespace

std::string chord_text(const Frame& frame, std::string_view command) {
    const Command* known = command_named(command);
    return known == nullptr ? "" : name_of(chord_of(*known, frame.desk.state().settings));
}

void run_command(Frame& frame, std::string_view id) {
    const Command* command = command_named(id);
    if (command != nullptr && is_enabled(*command, frame.desk, frame.view))
        command->run(frame.desk, frame.view);
}

void palette_view(Frame& frame) {
    ViewState& view = frame.view;
    if (!view.palette_open) return;
    Ui& ui = frame.ui;
    ui.begin_layer();
    ui.push_id("palette");
    const Box inside = overlay_card(ui, ui.px(560), ui.px(460), 0.18F);
    const std::vector<const Command*> found = matching(view.palette_words->text());
    // Before the field sees them.
    if (ui.take(Key::kDown)) ++view.palette_at;
    if (ui.take(Key::kUp) && view.palette_at > 0) --view.palette_at;
    ui.focus(ui.id("Command"));
    const FieldResult field =
        ui.field("Command", *view.palette_words, inside.left, inside.top, inside.width(),
                 Size::kBody, {.hint = "What would you like to do?"});
    if (field.changed) view.palette_at = 0;
    view.palette_at = std::min(view.palette_at, found.empty() ? 0 : found.size() - 1);
    const float row = ui.px(36), top = inside.top + field.height + ui.px(10);
    const auto rows = static_cast<size_t>(std::max(1.F, (inside.bottom - top) / row));
    const size_t first = view.palette_at < rows ? 0 : view.palette_at - rows + 1;
    const Command* chosen = nullptr;
    for (size_t i = first; i < std::min(found.size(), first + rows); ++i) {
        const Command& command = *found[i];
        const float y = top + row * static_cast<float>(i - first);
        const Box box = {inside.left, y, inside.right, y + row - ui.px(2)};
        const bool can = is_enabled(command, frame.desk, view);
        const Touch touch = ui.thing(ui.id(command.id), ThingRole::kMenuItem, command.name, box,
                                     can ? Enabled::kYes : Enabled::kNo, i == view.palette_at);
        if (i == view.palette_at || touch.hovered)
            ui.canvas().fill(box, ui.tone(i == view.palette_at ? Tone::kPressed : Tone::kHover),
                             ui.px(8));
        ui.label(command.name, {box.left + ui.px(12), box.top, box.right - ui.px(140), box.bottom},
                 Size::kLabel, can ? Tone::kText : Tone::kMuted);
        ui.label(name_of(chord_of(command, frame.desk.state().settings)),
                 {box.left, box.top, box.right - ui.px(12), box.bottom}, Size::kCaption,
                 Tone::kMuted, Align::kRight);
        if (touch.clicked) chosen = &command;
    }
    if (found.empty())
        ui.label("No command is called that.", {inside.left, top, inside.right, top + row},
                 Size::kLabel, Tone::kMuted);
    if (field.submitted && !found.empty()) chosen = found[view.palette_at];
    if (chosen != nullptr || ui.take(Key::kEscape) || pressed_outside(ui, inside)) {
        view.palette_open = false;
        view.focus_composer = true;
        ui.be_restless();
    }
    ui.pop_id();
    ui.end_layer();
    if (chosen != nullptr && is_enabled(*chosen, frame.desk, view)) chosen->run(frame.desk, view);
}

void dialog_view(Frame& frame) {
    ViewState& view = frame.view;
    if (view.dialog.kind == DialogKind::kNone) return;
    Ui& ui = frame.ui;
    const DialogText text = text_of(view.dialog);
    ui.begin_layer();
    ui.push_id("dialog");
    const bool exports = view.dialog.kind == DialogKind::kExport;
    const float height = ui.px(190 + (exports ? 40 : 0)) + ui.px(24) * (text.lines - 1);
    const Box inside = overlay_card(ui, ui.px(620), height, 0.35F);
    float y = inside.top;
    ui.text(text.title, inside.left, y + ui.px(20), Size::kHeading, Tone::kText);
    y += ui.px(34);
    y +=
        ui.paragraph(text.explanation, inside.left, y, inside.width(), Size::kLabel, Tone::kMuted) +
        ui.px(8);
    FieldResult field;
    if (view.dialog.kind != DialogKind::kErase) {
        if (view.focus_dialog) ui.focus(ui.id(text.title));
        view.focus_dialog = false;
        field =
            ui.field(text.title, *view.dialog_text, inside.left, y, inside.width(), Size::kLabel,
                     {.hint = text.hint,
                      .lines_max = text.lines,
                      .lines_min = text.lines,
                      .submit_on_enter = text.lines <= 1});
        y += field.height + ui.px(10);
    }
    if (exports && ui.toggle("With all branches, not only the one that is shown",
                             {inside.left, y, inside.right, y + ui.px(30)},
                             view.dialog.what == ExportWhat::kAll)) {
        view.dialog.what =
            view.dialog.what == ExportWhat::kAll ? ExportWhat::kBranch : ExportWhat::kAll;
    }
    const float done_width = ui.button_width(text.done), cancel_width = ui.button_width("Cancel"),
                top = inside.bottom - ui.px(34);
    const bool danger = view.dialog.kind == DialogKind::kErase;
    const bool done =
        ui.button(text.done, {inside.right - done_width, top, inside.right, inside.bottom},
                  danger ? ButtonLook::kDanger : ButtonLook::kPrimary);
    const bool cancel =
        ui.button("Cancel", {inside.right - done_width - cancel_width - ui.px(8), top,
                             inside.right - done_width - ui.px(8), inside.bottom});
    const bool finished = done || field.submitted;
    if (finished || cancel || ui.take(Key::kEscape)) {
        const Dialog dialog = view.dialog;
        view.dialog = {};
        view.focus_composer = true;
        ui.be_restless();
        if (finished) finish_dialog(frame, dialog, view.dialog_text->text());
    }
    ui.pop_id();
    ui.end_layer();
}

void menu_view(Frame& frame) {
    ViewState& view = frame.view;
    if (!view.menu_at) return;
    Ui& ui = frame.ui;
    constexpr std::array<std::string_view, 11> entries = {
        "chat.rename", "chat.pin",  "chat.system", "chat.find",   "chat.branches", "file.markdown",
        "file.html",   "file.json", "file.import", "chat.delete", "view.palette"};
    ui.begin_layer();
    ui.push_id("menu");
    const float row = ui.px(34), width = ui.px(280), height = row * entries.size() + ui.px(12);
    const float left =
        std::clamp(view.menu_at->first - width + ui.px(60), 0.F, ui.whole().width() - width);
    const Box box = {left, view.menu_at->second, left + width, view.menu_at->second + height};
    ui.canvas().fill(box, ui.tone(Tone::kRaised), ui.px(10));
    ui.canvas().outline(box, ui.tone(Tone::kBorder), ui.px(10), 1);
    bool close = ui.take(Key::kEscape) || (ui.layer_is_top() && ui.input().left.pressed &&
                                           !box.contains(ui.input().x, ui.input().y));
    const Command* chosen = nullptr;
    for (size_t i = 0; i < entries.size(); ++i) {
        const Command& command = *command_named(entries[i]);
        const float y = box.top + ui.px(6) + row * static_cast<float>(i);
        const Box at = {box.left + ui.px(6), y, box.right - ui.px(6), y + row - ui.px(2)};
        const bool can = is_enabled(command, frame.desk, view);
        const Touch touch = ui.thing(ui.id(command.id), ThingRole::kMenuItem, command.name, at,
                                     can ? Enabled::kYes : Enabled::kNo);
        if (touch.hovered || touch.focused) ui.canvas().fill(at, ui.tone(Tone::kHover), ui.px(7));
        ui.label(command.name, {at.left + ui.px(10), at.top, at.right, at.bottom}, Size::kLabel,
                 !can                          ? Tone::kMuted
                 : command.id == "chat.delete" ? Tone::kBad
                                               : Tone::kText);
        ui.label(chord_text(frame, command.id), {at.left, at.top, at.right - ui.px(10), at.bottom},
                 Size::kCaption, Tone::kMuted, Align::kRight);
        if (touch.clicked) chosen = &command;
    }
    if (close || chosen != nullptr) {
        view.menu_at.reset();
        ui.be_restless();
    }
    ui.pop_id();
    ui.end_layer();
    if (chosen != nullptr) chosen->run(frame.desk, view);
}

void help_view(Frame& frame) {
    ViewState& view = frame.view;
    if (!view.help_open) return;
    Ui& ui = frame.ui;
    ui.begin_layer();
    ui.push_id("help");
    const Box inside = overlay_card(ui, ui.px(640), ui.px(720), 0.4F);
    ui.text("Keys", inside.left, inside.top + ui.px(20), Size::kHeading, Tone::kText);
    const float close_width = ui.button_width("Close");
    const bool close = ui.button(
        "Close", {inside.right - close_width, inside.top, inside.right, inside.top + ui.px(30)});
    const Box list = {inside.left, inside.top + ui.px(42), inside.right, inside.bottom};
    view.help_scroll.at_end = false;
    ui.begin_scroll("keys", list, view.help_scroll, true);
    float y = list.top - view.help_scroll.offset;
    const float first = y, row = ui.px(28);
    const auto line = [&](std::string_view name, const std::string& chord) {
        ui.label(name, {list.left + ui.px(8), y, list.right - ui.px(180), y + row}, Size::kLabel,
                 Tone::kText);
        ui.label(chord, {list.left, y, list.right - ui.px(20), y + row}, Size::kLabel, Tone::kMuted,
                 Align::kRight);
        y += row;
    };
    for (size_t group = 0; group < kGroupNames.size(); ++group) {
        ui.label(kGroupNames[group], {list.left, y, list.right, y + ui.px(34)}, Size::kStrong,
                 Tone::kMuted);
        y += ui.px(34);
        for (const Command& command : commands()) {
            if (static_cast<size_t>(command.group) == group)
                line(command.name, name_of(chord_of(command, frame.desk.state().settings)));
        }
    }
    ui.label("Everywhere", {list.left, y, list.right, y + ui.px(34)}, Size::kStrong, Tone::kMuted);
    y += ui.px(34);
    line("Next, previous control", "Tab, Shift+Tab");
    line("Use a control", "Enter or Space");
    line("Line break in a message",
         frame.desk.state().settings.enter_sends ? "Shift+Enter" : "Enter");
    line("Scroll the conversation", "PageUp, PageDown, Ctrl+Home, Ctrl+End");
    ui.end_scroll(y - first);
    if (close || ui.take(Key::kEscape) || pressed_outside(ui, inside)) {
        view.help_open = false;
        ui.be_restless();
    }
    ui.pop_id();
    ui.end_layer();
}

void notices_view(Frame& frame) {
    Ui& ui = frame.ui;
    const std::vector<Notice>& notices = frame.desk.state().notices;
    if (notices.empty()) return;
    ui.push_id("notices");
    const float width = std::min(ui.px(460), ui.whole().width() - ui.px(32));
    float bottom = ui.whole().height() - ui.px(116);  // above what one writes
    std::optional<size_t> forget;
    bool undo = false;
    for (size_t i = notices.size(); i-- > 0;) {
        const Notice& notice = notices[i];
        ui.push_id(static_cast<int64_t>(i));
        const float button = ui.button_width(notice.undo ? "Undo" : "Close");
        const float inner = width - button - ui.px(36);
        const float lines =
            std::clamp(std::ceil(ui.width_of(notice.text, Size::kLabel) * 1.1F / inner), 1.F, 6.F);
        const float height = lines * ui.px(21) + ui.px(22);
        const Box box = {ui.whole().width() - width - ui.px(16), bottom - height,
                         ui.whole().width() - ui.px(16), bottom};
        ui.canvas().fill(box, ui.tone(notice.bad ? Tone::kBadGround : Tone::kRaised), ui.px(10));
        ui.canvas().outline(box, ui.tone(notice.bad ? Tone::kBad : Tone::kBorder), ui.px(10), 1);
        ui.canvas().push_clip(box);
        ui.paragraph(notice.text, box.left + ui.px(14), box.top + ui.px(11), inner, Size::kLabel,
                     notice.bad ? Tone::kBad : Tone::kText);
        ui.canvas().pop_clip();
        const Box at = {box.right - button - ui.px(8), box.top + ui.px(6), box.right - ui.px(8),
                        box.top + ui.px(36)};
        if (ui.button(notice.undo ? "Undo" : "Close", at, ButtonLook::kQuiet)) {
            if (notice.undo) {
                undo = true;
            } else {
                forget = i;
            }
        }
        bottom = box.top - ui.px(8);
        ui.pop_id();
    }
    ui.pop_id();
    if (undo) frame.desk.undo();
    if (forget) frame.desk.forget_notice(*forget);
}

}  // namespace millrace
