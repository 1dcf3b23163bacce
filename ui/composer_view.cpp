// Where one writes, with what a question costs and what the engine is doing about it.

#include <algorithm>
#include <cmath>

#include "core/base/strings.h"
#include "ui/plot_scale.h"
#include "ui/reading.h"
#include "ui/views.h"

namespace millrace {
namespace {

// What the answer that runs is at, in a line; `share` of the bar, or below 0 where there is none.
std::string progress_text(const Running& running, double now, float& share) {
    share = -1;
    switch (running.doing) {
        case Running::Doing::kWaiting: return "Waiting for the engine…";
        case Running::Doing::kStopping: return "Stopping…";
        case Running::Doing::kReading: break;
        case Running::Doing::kWriting: {
            const double spent = now - running.writing_s;
            if (running.tokens < 2 || spent <= 0) return "Writing…";
            return cat("Writing · ", fixed(static_cast<double>(running.tokens) / spent, 1),
                       " tok/s · ", count_text(running.tokens), " tokens");
        }
    }
    const auto total = static_cast<double>(std::max<int64_t>(1, running.total));
    share = static_cast<float>(static_cast<double>(running.done) / total);
    std::string text =
        cat("Reading ", count_text(running.done), " of ", count_text(running.total), " tokens");
    const double spent = now - running.reading_s;
    const auto read = static_cast<double>(running.done - running.done_at_first);
    if (spent > 0.2 && read > 0) {
        const double rate = read / spent;
        text += cat(" · ", fixed(rate, rate < 10 ? 1 : 0), " tok/s · ",
                    time_text(static_cast<double>(running.total - running.done) / rate), " left");
    }
    return text;
}

void progress_bar(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    float share = -1;
    const std::string text = progress_text(*frame.desk.state().running, ui.input().now_s, share);
    const float button = ui.button_width("Pause");
    ui.label(text, {box.left, box.top, box.right - button - ui.px(12), box.bottom}, Size::kLabel,
             Tone::kMuted);
    if (share >= 0) {
        const Box track = {box.left, box.bottom - ui.px(3), box.right - button - ui.px(12),
                           box.bottom};
        ui.canvas().fill(track, ui.tone(Tone::kPressed), ui.px(2));
        ui.canvas().fill({track.left, track.top,
                          track.left + track.width() * std::clamp(share, 0.F, 1.F), track.bottom},
                         ui.tone(Tone::kAccent), ui.px(2));
        if (ui.button("Pause", {box.right - button, box.top, box.right, box.bottom}))
            frame.desk.stop();
    } else if (ui.button("Stop", {box.right - button, box.top, box.right, box.bottom})) {
        frame.desk.stop();
    }
}

float thinking_switch(Frame& frame, float x, float y, float height) {
    Ui& ui = frame.ui;
    const AppState& state = frame.desk.state();
    const float start = x;
    x += ui.label("Thinking", {x, y, x + ui.px(70), y + height}, Size::kCaption, Tone::kMuted) +
         ui.px(8);
    const auto choose = [&](const std::string& effort, std::string name) {
        name[0] =
            static_cast<char>(name[0] >= 'a' && name[0] <= 'z' ? name[0] - 'a' + 'A' : name[0]);
        const float width = ui.width_of(name, Size::kStrong) + ui.px(18);
        if (ui.choice(name, {x, y, x + width, y + height},
                      frame.desk.chat_settings().think == effort)) {
            frame.desk.change_chat([&](ChatSettings& settings) { settings.think = effort; });
        }
        x += width + ui.px(2);
    };
    choose("off", "off");
    if (state.model.facts) {
        for (const std::string& effort : state.model.facts->efforts) {
            // An effort called "none" thinks as the model likes.
            choose(effort, effort == "none" ? "on" : effort);
        }
    }
    return x - start;
}

}  // namespace

void composer_view(Frame& frame, const Box& box, float& height) {
    Ui& ui = frame.ui;
    Desk& desk = frame.desk;
    TextEditor& editor = *frame.view.composer;
    ui.push_id("composer");
    const float width = std::min(ui.px(760), box.width() - ui.px(48));
    const float left = std::round(box.left + (box.width() - width) / 2);
    // Another chat, or a draft that was saved: the editor follows the desk.
    if (editor.text() != desk.draft() && frame.view.composer_version == editor.version()) {
        editor.set_text(desk.draft());
    }
    float y = box.bottom - height;
    const float top = y;
    if (desk.state().running) {
        progress_bar(frame, {left, y, left + width, y + ui.px(28)});
        y += ui.px(36);
    } else if (desk.can_continue()) {
        const float button = ui.button_width("Continue");
        ui.label("The answer was stopped; it can go on from its last token.",
                 {left, y, left + width - button, y + ui.px(28)}, Size::kLabel, Tone::kMuted);
        if (ui.button("Continue", {left + width - button, y, left + width, y + ui.px(28)}))
            desk.continue_answer();
        y += ui.px(36);
    }
    FieldLook look;
    look.hint =
        desk.state().running ? "You can write the next message meanwhile" : "Write a message";
    look.lines_max = 10;
    look.submit_on_enter = desk.state().settings.enter_sends;
    const float button = ui.px(76);
    const FieldResult field =
        ui.field("Message", editor, left, y, width - button - ui.px(8), Size::kBody, look);
    if (frame.view.focus_composer) {
        frame.view.focus_composer = false;
        ui.focus(ui.id("Message"));
        ui.be_restless();
    }
    frame.view.composer_version = editor.version();
    desk.set_draft(editor.text());
    const float bottom = y + field.height;
    const Box send = {left + width - button, bottom - ui.px(41), left + width, bottom};
    const Enabled can = desk.can_send() ? Enabled::kYes : Enabled::kNo;
    const bool pressed = ui.button("Send", send, ButtonLook::kPrimary, can);
    if ((pressed || field.submitted) && desk.can_send()) {
        desk.send();
        frame.view.chat_scroll.at_end = true;
        frame.view.focus_composer = true;
    }
    y = bottom + ui.px(6);
    const float row = ui.px(24), inset = ui.px(4);
    const float taken = thinking_switch(frame, left + inset, y, row) + ui.px(24);
    // A narrow window has no room for both in one row.
    const bool beside = width - taken >= ui.px(380);
    if (!beside) y += row + inset;
    const float begin = left + (beside ? taken : inset);
    context_view(frame, {begin, y, left + width - inset, y + row});
    y += ui.px(32);
    const float wanted = std::round(y - top);
    if (wanted != height) ui.be_restless();
    height = wanted;
    ui.pop_id();
}

}  // namespace millrace
