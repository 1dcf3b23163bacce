// What fills the context, by kind, and whether the model still knows the chat: a bar and a few words in the composer, and a
// card with all numbers under the pointer or the keyboard.

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/base/strings.h"
#include "ui/plot_scale.h"
#include "ui/reading.h"
#include "ui/views.h"

namespace millrace {
namespace {

struct Part {
    std::string_view name;
    int64_t tokens = 0;
    Colour colour;
};

// In the order in which they stand in the prompt; what is free comes last.
std::array<Part, kContextKinds + 1> parts_of(const Theme& theme, const ContextCount& count,
                                             int64_t whole) {
    const auto tokens = [&](ContextKind kind) { return count.of(kind); };
    return {{{"System", tokens(ContextKind::kSystem), theme.series[4]},
             {"History", tokens(ContextKind::kHistory), theme.series[0]},
             {"Thinking", tokens(ContextKind::kThinking), theme.series[3]},
             {"Draft", tokens(ContextKind::kDraft), theme.series[1]},
             {"Free", std::max<int64_t>(0, whole - count.total()), theme.tone(Tone::kPressed)}}};
}

std::string percent_text(int64_t tokens, int64_t whole) {
    const double percent = 100.0 * static_cast<double>(tokens) / static_cast<double>(whole);
    if (tokens > 0 && percent < 0.1) return "< 0.1 %";
    const bool close = percent < 10 || (percent > 99 && tokens != whole);
    return cat(fixed(percent, close ? 1 : 0), " %");
}

void segments(Ui& ui, const Box& track, const std::array<Part, kContextKinds + 1>& parts,
              int64_t whole) {
    ui.canvas().fill(track, parts.back().colour, ui.px(2));
    // A kind that is there can be seen, however little it is.
    const float least = ui.px(3), gap = std::max(1.F, std::round(ui.px(1)));
    float x = track.left;
    for (size_t i = 0; i < kContextKinds; ++i) {
        if (parts[i].tokens == 0) continue;
        const auto share =
            static_cast<float>(static_cast<double>(parts[i].tokens) / static_cast<double>(whole));
        const float width = std::max(least, std::round(share * track.width()));
        const float right = std::min(track.right, x + width);
        if (right <= x) break;
        ui.canvas().fill({x, track.top, right, track.bottom}, parts[i].colour, ui.px(1));
        x = right + gap;
    }
}

std::vector<std::string> reading_lines(const Reading& reading) {
    using Kind = Reading::Kind;
    if (reading.kind == Kind::kUnknown) return {"Not counted yet."};
    if (reading.kind == Kind::kNothing) return {};
    std::vector<std::string> lines = {
        cat("The model still knows ", count_text(reading.known), " of these tokens.")};
    if (reading.archived > 0)
        lines.push_back(
            cat(count_text(reading.archived), " of them come from the archive on the drive."));
    lines.push_back(cat("To be read before the answer: ", count_text(reading.unread), "."));
    if (reading.rate <= 0) {
        lines.emplace_back("How long that takes was not measured yet.");
    } else {
        lines.push_back(cat("About ", time_text(reading.seconds()), ", at ",
                            fixed(reading.rate, reading.rate < 10 ? 1 : 0), " tokens a second:"));
        lines.emplace_back(reading.measured ? "measured since the model was opened."
                                            : "estimated from an earlier answer in this chat.");
    }
    return lines;
}

// Above `box`, as far as the window goes.
void card(Ui& ui, const Box& box, const std::array<Part, kContextKinds + 1>& parts, int64_t whole,
          const Reading& reading) {
    const std::vector<std::string> lines = reading_lines(reading);
    const float pad = ui.px(12), row = ui.px(20);
    const float width = std::min(ui.px(320), ui.whole().width() - 2 * ui.px(8));
    const size_t rows = parts.size() + (lines.empty() ? 0 : lines.size());
    const float height = row * static_cast<float>(rows) + 2 * pad + (lines.empty() ? 0 : ui.px(9));
    const float right = std::max(box.right, width + ui.px(8));
    const float top = std::max(0.F, box.top - ui.px(6) - height);
    const Box at = {right - width, top, right, top + height};
    ui.canvas().fill(at, ui.tone(Tone::kRaised), ui.px(10));
    ui.canvas().outline(at, ui.tone(Tone::kBorder), ui.px(10), 1);
    ui.canvas().push_clip(at);
    ui.push_id("context card");
    const float left = at.left + pad, end = at.right - pad;
    float y = at.top + pad;
    for (const Part& part : parts) {
        const float middle = y + row / 2, half = ui.px(5);
        const Box swatch = {left, middle - half, left + 2 * half, middle + half};
        ui.canvas().fill(swatch, part.colour, ui.px(2));
        ui.canvas().outline(swatch, ui.tone(Tone::kMuted), ui.px(2), 1);
        ui.label(part.name, {left + ui.px(20), y, end, y + row}, Size::kCaption, Tone::kText);
        ui.label(count_text(part.tokens), {left, y, end - ui.px(64), y + row}, Size::kCaption,
                 Tone::kText, Align::kRight);
        ui.label(percent_text(part.tokens, whole), {end - ui.px(60), y, end, y + row},
                 Size::kCaption, Tone::kMuted, Align::kRight);
        (void)ui.thing(ui.id(part.name), ThingRole::kText,
                       cat(part.name, ": ", count_text(part.tokens), " tokens, ",
                           percent_text(part.tokens, whole)),
                       {left, y, end, y + row}, Enabled::kNo);
        y += row;
    }
    if (!lines.empty()) {
        y += ui.px(4);
        ui.canvas().line(left, y, end, y, 1, ui.tone(Tone::kBorder));
        y += ui.px(5);
    }
    for (const std::string& line : lines) {
        ui.label(line, {left, y, end, y + row}, Size::kCaption, Tone::kMuted);
        (void)ui.thing(ui.id(line), ThingRole::kText, line, {left, y, end, y + row}, Enabled::kNo);
        y += row;
    }
    ui.pop_id();
    ui.canvas().pop_clip();
}

}  // namespace

void context_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const AppState& state = frame.desk.state();
    if (!state.model.facts) return;
    const int64_t whole = std::max<int64_t>(1, state.model.facts->context_max);
    const ContextCount count = state.prompt ? state.prompt->context : ContextCount{};
    const Reading reading = reading_of(state);
    const std::string known = short_text(reading);
    const double share = static_cast<double>(count.total()) / static_cast<double>(whole);
    const std::string_view full = share > 1 ? ", too long" : share > 0.9 ? ", nearly full" : "";
    const std::string amount =
        state.prompt ? cat(count_text(count.total()), " of ", count_text(whole), full) : "";
    const std::string name = cat("Context: ", amount.empty() ? "" : cat(amount, " tokens"),
                                 amount.empty() || known.empty() ? "" : ". ", known);
    const Touch touch = ui.thing(ui.id("context"), ThingRole::kButton, name, box);
    const Tone tone = share > 0.9 ? Tone::kBad : share > 0.7 ? Tone::kCaution : Tone::kMuted;
    // From the right: the number, the bar, the words; what does not fit is cut, the words first.
    float right = box.right;
    if (!amount.empty()) right -= ui.label(amount, box, Size::kCaption, tone, Align::kRight);
    right -= ui.px(10);
    const auto parts = parts_of(ui.theme(), count, whole);
    const float middle = (box.top + box.bottom) / 2;
    if (const float room = right - box.left; state.prompt && room > ui.px(40)) {
        const Box track = {right - std::min(room, ui.px(110)), middle - ui.px(3), right,
                           middle + ui.px(3)};
        segments(ui, track, parts, whole);
        right = track.left - ui.px(12);
    }
    if (right > box.left + ui.px(24)) {
        const Tone word = reading.kind == Reading::Kind::kNeedsReading ? Tone::kText : Tone::kMuted;
        ui.label(known, {box.left, box.top, right, box.bottom}, Size::kCaption, word,
                 Align::kRight);
    }
    const bool by_key = touch.focused && ui.by_keyboard();
    if (by_key) ui.canvas().outline(box, ui.tone(Tone::kFocus), ui.px(7), ui.px(1.5F));
    // A click leaves the keyboard where one writes.
    if (touch.clicked && !by_key) frame.view.focus_composer = true;
    if (touch.hovered || by_key) card(ui, box, parts, whole, reading);
}

}  // namespace millrace
