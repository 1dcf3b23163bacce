// The engine: what it does, drawn from what it counts. The screen shows all of it, the pane beside the chat the few
// things one looks at while an answer comes.

#include <array>

#include "core/base/strings.h"
#include "ui/cards.h"
#include "ui/engine_cards.h"
#include "ui/plot_scale.h"

namespace millrace {
namespace {

void take_in(Frame& frame) {
    const ModelState& model = frame.desk.state().model;
    const LiveFeed* feed = frame.desk.feed();
    const bool ready = feed != nullptr && model.facts;
    EngineViewState& view = frame.view.engine;
    view.strip_drawn = false;
    // While an answer is written the window is drawn for every few words of it. Plots need not move as often, and where
    // they stand still their pixels cost nothing.
    constexpr double kPlotsEvery_s = 0.2;
    const double now_s = frame.ui.input().now_s;
    const bool fresh = now_s >= view.taken_s && now_s - view.taken_s < kPlotsEvery_s;
    if (ready && fresh && frame.desk.state().running) return;
    view.taken_s = now_s;
    view.history.take(ready ? feed : nullptr, ready ? model.facts->layers : 0,
                      ready ? model.facts->experts : 0, now_s);
}

// What is scrolled away is not pointed at.
void leave_strip(EngineViewState& view) {
    if (view.strip_drawn) return;
    view.token_hovered.reset();
    view.strip_focused = false;
}

std::string doing_text(const Frame& frame) {
    const EngineHistory& history = frame.view.engine.history;
    if (history.paused())
        return "Paused: nothing is taken in. What happens meanwhile is caught up with, as far as "
               "the engine keeps it.";
    const LiveState& state = history.state();
    switch (state.doing) {
        case LiveState::Doing::kPrefill:
            return cat("Reading the prompt: ", count_text(state.prompt_done), " of ",
                       count_text(state.prompt_tokens), " tokens",
                       state.reused_tokens > 0
                           ? cat(", ", count_text(state.reused_tokens), " of them were known")
                           : "");
        case LiveState::Doing::kDecode:
            return cat("Answering: ", count_text(state.generated_tokens),
                       " tokens written, behind a prompt of ", count_text(state.prompt_tokens));
        case LiveState::Doing::kIdle: break;
    }
    return history.empty() ? "" : "Idle. What is drawn is what the last requests did.";
}

// Why there is nothing to draw; "" if there is.
std::string empty_text(const Frame& frame) {
    const ModelState& model = frame.desk.state().model;
    if (model.phase == ModelPhase::kOpening) return "The model is being opened.";
    if (model.phase == ModelPhase::kClosed) return cat("No model is open. ", model.text);
    if (model.phase == ModelPhase::kNone || frame.desk.feed() == nullptr)
        return "No model is open.";
    if (frame.view.engine.history.empty())
        return "Ask something, and what the engine does is drawn here.";
    return "";
}

void pause_button(Frame& frame, float right, float top) {
    EngineHistory& history = frame.view.engine.history;
    const std::string_view name = history.paused() ? "Go on" : "Pause";
    const float width = frame.ui.button_width("Go on");
    if (frame.ui.button(name, {right - width, top, right, top + frame.ui.px(30)}))
        history.pause(!history.paused());
}

// Of the cards, those of the pane: speed, what the routers choose, time, hits, drive, token by token.
constexpr std::array<size_t, 6> kPaneCards = {0, 8, 1, 2, 3, 7};

// The strip of tokens has the keyboard: all of it should be seen.
void bring_strip(Frame& frame, const Box& box, Scroll& scroll) {
    EngineViewState& view = frame.view.engine;
    if (!view.strip_focused) return;
    const Box& strip = view.strip_box;
    const float room = frame.ui.px(60);
    if (strip.top < box.top) scroll.offset -= box.top - strip.top + room;
    if (strip.bottom > box.bottom) scroll.offset += strip.bottom - box.bottom + room;
    if (strip.top < box.top || strip.bottom > box.bottom) frame.ui.be_restless();
}

}  // namespace

void engine_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    take_in(frame);
    ui.push_id("engine");
    EngineViewState& view = frame.view.engine;
    CardPage page(ui, "engine", box, view.scroll);
    const float top = box.top - view.scroll.offset + ui.px(20);
    pause_button(frame, box.left + (box.width() + page.width()) / 2, top);
    const std::string empty = empty_text(frame);
    page.title("Engine", empty.empty() ? doing_text(frame) : std::string_view(empty));
    for (const EngineCard& card : engine_cards()) {
        if (!empty.empty()) break;
        const float width = card.wide ? page.width() : page.column_width();
        const Box at =
            page.place(card.height(frame, width - ui.px(32)) + card_frame_height(ui), card.wide);
        if (page.seen(at)) draw_engine_card(frame, card, at);
    }
    page.end();
    leave_strip(view);
    ui.pop_id();
}

void engine_pane(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    take_in(frame);
    ui.push_id("pane");
    ui.ground(box, Tone::kSide);
    ui.canvas().line(box.left, box.top, box.left, box.bottom, 1, ui.tone(Tone::kBorder));
    const float pad = ui.px(10);
    Scroll& scroll = frame.view.engine.pane_scroll;
    scroll.at_end = false;
    ui.begin_scroll("pane", box, scroll);
    float y = box.top - scroll.offset + pad;
    const float begin = y, left = box.left + pad, right = box.right - pad;
    ui.label("Engine", {left + ui.px(4), y, right, y + ui.px(30)}, Size::kHeading, Tone::kText);
    pause_button(frame, right, y);
    y += ui.px(36);
    const std::string empty = empty_text(frame);
    const std::string text = empty.empty() ? doing_text(frame) : empty;
    y += ui.paragraph(text, left + ui.px(4), y, right - left - ui.px(8), Size::kCaption,
                      Tone::kMuted) +
         ui.px(10);
    for (const size_t index : kPaneCards) {
        if (!empty.empty()) break;
        const EngineCard& card = engine_cards()[index];
        const Box at = {left, y, right,
                        y + card.height(frame, right - left - ui.px(32)) + card_frame_height(ui)};
        const bool seen = at.bottom > box.top && at.top < box.bottom;
        // The keyboard comes to what is not seen yet, and then it is brought here.
        if (seen || ui.by_keyboard()) draw_engine_card(frame, card, at);
        y = at.bottom + pad;
    }
    leave_strip(frame.view.engine);
    bring_strip(frame, box, scroll);
    ui.end_scroll(y - begin + pad);
    ui.pop_id();
}

}  // namespace millrace
