// The chat: its head, the find bar, the conversation or the welcome, and the composer.

#include <algorithm>
#include <cmath>

#include "core/base/strings.h"
#include "ui/views.h"

namespace millrace {
namespace {

constexpr size_t kFoundMax = 1000;

// Case folding for a first look; what the text layer finds in the candidates is what counts.
bool may_hold(const std::string& text, const std::string& words) {
    const auto lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    const bool plain =
        std::ranges::all_of(words, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (!plain) return true;
    return std::search(text.begin(), text.end(), words.begin(), words.end(),
                       [&](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

void look_up(Frame& frame) {
    ViewState& view = frame.view;
    const std::string words = view.find_words->text();
    const Branches& branches = frame.desk.state().chat->branches;
    const std::string key =
        cat(words, "\n", static_cast<int64_t>(branches.leaf()), " ", branches.size());
    if (key == view.found_for) return;
    view.found_for = key;
    view.found.clear();
    view.found_here = 0;
    if (words.empty()) return;
    const std::vector<MessageId> shown = branches.shown();
    for (size_t i = 0; i < shown.size() && view.found.size() < kFoundMax; ++i) {
        const StoredMessage* message = branches.find(shown[i]);
        if (!may_hold(message->content, words)) continue;
        const auto known = view.texts.find(shown[i]);
        std::unique_ptr<RichText> own;
        const RichText* rich =
            known != view.texts.end() && known->second.content_bytes == message->content.size()
                ? known->second.content.get()
                : nullptr;
        if (rich == nullptr) {
            own = RichText::create(frame.ui.fonts(), message->author == Author::kUser
                                                         ? Markup::kPlain
                                                         : Markup::kMarkdown);
            own->set(message->content, Streaming::kNo);
            rich = own.get();
        }
        for (const TextRange& range : rich->find(words, kFoundMax - view.found.size()))
            view.found.push_back({i, range});
    }
    view.reveal_found = !view.found.empty();
}

void step(ViewState& view, bool forward) {
    if (view.found.empty()) return;
    const size_t count = view.found.size();
    view.found_here = (view.found_here + (forward ? 1 : count - 1)) % count;
    view.reveal_found = true;
}

float find_bar(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    ViewState& view = frame.view;
    const float height = ui.px(52), width = std::min(ui.px(520), box.width() - ui.px(24));
    const float left = box.right - width - ui.px(12), top = box.top + ui.px(6);
    ui.push_id("find");
    if (ui.chords().empty() && view.found_for.empty()) ui.focus(ui.id("Find in this chat"));
    const FieldResult field =
        ui.field("Find in this chat", *view.find_words, left, top, width - ui.px(266), Size::kLabel,
                 {.hint = "Find in this chat"});
    look_up(frame);
    const Box count = {left + width - ui.px(260), top, left + width - ui.px(180),
                       top + field.height};
    const std::string text = view.find_words->text().empty() ? ""
                             : view.found.empty()
                                 ? "none"
                                 : cat(view.found_here + 1, " of ", view.found.size());
    ui.label(text, count, Size::kCaption, view.found.empty() ? Tone::kCaution : Tone::kMuted,
             Align::kCentre);
    const float y = top + ui.px(3), h = ui.px(32);
    float x = left + width - ui.px(176);
    if (ui.button("Prev", {x, y, x + ui.px(52), y + h})) step(view, false);
    if (ui.button("Next", {x + ui.px(54), y, x + ui.px(106), y + h}) || field.submitted)
        step(view, true);
    const bool close =
        ui.button("Close", {x + ui.px(108), y, x + ui.px(176), y + h}, ButtonLook::kQuiet);
    if (close || (field.focused && ui.take(Key::kEscape))) {
        view.find_open = false;
        view.found.clear();
        view.focus_composer = true;
    }
    ui.pop_id();
    return height;
}

void head(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const AppState& state = frame.desk.state();
    ui.push_id("head");
    const bool has_chat = state.chat.has_value();
    const std::string title = has_chat ? state.chat->summary.title : "New chat";
    float right = box.right - ui.px(12);
    const float top = box.top + ui.px(8), bottom = box.bottom - ui.px(8);
    const auto place = [&](std::string_view name, ButtonLook look) {
        const float width = ui.button_width(name);
        right -= width;
        const bool pressed = ui.button(name, {right, top, right + width, bottom}, look);
        right -= ui.px(4);
        return pressed;
    };
    if (place("Engine", state.settings.engine_pane ? ButtonLook::kPlain : ButtonLook::kQuiet))
        run_command(frame, "view.pane");
    if (place("More", ButtonLook::kQuiet)) frame.view.menu_at = {right, box.bottom};
    const std::string model = state.model.facts                           ? state.model.facts->name
                              : state.model.phase == ModelPhase::kOpening ? "opening the model…"
                                                                          : "no model";
    const float model_width = std::min(ui.px(220), ui.width_of(model, Size::kCaption));
    right -= model_width + ui.px(8);
    ui.label(model, {right, top, right + model_width + 1, bottom}, Size::kCaption, Tone::kMuted);
    float left = box.left + ui.px(16);
    if (!state.settings.rail) {
        const float width = ui.button_width("Chats");
        if (ui.button("Chats", {left, top, left + width, bottom}, ButtonLook::kQuiet))
            run_command(frame, "view.rail");
        left += width + ui.px(8);
    }
    ui.label(title, {left, top, right - ui.px(12), bottom}, Size::kHeading, Tone::kText);
    ui.canvas().line(box.left, box.bottom, box.right, box.bottom, 1, ui.tone(Tone::kBorder));
    ui.pop_id();
}

// What the demo model can be asked.
void suggestions(Frame& frame, float left, float y, float width) {
    Ui& ui = frame.ui;
    const AppState& state = frame.desk.state();
    if (state.model.facts && state.model.facts->demo) {
        y += ui.paragraph(
                 "This is the demo model: tiny, with the architecture of DeepSeek-V4. It knows "
                 "only what it was trained on. Try:",
                 left, y, width, Size::kLabel, Tone::kMuted) +
             ui.px(8);
        for (const std::string_view question :
             {"What is Millrace?", "How does Millrace use my drive?",
              "Tell me a story about the mill."}) {
            const float w = ui.button_width(question);
            if (ui.button(question, {left, y, left + w, y + ui.px(34)})) {
                frame.desk.set_draft(question);
                frame.desk.send();
            }
            y += ui.px(42);
        }
    }
}

}  // namespace

void chat_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const AppState& state = frame.desk.state();
    ui.push_id("chat");
    Box rest = box;
    rest.top += ui.px(52);
    head(frame, {box.left, box.top, box.right, rest.top});
    if (frame.view.find_open && state.chat) rest.top += find_bar(frame, rest);
    rest.bottom -= frame.view.composer_height;
    const bool talk = state.chat && state.chat->branches.leaf() != MessageId::kNone;
    talk ? conversation_view(frame, rest) : welcome_view(frame, rest);
    composer_view(frame, box, frame.view.composer_height);
    ui.pop_id();
}

// What one sees before the first message: what the machine can do, or why it cannot yet.
void welcome_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const AppState& state = frame.desk.state();
    ui.push_id("welcome");
    const float width = std::min(ui.px(620), box.width() - ui.px(48));
    const float left = std::round(box.left + (box.width() - width) / 2);
    float y = std::round(box.top + std::max(ui.px(16), (box.height() - ui.px(440)) / 2));
    ui.text("What would you like to know?", left, y + ui.px(24), Size::kTitle, Tone::kText);
    y += ui.px(40);
    y += ui.paragraph("Everything happens on this machine. Nothing that you write leaves it.", left,
                      y, width, Size::kLabel, Tone::kMuted) +
         ui.px(16);
    const Box card = {left, y, left + width, y + ui.px(166)};
    ui.canvas().fill(card, ui.tone(Tone::kRaised), ui.px(10));
    ui.canvas().outline(card, ui.tone(Tone::kBorder), ui.px(10), 1);
    const float in = left + ui.px(18), inner = width - ui.px(36);
    float row = y + ui.px(14);
    const auto fact = [&](std::string_view name, const std::string& value) {
        ui.label(name, {in, row, in + ui.px(150), row + ui.px(24)}, Size::kLabel, Tone::kMuted);
        ui.label(value, {in + ui.px(150), row, in + inner, row + ui.px(24)}, Size::kLabel,
                 Tone::kText);
        row += ui.px(26);
    };
    if (state.model.phase == ModelPhase::kReady && state.model.facts) {
        const ModelFacts& facts = *state.model.facts;
        const MemoryPlan& memory = facts.memory;
        fact("Model", facts.name);
        fact("In memory",
             cat(memory.expert_slots, " of ", memory.experts_total, " experts (",
                 human_bytes(memory.expert_bytes), "), the others stream from the drive"));
        fact("Always there",
             cat(human_bytes(memory.dense_bytes), " of weights that every token needs"));
        fact("Context", cat(facts.context_max, " tokens, ", human_bytes(memory.kv_bytes)));
        if (ui.button("Will a larger one fit?",
                      {in, row + ui.px(6), in + ui.button_width("Will a larger one fit?"),
                       row + ui.px(38)}))
            frame.desk.go(Screen::kModels);
    } else {
        const bool closed = state.model.phase == ModelPhase::kClosed;
        float x = in;
        ui.chip(closed ? "could not be opened" : "opening", x, row + ui.px(12),
                closed ? Tone::kBad : Tone::kMuted, closed ? Tone::kBadGround : Tone::kHover);
        row += ui.px(30);
        ui.paragraph(closed ? state.model.text
                            : cat("The model is being opened: ", state.model.text,
                                  ". You can write already."),
                     in, row, inner, Size::kLabel, Tone::kText);
        if (closed) {
            const float at = card.bottom - ui.px(42), b1 = ui.button_width("Open another model"),
                        b2 = ui.button_width("Open the demo model");
            if (ui.button("Open another model", {in, at, in + b1, at + ui.px(30)}))
                run_command(frame, "file.model");
            if (ui.button("Open the demo model",
                          {in + b1 + ui.px(8), at, in + b1 + b2 + ui.px(8), at + ui.px(30)}))
                frame.desk.open_model({});
        }
    }
    suggestions(frame, left, card.bottom + ui.px(20), width);
    ui.pop_id();
}

}  // namespace millrace
