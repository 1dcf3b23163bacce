// All branches of the chat over the page: one walks through them with the arrows and chooses the one to be shown.

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/base/strings.h"
#include "ui/branch_map.h"
#include "ui/cards.h"
#include "ui/views.h"

namespace millrace {
namespace {

constexpr float kRow = 30, kStep = 18;
// Deeper turnings stand at the same place, with their depth as a number.
constexpr int32_t kIndentMax = 8;

void refresh(BranchesViewState& view, const OpenChat& chat) {
    const Branches& branches = chat.branches;
    const MessageId last = branches.size() == 0 ? MessageId::kNone : branches.all().back().id;
    const BranchesViewState::Key key = {chat.summary.id, last, branches.leaf(), branches.size(),
                                        branches.version()};
    if (view.key == key) return;
    view.key = key;
    view.map = BranchMap(branches);
    if (view.map.row_of(view.at) == view.map.rows().size()) view.at = branches.leaf();
}

// The row to go to, where a key asks for one.
size_t moved(Ui& ui, const BranchMap& map, size_t row, size_t page) {
    const size_t last = map.rows().size() - 1;
    if (ui.take(Key::kDown)) row = std::min(last, row + 1);
    if (ui.take(Key::kUp)) row = row == 0 ? 0 : row - 1;
    if (ui.take(Key::kPageDown)) row = std::min(last, row + page);
    if (ui.take(Key::kPageUp)) row = row < page ? 0 : row - page;
    if (ui.take(Key::kHome)) row = 0;
    if (ui.take(Key::kEnd)) row = last;
    if (ui.take(Key::kLeft)) row = map.version_beside(row, -1);
    if (ui.take(Key::kRight)) row = map.version_beside(row, 1);
    return row;
}

uint32_t id_of(Ui& ui, MessageId id) {
    ui.push_id(static_cast<int64_t>(id));
    const uint32_t made = ui.id("row");
    ui.pop_id();
    return made;
}

// True: it was chosen.
bool draw_row(Frame& frame, const BranchRow& row, const Box& box) {
    Ui& ui = frame.ui;
    const StoredMessage* message = frame.desk.state().chat->branches.find(row.id);
    if (message == nullptr) return false;
    const std::string words = first_words(*message);
    const std::string_view who = message->author == Author::kUser        ? "You"
                                 : message->author == Author::kAssistant ? "Answer"
                                                                         : "System";
    const std::string version = row.count > 1 ? cat(row.number, " of ", row.count) : "";
    const std::string name = cat(who, ": ", words, version.empty() ? "" : ", version ", version,
                                 row.shown ? ", shown" : "");
    const Touch touch =
        ui.thing(id_of(ui, row.id), ThingRole::kRow, name, box, Enabled::kYes, row.shown);
    const bool here = frame.view.branches.at == row.id;
    if (here || touch.hovered)
        ui.canvas().fill(box, ui.tone(here ? Tone::kPressed : Tone::kHover), ui.px(7));
    if (touch.focused && ui.by_keyboard())
        ui.canvas().outline(box, ui.tone(Tone::kFocus), ui.px(7), ui.px(1.5F));
    if (touch.focused) frame.view.branches.at = row.id;
    const float middle = (box.top + box.bottom) / 2, line = std::max(1.F, ui.px(1));
    const auto indent = std::min(row.indent, kIndentMax);
    const auto column = [&](int32_t i) {
        return box.left + ui.px(14) + ui.px(kStep) * static_cast<float>(i);
    };
    for (int32_t i = 0; i <= indent; ++i) {
        const bool own = i == 0;  // what is shown runs down the first column
        ui.canvas().line(column(i), box.top, column(i), box.bottom + ui.px(2), line,
                         ui.tone(own ? Tone::kAccent : Tone::kBorder));
    }
    const float x = column(indent);
    ui.canvas().disc(x, middle, ui.px(5), ui.tone(row.shown ? Tone::kAccent : Tone::kGround));
    if (!row.shown) ui.canvas().ring(x, middle, ui.px(5), ui.px(1.5F), ui.tone(Tone::kMuted));
    float left = x + ui.px(14), right = box.right - ui.px(10);
    if (row.indent > kIndentMax) {
        const std::string depth = cat("turn ", row.indent);
        left += ui.label(depth, {left, box.top, right, box.bottom}, Size::kCaption, Tone::kMuted) +
                ui.px(8);
    }
    if (!version.empty()) {
        right -= ui.label(version, {left, box.top, right, box.bottom}, Size::kCaption, Tone::kMuted,
                          Align::kRight) +
                 ui.px(12);
    }
    left += ui.label(who, {left, box.top, std::max(left, right), box.bottom}, Size::kCaption,
                     Tone::kMuted) +
            ui.px(8);
    if (right > left)
        ui.label(words, {left, box.top, right, box.bottom},
                 row.shown ? Size::kStrong : Size::kLabel, row.shown ? Tone::kText : Tone::kMuted);
    return touch.clicked;
}

void reveal_row(Ui& ui, BranchesViewState& view, const Box& list) {
    const float row = ui.px(kRow), top = row * static_cast<float>(view.map.row_of(view.at));
    view.scroll.offset = std::clamp(view.scroll.offset, top + row - list.height(), top);
    ui.be_restless();
}

void choose(Frame& frame, const BranchRow& row) {
    // What is on the branch that is shown is only gone to: showing it would lead to the newest end below it.
    if (!row.shown) frame.desk.show_version(row.id);
    frame.view.reveal_message = row.id;
    frame.view.branches.open = false;
    frame.view.focus_composer = true;
    frame.ui.be_restless();
}

std::string head_text(const BranchMap& map) {
    if (map.rows().empty()) return "Nothing has been said in this chat yet.";
    if (map.branches() == 1)
        return "This chat has one branch. Another begins where a message is edited or answered "
               "again.";
    return cat("This chat has ", map.branches(),
               " branches. What is shown is filled; Enter shows another, Left and Right go from "
               "version to version.");
}

// The row that was chosen, if one was.
std::optional<size_t> draw_rows(Frame& frame, const Box& list) {
    Ui& ui = frame.ui;
    BranchesViewState& view = frame.view.branches;
    const std::span<const BranchRow> rows = view.map.rows();
    const float row = ui.px(kRow);
    std::optional<size_t> chosen;
    if (rows.empty() || list.height() <= row) return chosen;
    const auto page = static_cast<size_t>(list.height() / row);
    const size_t at = std::min(view.map.row_of(view.at), rows.size() - 1);
    const size_t to = ui.layer_is_top() ? moved(ui, view.map, at, page) : at;
    view.scroll.content = row * static_cast<float>(rows.size());
    view.scroll.at_end = false;
    if (to != at || view.opened) {
        view.at = rows[to].id;
        ui.focus(id_of(ui, view.at));
        if (view.opened) {
            view.scroll.offset = row * static_cast<float>(to) - list.height() / 2;
        } else {
            reveal_row(ui, view, list);
        }
        view.opened = false;
        ui.be_restless();
    }
    ui.begin_scroll("tree", list, view.scroll);
    const auto first = static_cast<size_t>(view.scroll.offset / row);
    const size_t end = std::min(rows.size(), first + page + 2);
    const MessageId stood = view.at;
    for (size_t i = first; i < end; ++i) {
        const float top = list.top + row * static_cast<float>(i) - view.scroll.offset;
        const Box box = {list.left, top, list.right - ui.px(12), top + row - ui.px(2)};
        if (draw_row(frame, rows[i], box)) chosen = i;
    }
    // Tab reaches the row behind the last that is seen, and the list follows.
    if (view.at != stood) reveal_row(ui, view, list);
    if (ui.focused() == 0 && ui.layer_is_top() && ui.take(Key::kEnter)) chosen = to;
    ui.end_scroll(view.scroll.content);
    return chosen;
}

}  // namespace

void branches_view(Frame& frame) {
    BranchesViewState& view = frame.view.branches;
    if (!view.open) return;
    if (!frame.desk.state().chat) {
        view.open = false;
        return;
    }
    refresh(view, *frame.desk.state().chat);
    Ui& ui = frame.ui;
    ui.begin_layer();
    ui.push_id("branches");
    const Box inside = overlay_card(ui, ui.px(720), ui.px(640), 0.3F);
    const float button = ui.button_width("Close");
    const bool low = inside.height() <= ui.px(240);
    const size_t ends = view.map.branches();
    const std::string title = low ? cat(ends, ends == 1 ? " branch" : " branches") : "Branches";
    ui.label(title, {inside.left, inside.top, inside.right - button, inside.top + ui.px(30)},
             Size::kHeading, Tone::kText);
    const bool close = ui.button(
        "Close", {inside.right - button, inside.top, inside.right, inside.top + ui.px(30)},
        ButtonLook::kQuiet);
    float y = inside.top + ui.px(38);
    // A low window needs its height for the rows.
    if (!low) {
        y += ui.paragraph(head_text(view.map), inside.left, y, inside.width(), Size::kLabel,
                          Tone::kMuted) +
             ui.px(10);
    }
    const Box list = {inside.left, std::min(y, inside.bottom), inside.right, inside.bottom};
    const std::optional<size_t> chosen = draw_rows(frame, list);
    const bool leave = ui.layer_is_top() && (ui.take(Key::kEscape) || pressed_outside(ui, inside));
    ui.pop_id();
    ui.end_layer();
    if (chosen) {
        choose(frame, view.map.rows()[*chosen]);
    } else if (close || leave) {
        view.open = false;
        frame.view.focus_composer = true;
        ui.be_restless();
    }
}

}  // namespace millrace
