#include "ui/token_card.h"

#include <algorithm>
#include <cmath>

#include "core/base/strings.h"
#include "ui/plot_scale.h"

namespace millrace {
namespace {

using Found = LiveFeed::FoundStep::Kind;

// What the engine still knows of it.
void take(Frame& frame, const AnswerToken& token, const Box& at) {
    TextToken& looked = frame.view.engine.text_token.emplace();
    looked.token = token;
    looked.at = at;
    const LiveFeed* feed = frame.desk.feed();
    if (feed == nullptr) {
        looked.step.kind = Found::kGone;
        return;
    }
    looked.step = feed->find_step(token.request, token.position);
    if (looked.step.kind != Found::kFound) return;
    looked.experts.resize(feed->experts_a_token());
    if (!feed->experts_of(looked.step.record.number, looked.experts)) looked.experts.clear();
}

std::string milliseconds(int64_t ns) {
    return plot_text(static_cast<double>(ns) * 1e-6, PlotUnit::kMilliseconds);
}

struct CardText {
    std::string head;
    std::vector<std::string> lines;
    std::vector<std::string> layers;  // "12  4 17 233"
};

CardText text_of(const Frame& frame, const TextToken& looked) {
    CardText text;
    const AppState& state = frame.desk.state();
    const StoredMessage* message =
        state.chat ? state.chat->branches.find(looked.token.message) : nullptr;
    static const std::string kNothing;
    const std::string& source = message == nullptr       ? kNothing
                                : looked.token.reasoning ? message->reasoning
                                                         : message->content;
    text.head = token_text(looked.token, source);
    text.lines.push_back(cat("Token ", count_text(looked.token.index + 1),
                             " of the answer, position ", count_text(looked.token.position)));
    switch (looked.step.kind) {
        case Found::kNone:
            text.lines.push_back("Not computed: that happens when the next token is made.");
            return text;
        case Found::kGone:
            text.lines.push_back(cat("Too long ago: what a token cost is kept of the last ",
                                     count_text(static_cast<int64_t>(LiveFeed::kStepsMax)),
                                     " steps."));
            return text;
        case Found::kFound: break;
    }
    const StepRecord& step = looked.step.record;
    const int64_t wait = step.part_ns[static_cast<size_t>(StepPart::kWait)];
    text.lines.push_back(cat(milliseconds(step.step_ns), ": ", milliseconds(step.step_ns - wait),
                             " computing, ", milliseconds(wait), " waiting for the drive"));
    text.lines.push_back(
        cat("Experts: ", step.hits, " from memory, ", step.misses, " from the drive"));
    text.lines.push_back(
        cat("Read: ", plot_text(static_cast<double>(step.drive_bytes), PlotUnit::kBytes), " in ",
            milliseconds(step.drive_busy_ns)));
    const auto layers = static_cast<size_t>(std::max(1, frame.view.engine.history.layers()));
    const size_t k = looked.experts.size() / layers;
    if (k == 0) {
        text.lines.push_back(cat("Its experts are no longer kept: that are those of the last ",
                                 count_text(static_cast<int64_t>(LiveFeed::kTokensMax)),
                                 " tokens."));
        return text;
    }
    for (size_t layer = 0; layer < layers; ++layer) {
        std::string line = cat(layer < 10 ? " " : "", layer, " ");
        for (size_t i = 0; i < k; ++i) {
            const int16_t expert = looked.experts[layer * k + i];
            line += expert < 0 ? " –" : cat(" ", expert);
        }
        text.layers.push_back(std::move(line));
    }
    return text;
}

// The parts of its time, in the colours of the pane's plot.
void time_bar(Ui& ui, const Box& box, const StepRecord& step) {
    std::array<int64_t, kTimeGroups> groups = {};
    for (size_t part = 0; part < kStepParts; ++part)
        groups[static_cast<size_t>(group_of(static_cast<StepPart>(part)))] += step.part_ns[part];
    const auto whole = static_cast<float>(std::max<int64_t>(1, step.step_ns));
    float left = box.left;
    for (size_t g = 0; g < kTimeGroups; ++g) {
        const float width = box.width() * static_cast<float>(groups[g]) / whole;
        const float right = std::min(left + width, box.right);
        ui.canvas().fill({left, box.top, right, box.bottom}, ui.theme().series[g], 0);
        left = right;
    }
}

// Above the token, so that it is not between the pointer and the text that one reads on to; below where there is no room.
Box card_box(const Ui& ui, const Box& room, const Box& at, float width, float height) {
    const float gap = ui.px(8);
    const float left =
        std::clamp(at.left - ui.px(12), room.left, std::max(room.left, room.right - width));
    float top = at.top - gap - height;
    if (top < room.top) top = at.bottom + gap;
    top = std::round(std::clamp(top, 0.F, std::max(0.F, ui.whole().bottom - height)));
    return {std::round(left), top, std::round(left) + width, top + height};
}

}  // namespace

void forget_text_token(Frame& frame) {
    EngineViewState& view = frame.view.engine;
    view.strip_rests = view.text_token && view.text_token->pointed;
    view.text_token.reset();
}

void look_at(Frame& frame, const PointedGlyph& pointed) {
    if (!frame.view.engine.pane_shown) return;
    const std::optional<AnswerToken> token = frame.desk.state().answer_tokens.at(
        pointed.message, pointed.reasoning, pointed.glyph.bytes.begin, pointed.glyph.bytes.end,
        pointed.glyph.along);
    if (!token) return;
    take(frame, *token, pointed.box);
    frame.view.engine.text_token->pointed = true;
}

std::optional<AnswerToken> lit_token(const Frame& frame) {
    const EngineViewState& view = frame.view.engine;
    if (!view.pane_shown) return std::nullopt;
    if (view.text_token) return view.text_token->token;
    const std::optional<uint64_t> wanted =
        view.token_hovered ? view.token_hovered : view.token_shown;
    if (!wanted || view.strip_rests) return std::nullopt;
    for (const EngineHistory::Token& token : view.history.tokens()) {
        if (token.token == *wanted)
            return frame.desk.state().answer_tokens.at_step(token.request, token.position);
    }
    return std::nullopt;
}

void card_of_strip(Frame& frame, const AnswerToken& token, const Box& at) {
    if (!frame.view.engine.text_token && frame.view.engine.strip_focused) take(frame, token, at);
}

void draw_token_card(Frame& frame, const Box& room) {
    Ui& ui = frame.ui;
    if (!frame.view.engine.text_token || !ui.layer_is_top()) return;
    const TextToken& looked = *frame.view.engine.text_token;
    const CardText text = text_of(frame, looked);
    const float pad = ui.px(12), line = ui.px(19), row = ui.px(16);
    constexpr size_t kColumns = 3;
    const size_t columns = std::min(kColumns, (text.layers.size() + 7) / 8);
    const size_t rows = columns == 0 ? 0 : (text.layers.size() + columns - 1) / columns;
    float column = 0, width = ui.width_of(text.head, Size::kStrong);
    for (const std::string& each : text.lines)
        width = std::max(width, ui.width_of(each, Size::kCaption));
    for (const std::string& each : text.layers)
        column = std::max(column, ui.width_of(each, Size::kMono) + ui.px(14));
    width = std::max(width, column * static_cast<float>(columns)) + 2 * pad;
    width = std::min(width, ui.whole().right);
    const bool bar = looked.step.kind == Found::kFound;
    const float height = 2 * pad + ui.px(22) + line * static_cast<float>(text.lines.size()) +
                         (bar ? ui.px(14) : 0) + (rows > 0 ? ui.px(6) : 0) +
                         row * static_cast<float>(rows);
    const Box box = card_box(ui, room, looked.at, width, height);
    ui.canvas().fill(box, ui.tone(Tone::kRaised), ui.px(8));
    ui.canvas().outline(box, ui.tone(Tone::kBorder), ui.px(8), 1);
    const float left = box.left + pad, right = box.right - pad;
    float y = box.top + pad;
    ui.label(text.head, {left, y, right, y + ui.px(20)}, Size::kStrong, Tone::kText);
    y += ui.px(22);
    std::string all = cat("Token ", text.head);
    for (const std::string& each : text.lines) {
        ui.label(each, {left, y, right, y + line}, Size::kCaption, Tone::kText);
        all += cat(". ", each);
        y += line;
    }
    if (bar) {
        time_bar(ui, {left, y + ui.px(4), right, y + ui.px(10)}, looked.step.record);
        y += ui.px(14);
    }
    y += ui.px(6);
    for (size_t i = 0; i < text.layers.size(); ++i) {
        const float x = left + column * static_cast<float>(i / rows);
        const float top = y + row * static_cast<float>(i % rows);
        ui.label(text.layers[i], {x, top, x + column, top + row}, Size::kMono, Tone::kText);
        all += cat(i == 0 ? ". Experts by layer: " : "; ", text.layers[i]);
    }
    // For who cannot see it. The pointer goes through it to the text.
    ui.thing(ui.id("token card"), ThingRole::kText, all, box, Enabled::kNo);
}

}  // namespace millrace
