// The list of chats at the left, with the doors to the other screens at its foot.

#include <algorithm>
#include <array>

#include "ui/commands.h"
#include "ui/views.h"

namespace millrace {
namespace {

constexpr float kPad = 12, kRow = 34;

// A chat's row. Right of the title: the pin, and under the pointer what can be done.
void chat_row(Frame& frame, const ChatSummary& chat, const Box& box, bool bin) {
    Ui& ui = frame.ui;
    ui.push_id(static_cast<int64_t>(chat.id));
    const AppState& state = frame.desk.state();
    const bool shown = !bin && state.chat && state.chat->summary.id == chat.id;
    const Touch touch =
        ui.thing(ui.id("row"), ThingRole::kRow, chat.title, box, Enabled::kYes, shown);
    if (shown || touch.hovered) {
        ui.canvas().fill(box, ui.tone(shown ? Tone::kPressed : Tone::kHover), ui.px(8));
    }
    if (touch.focused) ui.canvas().outline(box, ui.tone(Tone::kFocus), ui.px(8), ui.px(1.5F));
    float right = box.right - ui.px(8);
    const bool running = state.running && state.running->chat == chat.id;
    if (running) {
        ui.canvas().disc(right - ui.px(4), (box.top + box.bottom) / 2, ui.px(4),
                         ui.tone(Tone::kAccent));
        right -= ui.px(16);
    } else if (chat.pinned && !touch.hovered) {
        ui.label("pinned", {right - ui.px(48), box.top, right, box.bottom}, Size::kCaption,
                 Tone::kMuted, Align::kRight);
        right -= ui.px(52);
    }
    if (bin) {
        const float width = ui.button_width("Restore");
        if (ui.button("Restore", {right - width, box.top + ui.px(3), right, box.bottom - ui.px(3)},
                      ButtonLook::kQuiet)) {
            frame.desk.restore_chat(chat.id);
        }
        right -= width;
        const float erase = ui.button_width("Erase");
        const Box at = {right - erase, box.top + ui.px(3), right, box.bottom - ui.px(3)};
        if (ui.button("Erase", at, ButtonLook::kQuiet)) {
            frame.view.open_dialog(DialogKind::kErase, "");
            frame.view.dialog.chat = chat.id;
        }
        right -= erase;
    }
    ui.label(chat.title, {box.left + ui.px(10), box.top, right, box.bottom}, Size::kLabel,
             Tone::kText);
    if (touch.clicked && !bin) {
        frame.desk.open_chat(chat.id);
        frame.view.focus_composer = true;
    }
    if (touch.double_clicked && !bin) {
        frame.view.open_dialog(DialogKind::kRename, chat.title);
        frame.view.dialog.chat = chat.id;
    }
    ui.pop_id();
}

std::string_view age_of(int64_t then_ms, int64_t newest_ms) {
    constexpr int64_t kDay = 24LL * 3600 * 1000;
    const int64_t age = newest_ms - then_ms;
    return age < kDay        ? "Latest"
           : age < 7 * kDay  ? "In the week before"
           : age < 30 * kDay ? "In the month before"
                             : "Older";
}

void chat_list(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const AppState& state = frame.desk.state();
    Scroll& scroll = frame.view.rail_scroll;
    scroll.at_end = false;
    ui.begin_scroll("chats", box, scroll);
    const float row = ui.px(kRow);
    float y = box.top - scroll.offset;
    const auto title = [&](std::string_view text) {
        ui.label(text, {box.left + ui.px(10), y + ui.px(6), box.right, y + ui.px(28)},
                 Size::kCaption, Tone::kMuted);
        y += ui.px(30);
    };
    const std::vector<ChatSummary>& chats = frame.view.bin_open ? state.bin : state.chats;
    if (frame.view.bin_open) title("Bin: erased after 30 days");
    if (chats.empty()) {
        y += ui.paragraph(
                 frame.view.bin_open ? "The bin is empty." : "Your chats will be listed here.",
                 box.left + ui.px(10), y + ui.px(8), box.width() - ui.px(20), Size::kLabel,
                 Tone::kMuted) +
             ui.px(16);
    }
    int64_t newest = 0;
    for (const ChatSummary& chat : chats) newest = std::max(newest, chat.changed_ms);
    std::string_view group;
    for (const ChatSummary& chat : chats) {
        const std::string_view now = frame.view.bin_open ? ""
                                     : chat.pinned       ? "Pinned"
                                                         : age_of(chat.changed_ms, newest);
        if (now != group) title(group = now);
        // Rows out of sight cost nothing.
        if (y + row > box.top && y < box.bottom)
            chat_row(frame, chat, {box.left, y, box.right - ui.px(10), y + row - ui.px(2)},
                     frame.view.bin_open);
        y += row;
    }
    ui.end_scroll(y - (box.top - scroll.offset) + ui.px(8));
}

// Why chats are not kept. Returns what it takes of the height.
float store_card(Frame& frame, float left, float top, float width) {
    Ui& ui = frame.ui;
    const Box card = {left, top, left + width, top + ui.px(118)};
    ui.canvas().fill(card, ui.tone(Tone::kBadGround), ui.px(8));
    ui.canvas().push_clip(card);
    ui.paragraph(frame.desk.state().store_text, left + ui.px(8), top + ui.px(8), width - ui.px(16),
                 Size::kCaption, Tone::kBad);
    ui.canvas().pop_clip();
    return card.height() + ui.px(8);
}

}  // namespace

void search_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const SearchState& search = frame.desk.state().search;
    Scroll& scroll = frame.view.found_scroll;
    scroll.at_end = false;
    ui.begin_scroll("found", box, scroll);
    float y = box.top - scroll.offset;
    const std::string head = search.words.empty()   ? "Type to search all chats."
                             : search.running       ? "Searching…"
                             : search.found.empty() ? "Nothing found."
                                                    : "";
    if (!head.empty())
        y += ui.paragraph(head, box.left + ui.px(10), y + ui.px(8), box.width() - ui.px(20),
                          Size::kLabel, Tone::kMuted) +
             ui.px(16);
    const float row = ui.px(62);
    for (size_t i = 0; i < search.found.size(); ++i) {
        const FoundMessage& found = search.found[i];
        const Box at = {box.left, y, box.right - ui.px(10), y + row - ui.px(4)};
        y += row;
        if (at.bottom < box.top || at.top > box.bottom) continue;
        ui.push_id(static_cast<int64_t>(i));
        const Touch touch = ui.thing(ui.id("found"), ThingRole::kRow, found.title, at);
        if (touch.hovered || touch.focused) ui.canvas().fill(at, ui.tone(Tone::kHover), ui.px(8));
        ui.label(found.title,
                 {at.left + ui.px(10), at.top + ui.px(4), at.right - ui.px(6), at.top + ui.px(28)},
                 Size::kStrong, Tone::kText);
        ui.label(
            found.snippet,
            {at.left + ui.px(10), at.top + ui.px(30), at.right - ui.px(6), at.bottom - ui.px(6)},
            Size::kCaption, Tone::kMuted);
        if (touch.clicked) {
            frame.desk.open_chat(found.chat, found.message);
            // The words are looked up in the chat itself, so that one stands before the match.
            frame.view.find_open = true;
            frame.view.find_words->set_text(search.words);
            frame.view.found_for.clear();
            frame.view.reveal_found = true;
        }
        ui.pop_id();
    }
    ui.end_scroll(y - (box.top - scroll.offset) + ui.px(8));
}

