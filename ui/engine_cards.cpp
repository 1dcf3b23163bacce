#include "ui/engine_cards.h"

#include <algorithm>
#include <array>

#include "core/base/strings.h"
#include "ui/cards.h"
#include "ui/plots.h"

namespace millrace {
namespace {

constexpr int kSlotsLeast = 60;  // tokens that a plot has room for before its columns get narrower

EngineHistory& history_of(Frame& frame) { return frame.view.engine.history; }
const EngineHistory& history_of(const Frame& frame) { return frame.view.engine.history; }

template <int height>
float fixed_height(const Frame& frame, float /*width*/) {
    return frame.ui.px(height);
}

// A large number and what it is, above a plot; returns what is left of the box.
Box headline(Ui& ui, Box box, std::string_view value, std::string_view what) {
    const float line = ui.px(30);
    const float width =
        ui.text(value, box.left, box.top + ui.px(20), Size::kTitle, Tone::kText) + ui.px(10);
    ui.label(what, {box.left + width, box.top + ui.px(4), box.right, box.top + ui.px(26)},
             Size::kCaption, Tone::kMuted);
    box.top += line;
    return box;
}

// A column for each of these, behind the token's number and its place in the sequence.
std::string token_csv(const EngineHistory& history, std::span<const PlotColumn> columns) {
    std::vector<float> number, position;
    for (const EngineHistory::Token& token : history.tokens()) {
        number.push_back(static_cast<float>(token.token));
        position.push_back(static_cast<float>(token.position));
    }
    std::vector<PlotColumn> all = {{"token", number}, {"position", position}};
    all.insert(all.end(), columns.begin(), columns.end());
    return plot_csv(all);
}

// ── Speed ──

void draw_speed(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const EngineHistory& history = history_of(frame);
    const double now = history.rate_of_last(8), over = history.rate_of_last(200);
    const Box rest = headline(
        ui, box, now > 0 ? plot_text(now, PlotUnit::kTokensPerSecond) : "–",
        over > 0 ? cat("last 8 tokens; last 200: ", plot_text(over, PlotUnit::kTokensPerSecond))
                 : std::string("no token was written yet"));
    const std::array<PlotSeries, 1> series = {{{"", history.tokens_per_second(), 0}}};
    line_plot(ui, rest,
              {.name = "Tokens a second",
               .unit = PlotUnit::kTokensPerSecond,
               .x_first = history.first_token(),
               .slots_least = kSlotsLeast},
              series);
}
std::string csv_speed(const Frame& frame) {
    const std::array<PlotColumn, 1> columns = {
        {{"tokens_per_second", history_of(frame).tokens_per_second()}}};
    return token_csv(history_of(frame), columns);
}

// ── Prompts ──

void draw_prefill(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const EngineHistory& history = history_of(frame);
    const auto rates = history.chunk_rate();
    const Box rest = headline(
        ui, box,
        rates.empty() ? "–"
                      : plot_text(static_cast<double>(rates.back()), PlotUnit::kTokensPerSecond),
        "the last chunk of a prompt; each dot is one, by where in the context it begins");
    const std::array<PlotSeries, 1> series = {{{"", rates, 2}}};
    line_plot(ui, rest,
              {.name = "Prompt tokens a second",
               .unit = PlotUnit::kTokensPerSecond,
               .x_name = "position",
               .x = history.chunk_position(),
               .dots = true},
              series);
}
std::string csv_prefill(const Frame& frame) {
    const std::array<PlotColumn, 2> columns = {
        {{"position", history_of(frame).chunk_position()},
         {"tokens_per_second", history_of(frame).chunk_rate()}}};
    return plot_csv(columns);
}

// ── Time ──

std::array<PlotSeries, kTimeGroups> time_series(const EngineHistory& history) {
    std::array<PlotSeries, kTimeGroups> series;
    for (size_t g = 0; g < kTimeGroups; ++g) {
        series[g] = {kTimeGroupNames[g], history.group_ms(static_cast<TimeGroup>(g)),
                     static_cast<int>(g)};
    }
    return series;
}

void draw_time(Frame& frame, const Box& box) {
    const EngineHistory& history = history_of(frame);
    stacked_plot(frame.ui, box,
                 {.name = "Time of each token",
                  .unit = PlotUnit::kMilliseconds,
                  .x_first = history.first_token(),
                  .slots_least = kSlotsLeast,
                  .total = true},
                 time_series(history));
}
std::string csv_time(const Frame& frame) {
    std::array<PlotColumn, kTimeGroups> columns;
    for (size_t g = 0; g < kTimeGroups; ++g) {
        columns[g] = {kTimeGroupNames[g], history_of(frame).group_ms(static_cast<TimeGroup>(g))};
    }
    return token_csv(history_of(frame), columns);
}

// ── Drive ──

void draw_drive(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const EngineHistory& history = history_of(frame);
    if (history.drive_limit() <= 0) {
        ui.paragraph("Nothing was read from the drive: every expert was in memory.", box.left,
                     box.top, box.width(), Size::kLabel, Tone::kMuted);
        return;
    }
    const Box rest = headline(ui, box, plot_text(history.drive_limit(), PlotUnit::kBytesPerSecond),
                              "the best rate seen so far; 100 % is this rate");
    const std::array<PlotSeries, 2> series = {
        {{"while it reads", history.drive_while_reading(), 0},
         {"over the whole token", history.drive_of_token(), 1}}};
    line_plot(ui, rest,
              {.name = "Share of the drive's limit",
               .unit = PlotUnit::kShare,
               .x_first = history.first_token(),
               .top = 1,
               .slots_least = kSlotsLeast},
              series);
}
std::string csv_drive(const Frame& frame) {
    const EngineHistory& history = history_of(frame);
    std::vector<float> bytes;
    for (const EngineHistory::Token& token : history.tokens())
        bytes.push_back(static_cast<float>(token.drive_bytes));
    const std::array<PlotColumn, 3> columns = {
        {{"bytes_read", bytes},
         {"share_while_reading", history.drive_while_reading()},
         {"share_of_token", history.drive_of_token()}}};
    return token_csv(history, columns);
}

void draw_queues(Frame& frame, const Box& box) {
    const EngineHistory& history = history_of(frame);
    const std::array<PlotSeries, 2> series = {
        {{"chunks being read", history.reads_in_flight(), 0},
         {"experts waiting behind them", history.reads_waiting(), 1}}};
    line_plot(frame.ui, box,
              {.name = "Queue depth", .x_first = history.first_token(), .slots_least = kSlotsLeast},
              series);
}
std::string csv_queues(const Frame& frame) {
    const std::array<PlotColumn, 2> columns = {
        {{"reads_in_flight", history_of(frame).reads_in_flight()},
         {"reads_waiting", history_of(frame).reads_waiting()}}};
    return token_csv(history_of(frame), columns);
}

// ── Hits ──

void draw_hits(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const EngineHistory& history = history_of(frame);
    const auto recent = history.hit_share();
    double sum = 0;
    for (const float share : recent) sum += static_cast<double>(share);
    const Box rest = headline(
        ui, box,
        recent.empty() ? "–"
                       : plot_text(sum / static_cast<double>(recent.size()), PlotUnit::kShare),
        cat("of experts found in memory, last ", recent.size(),
            " tokens; below by layer, since the model was opened"));
    const std::array<PlotSeries, 1> series = {{{"", history.layer_hit_share(), 2}}};
    stacked_plot(
        ui, rest,
        {.name = "Experts found in memory", .unit = PlotUnit::kShare, .x_name = "layer", .top = 1},
        series);
}
std::string csv_hits(const Frame& frame) {
    const std::array<PlotColumn, 2> columns = {{{"hit_share", history_of(frame).layer_hit_share()},
                                                {"wait_ms", history_of(frame).layer_wait_ms()}}};
    return plot_csv(columns);
}

// ── Memory ──

std::vector<BarPart> memory_parts(const MemoryPlan& plan) {
    const auto part = [](std::string_view name, uint64_t bytes, int colour) {
        return BarPart{name, static_cast<double>(bytes), colour};
    };
    const uint64_t scratch = plan.scratch_bytes + plan.host_scratch_bytes + plan.gpu_work_bytes;
    std::vector<BarPart> parts = {part("dense weights", plan.dense_bytes, 0),
                                  part("experts", plan.expert_bytes, 1),
                                  part("KV state", plan.kv_bytes, 2), part("scratch", scratch, 3),
                                  part("archive", plan.archive_bytes, 4)};
    if (plan.on_gpu) parts.push_back(part("experts on the GPU", plan.gpu_expert_bytes, 5));
    return parts;
}

std::string memory_words(const MemoryPlan& plan, const std::optional<GpuTierStats>& gpu) {
    const std::string room =
        cat(plan.expert_slots, " of ", plan.experts_total, " experts have room");
    if (!plan.on_gpu) return room;
    std::string on = " on the GPU";
    // Of several: which layers lie where.
    if (plan.gpus.size() > 1) {
        on = " on GPUs";
        for (const GpuShare& share : plan.gpus)
            on += cat(&share == plan.gpus.data() ? " " : ", ", share.gpu, " (", share.layers_text(),
                      ")");
    }
    return cat(room, "; ", plot_text(static_cast<double>(plan.gpu_bytes()), PlotUnit::kBytes), on,
               gpu ? cat(", ", gpu->there, " experts there in ", gpu->slots, " slots") : "");
}

void draw_memory(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const LiveFeed* feed = frame.desk.feed();
    if (feed == nullptr) return;
    const MemoryPlan& plan = feed->memory();
    const Box rest =
        headline(ui, box, plot_text(static_cast<double>(plan.total_bytes()), PlotUnit::kBytes),
                 memory_words(plan, feed->gpu()));
    const auto parts = memory_parts(plan);
    share_bar(ui, rest.left, rest.top, rest.width(), "Memory by purpose", parts,
              static_cast<double>(plan.total_bytes()), PlotUnit::kBytes);
}
std::string csv_memory(const Frame& frame) {
    const LiveFeed* feed = frame.desk.feed();
    std::string out = "purpose,bytes\n";
    if (feed == nullptr) return out;
    for (const BarPart& part : memory_parts(feed->memory()))
        out += cat(part.name, ",", static_cast<uint64_t>(part.value), "\n");
    return out;
}

// ── Tokens one by one ──

// The token that is looked at: under the pointer, here or in the conversation, or the one that was clicked, or the last.
const EngineHistory::Token* shown_token(const Frame& frame) {
    const EngineViewState& view = frame.view.engine;
    const auto tokens = view.history.tokens();
    auto wanted = view.token_hovered ? view.token_hovered : view.token_shown;
    const bool known =
        view.text_token && view.text_token->step.kind == LiveFeed::FoundStep::Kind::kFound;
    if (known) wanted = view.text_token->step.record.token;
    for (const EngineHistory::Token& token : tokens) {
        if (wanted && token.token == *wanted) return &token;
    }
    return tokens.empty() ? nullptr : &tokens.back();
}

// Left and right go from token to token, Home and End to the ends of the strip, Escape leaves it at the newest.
void walk_strip(Frame& frame, std::span<const EngineHistory::Token> tokens) {
    Ui& ui = frame.ui;
    EngineViewState& view = frame.view.engine;
    if (tokens.empty()) return;
    if (view.token_shown && ui.take(Key::kEscape)) return view.token_shown.reset();
    const auto found = std::ranges::find_if(tokens, [&](const EngineHistory::Token& token) {
        return view.token_shown && token.token == *view.token_shown;
    });
    const auto last = static_cast<ptrdiff_t>(tokens.size()) - 1;
    const ptrdiff_t before = found == tokens.end() ? last + 1 : found - tokens.begin();
    ptrdiff_t at = before;
    if (ui.take(Key::kLeft)) at -= 1;
    if (ui.take(Key::kRight)) at += 1;
    if (ui.take(Key::kHome)) at = 0;
    if (ui.take(Key::kEnd)) at = last;
    if (at == before) return;
    view.token_shown = tokens[static_cast<size_t>(std::clamp<ptrdiff_t>(at, 0, last))].token;
    view.reveal_token = true;
    ui.be_restless();
}

void draw_strip(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    EngineViewState& view = frame.view.engine;
    const float cell = ui.px(9);
    const auto room = static_cast<size_t>(std::max(1.F, box.width() / cell));
    auto tokens = view.history.tokens();
    tokens = tokens.last(std::min({tokens.size(), room, EngineHistory::kRoutedMax}));
    float slowest = 1e-6F;
    for (const EngineHistory::Token& token : tokens) slowest = std::max(slowest, token.step_ms);
    const Touch touch = ui.thing(ui.id("Last tokens"), ThingRole::kSlider, "Last tokens", box);
    view.strip_focused = touch.focused && ui.by_keyboard();
    view.strip_box = box;
    view.strip_drawn = true;
    if (touch.focused) walk_strip(frame, tokens);
    if (view.strip_focused)
        ui.canvas().outline(
            {box.left - ui.px(5), box.top - ui.px(5), box.right, box.bottom + ui.px(5)},
            ui.tone(Tone::kFocus), ui.px(5), ui.px(1.5F));
    const EngineHistory::Token* shown = shown_token(frame);
    view.token_hovered.reset();
    for (size_t i = 0; i < tokens.size(); ++i) {
        const float left = box.left + cell * static_cast<float>(i);
        const Box at = {left, box.top, left + cell - ui.px(2), box.bottom};
        ui.canvas().fill(at, ui.theme().heat(tokens[i].step_ms / slowest), ui.px(2));
        if (shown != nullptr && tokens[i].token == shown->token) {
            const float out = ui.px(2);
            ui.canvas().outline({at.left - out, at.top - out, at.right + out, at.bottom + out},
                                ui.tone(Tone::kText), ui.px(3), ui.px(1.5F));
        }
        if (!touch.hovered || ui.input().x < left || ui.input().x >= left + cell) continue;
        view.token_hovered = tokens[i].token;
        if (touch.clicked) {
            view.token_shown = view.token_shown == tokens[i].token
                                   ? std::nullopt
                                   : std::optional<uint64_t>(tokens[i].token);
        }
    }
}

// Columns of "layer 12   4 17 233 …".
struct ExpertText {
    int columns = 1, rows = 1;
    float width = 0;
};
ExpertText expert_text(const Frame& frame, float width) {
    const EngineHistory& history = history_of(frame);
    ExpertText text;
    text.columns = std::max(1, static_cast<int>(width / frame.ui.px(250)));
    text.columns = std::clamp(text.columns, 1, std::max(1, history.layers()));
    text.rows = (history.layers() + text.columns - 1) / text.columns;
    text.width = width / static_cast<float>(text.columns);
    return text;
}

constexpr float kStrip = 30, kRow = 18, kBar = 70, kLine = 24;

float token_height(const Frame& frame, float width) {
    const auto rows = static_cast<float>(expert_text(frame, width).rows);
    return frame.ui.px(kStrip + 10 + 2 * kLine + kBar + 24 + kRow * rows);
}

void draw_token(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    float y = box.top;
    draw_strip(frame, {box.left, y, box.right, y + ui.px(kStrip)});
    y += ui.px(kStrip + 8);
    ui.label("Lighter tokens took longer. Point at one, or go there with ← and →; click to stay.",
             {box.left, y, box.right, y + ui.px(kLine)}, Size::kCaption, Tone::kMuted);
    y += ui.px(kLine);
    const EngineHistory& history = history_of(frame);
    const EngineHistory::Token* token = shown_token(frame);
    if (token == nullptr) return;
    ui.label(cat("Token ", count_text(static_cast<int64_t>(token->token)), " at position ",
                 count_text(token->position), ": ",
                 plot_text(static_cast<double>(token->step_ms), PlotUnit::kMilliseconds), ", ",
                 token->hits, " of ", token->hits + token->misses, " experts in memory, ",
                 plot_text(static_cast<double>(token->drive_bytes), PlotUnit::kBytes), " read"),
             {box.left, y, box.right, y + ui.px(kLine)}, Size::kLabel, Tone::kText);
    y += ui.px(kLine + 4);
    std::array<BarPart, kTimeGroups> parts;
    for (size_t g = 0; g < kTimeGroups; ++g) {
        parts[g] = {kTimeGroupNames[g], static_cast<double>(token->group_ms[g]),
                    static_cast<int>(g)};
    }
    share_bar(ui, box.left, y, box.width(), "Time of this token", parts,
              static_cast<double>(token->step_ms), PlotUnit::kMilliseconds);
    y += ui.px(kBar);
    const std::span<const int16_t> experts = history.experts_of(*token);
    ui.label(
        experts.empty() ? "Its experts are no longer kept." : "Its experts, best first, by layer",
        {box.left, y, box.right, y + ui.px(20)}, Size::kCaption, Tone::kMuted);
    y += ui.px(22);
    if (experts.empty()) return;
    const ExpertText text = expert_text(frame, box.width());
    const size_t k = experts.size() / static_cast<size_t>(history.layers());
    for (int layer = 0; layer < history.layers(); ++layer) {
        const float x = box.left + text.width * static_cast<float>(layer / text.rows);
        const float top = y + ui.px(kRow) * static_cast<float>(layer % text.rows);
        std::string ids;
        for (const int16_t expert : experts.subspan(static_cast<size_t>(layer) * k, k)) {
            const std::string id = expert < 0 ? "–" : std::to_string(expert);
            ids += cat(ids.empty() ? "" : " ", id);
        }
        ui.label(std::to_string(layer), {x, top, x + ui.px(24), top + ui.px(kRow)}, Size::kCaption,
                 Tone::kMuted, Align::kRight);
        ui.label(ids, {x + ui.px(32), top, x + text.width - ui.px(8), top + ui.px(kRow)},
                 Size::kMono, Tone::kText);
    }
}
std::string csv_token(const Frame& frame) {
    const EngineHistory& history = history_of(frame);
    std::string out = "token,position,layer,rank,expert\n";
    for (const EngineHistory::Token& token : history.tokens()) {
        const auto experts = history.experts_of(token);
        const size_t k = experts.size() / static_cast<size_t>(std::max(1, history.layers()));
        for (size_t i = 0; i < experts.size(); ++i) {
            out += cat(token.token, ",", token.position, ",", i / k, ",", i % k, ",", experts[i],
                       "\n");
        }
    }
    return out;
}

// ── Routers ──

float routing_height(const Frame& frame, float /*width*/) {
    const float rows = static_cast<float>(std::clamp(history_of(frame).layers(), 4, 80));
    return frame.ui.px(80) + frame.ui.px(std::max(120.F, 7 * rows));
}

void draw_routing(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    EngineViewState& view = frame.view.engine;
    constexpr std::array<size_t, 3> counts = {16, 64, 256};
    float x = box.left;
    ui.label("Tokens counted", {x, box.top, x + ui.px(104), box.top + ui.px(26)}, Size::kCaption,
             Tone::kMuted);
    x += ui.px(104);
    for (const size_t count : counts) {
        const float width = ui.px(48);
        if (ui.choice(std::to_string(count), {x, box.top, x + width, box.top + ui.px(26)},
                      view.routed_tokens == count))
            view.routed_tokens = count;
        x += width;
    }
    EngineHistory& history = history_of(frame);
    const EngineHistory::Routing routing = history.routing(view.routed_tokens);
    const EngineHistory::Token* token = shown_token(frame);
    const bool chosen = view.token_hovered || view.token_shown;
    std::span<const int16_t> marked;
    if (token != nullptr && chosen) marked = history.experts_of(*token);
    if (view.text_token) marked = view.text_token->experts;
    heat_map(ui, {box.left, box.top + ui.px(36), box.right, box.bottom},
             {.name = "Experts by layer",
              .row_name = "layer",
              .column_name = "expert",
              .unit_name = cat("of ", routing.tokens, " tokens"),
              .rows = history.layers(),
              .columns = history.experts(),
              .counts = routing.counts,
              .highest = routing.highest,
              .marked = marked});
}
std::string csv_routing(const Frame& frame) {
    EngineViewState& view = frame.view.engine;
    const EngineHistory::Routing routing = view.history.routing(view.routed_tokens);
    std::string out = "layer,expert,count\n";
    const auto columns = static_cast<size_t>(std::max(1, view.history.experts()));
    for (size_t i = 0; i < routing.counts.size(); ++i) {
        if (routing.counts[i] > 0)
            out += cat(i / columns, ",", i % columns, ",", routing.counts[i], "\n");
    }
    return out;
}

constexpr std::array<EngineCard, 9> kCards = {{
    {"Speed of answers", false, fixed_height<190>, draw_speed, csv_speed},
    {"Where each token's time went", false, fixed_height<240>, draw_time, csv_time},
    {"Experts in memory and the drive", false, fixed_height<190>, draw_hits, csv_hits},
    {"Share of the drive's limit", false, fixed_height<210>, draw_drive, csv_drive},
    {"Speed of reading prompts", false, fixed_height<190>, draw_prefill, csv_prefill},
    {"Queues of the drive", false, fixed_height<180>, draw_queues, csv_queues},
    {"Memory by purpose", true, fixed_height<76>, draw_memory, csv_memory},
    {"Token by token", true, token_height, draw_token, csv_token},
    {"What the routers choose", true, routing_height, draw_routing, csv_routing},
}};

}  // namespace

std::span<const EngineCard> engine_cards() { return kCards; }

void draw_engine_card(Frame& frame, const EngineCard& card, const Box& box) {
    bool copy = false;
    // In the pane there is no room for two words.
    const bool narrow = box.width() < frame.ui.px(400);
    const Box inner = draw_card(frame.ui, box, card.title, narrow ? "CSV" : "Copy CSV", &copy);
    card.draw(frame, inner);
    if (!copy) return;
    frame.view.copy_wanted = card.csv(frame);
    frame.desk.tell(cat("Copied: ", card.title, " as CSV"));
}

}  // namespace millrace