void rail_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    ui.push_id("rail");
    ui.ground(box, Tone::kSide);
    ui.canvas().line(box.right, box.top, box.right, box.bottom, 1, ui.tone(Tone::kBorder));
    const float pad = ui.px(kPad), left = box.left + pad, right = box.right - pad;
    float y = box.top + pad;
    ui.text("Millrace", left + ui.px(4), y + ui.px(19), Size::kHeading, Tone::kText);
    y += ui.px(34);
    if (ui.button("New chat", {left, y, right, y + ui.px(36)}, ButtonLook::kPrimary))
        run_command(frame, "chat.new");
    y += ui.px(46);
    const FieldResult words = ui.field("Search all chats", *frame.view.search_words, left, y,
                                       right - left, Size::kLabel, {.hint = "Search all chats"});
    if (frame.view.focus_search) {
        frame.view.focus_search = false;
        ui.focus(ui.id("Search all chats"));
    }
    if (words.changed) frame.desk.search(frame.view.search_words->text());
    if (words.focused && ui.take(Key::kEscape)) {
        frame.view.search_words->set_text("");
        frame.desk.close_search();
        frame.view.focus_composer = true;
    }
    y += words.height + ui.px(8);

    struct Door {
        Screen screen;
        std::string_view name, command;
    };
    constexpr std::array<Door, 6> doors = {{{Screen::kChat, "Chat", "view.chat"},
                                            {Screen::kEngine, "Engine", "view.engine"},
                                            {Screen::kModels, "Models", "view.models"},
                                            {Screen::kBenchmark, "Benchmark", "view.benchmark"},
                                            {Screen::kSettings, "Settings", "view.settings"},
                                            {Screen::kLogs, "Logs", "view.logs"}}};
    const float row = ui.px(32),
                foot = box.bottom - pad - row * (static_cast<float>(doors.size()) + 1) - ui.px(8);
    if (frame.desk.state().store_failed) y += store_card(frame, left, y, right - left);
    const bool searching =
        frame.desk.state().search.open && !frame.view.search_words->text().empty();
    const Box list = {left, y, box.right - ui.px(2), foot - ui.px(4)};
    searching ? search_view(frame, list) : chat_list(frame, list);
    y = foot;
    ui.canvas().line(left, y, right, y, 1, ui.tone(Tone::kBorder));
    y += ui.px(8);
    const auto door = [&](std::string_view name, bool here, const std::string& hint) {
        const Box at = {left, y, right, y + row - ui.px(2)};
        const Touch touch = ui.thing(ui.id(name), ThingRole::kTab, name, at, Enabled::kYes, here);
        if (here || touch.hovered)
            ui.canvas().fill(at, ui.tone(here ? Tone::kPressed : Tone::kHover), ui.px(8));
        if (touch.focused) ui.canvas().outline(at, ui.tone(Tone::kFocus), ui.px(8), ui.px(1.5F));
        ui.label(name, {at.left + ui.px(10), at.top, at.right, at.bottom},
                 here ? Size::kStrong : Size::kLabel, here ? Tone::kText : Tone::kMuted);
        ui.label(hint, {at.left, at.top, at.right - ui.px(10), at.bottom}, Size::kCaption,
                 Tone::kMuted, Align::kRight);
        y += row;
        return touch.clicked;
    };
    if (door("Bin", frame.view.bin_open,
             frame.desk.state().bin.empty() ? "" : std::to_string(frame.desk.state().bin.size()))) {
        frame.view.bin_open = !frame.view.bin_open;
    }
    for (const Door& entry : doors) {
        if (door(entry.name, frame.desk.state().screen == entry.screen,
                 chord_text(frame, entry.command)))
            run_command(frame, entry.command);
    }
    ui.pop_id();
}

}  // namespace millrace
