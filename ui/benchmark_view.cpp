// Benchmark: the open model at growing lengths of the context, and earlier runs beside it.

#include <algorithm>
#include <array>

#include "core/base/strings.h"
#include "ui/cards.h"
#include "ui/plots.h"
#include "ui/views.h"

namespace millrace {
namespace {

constexpr float kRow = 26;
constexpr size_t kRunsShown = 12;

// Why it cannot be started; "" if it can.
std::string hindrance(const Frame& frame) {
    const AppState& state = frame.desk.state();
    if (state.model.phase == ModelPhase::kOpening) return "The model is being opened.";
    if (state.model.phase != ModelPhase::kReady) return "No model is open.";
    if (frame.workshop != nullptr && frame.workshop->state().work.running)
        return "Wait until the work on models has ended: both would be slower.";
    if (state.running && !frame.view.engine.benchmark.running())
        return "An answer is being written.";
    return "";
}

// The lengths to choose from: as far as the model goes.
constexpr std::array<int64_t, 5> kLongest = {1024, 4096, 16384, 65536, 262144};

void draw_setup(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    EngineViewState& view = frame.view.engine;
    Benchmark& benchmark = view.benchmark;
    const AppState& state = frame.desk.state();
    const int64_t context_max = state.model.facts ? state.model.facts->context_max : 0;
    float y = box.top, x = box.left + ui.px(150);
    const float row = ui.px(32);
    ui.label("Longest context", {box.left, y, x, y + row}, Size::kLabel, Tone::kMuted);
    for (const int64_t longest : kLongest) {
        if (longest != kLongest.front() && longest > context_max) continue;
        const std::string name = count_text(longest);
        const float width = ui.width_of(name, Size::kStrong) + ui.px(22);
        if (ui.choice(name, {x, y, x + width, y + row}, view.bench_longest == longest))
            view.bench_longest = longest;
        x += width;
    }
    y += row + ui.px(6);
    if (ui.toggle("Open the model anew first, to see it with nothing in memory",
                  {box.left, y, std::min(box.right, box.left + ui.px(520)), y + row},
                  view.bench_cold))
        view.bench_cold = !view.bench_cold;
    y += row + ui.px(8);
    if (benchmark.running()) {
        const float bar = ui.px(10), width = ui.button_width("Stop measuring");
        const Box track = {box.left, y + ui.px(11), box.right - width - ui.px(16),
                           y + ui.px(11) + bar};
        ui.canvas().fill(track, ui.tone(Tone::kPressed), bar / 2);
        const auto share = static_cast<float>(benchmark.share());
        ui.canvas().fill({track.left, track.top, track.left + track.width() * share, track.bottom},
                         ui.tone(Tone::kAccent), bar / 2);
        if (ui.button("Stop measuring", {box.right - width, y, box.right, y + row}))
            benchmark.stop(frame.desk);
        y += row;
        ui.label(benchmark.text(), {box.left, y, box.right, y + ui.px(24)}, Size::kCaption,
                 Tone::kMuted);
        return;
    }
    const std::string why = hindrance(frame);
    const float width = ui.button_width("Measure");
    if (ui.button("Measure", {box.left, y, box.left + width, y + row}, ButtonLook::kPrimary,
                  why.empty() ? Enabled::kYes : Enabled::kNo)) {
        benchmark.start(frame.desk,
                        {.contexts = Benchmark::contexts_for(context_max, view.bench_longest),
                         .cold = view.bench_cold},
                        static_cast<uint64_t>(ui.input().now_s * 1e6));
    }
    const std::string note = !why.empty() ? why
                             : benchmark.problem().empty()
                                 ? "The engine reads made-up texts and writes 32 tokens behind "
                                   "each; the chat waits meanwhile."
                                 : benchmark.problem();
    ui.label(note, {box.left + width + ui.px(12), y, box.right, y + row}, Size::kCaption,
             benchmark.problem().empty() ? Tone::kMuted : Tone::kCaution);
}

// Cold points stand apart: the curve over the context is of warm ones.
struct Curve {
    std::vector<float> context, decode, prefill;
};
Curve curve_of(const BenchRun& run) {
    Curve curve;
    for (const BenchPoint& point : run.points) {
        if (point.cold) continue;
        curve.context.push_back(static_cast<float>(point.context));
        curve.decode.push_back(static_cast<float>(point.decode));
        curve.prefill.push_back(static_cast<float>(point.prefill));
    }
    return curve;
}

void draw_curve(Frame& frame, const Box& box, std::string_view name, const Curve& now,
                const Curve& before, std::vector<float> Curve::*values) {
    Ui& ui = frame.ui;
    if (now.context.empty()) {
        ui.paragraph("Each dot will be one length of the context.", box.left, box.top, box.width(),
                     Size::kLabel, Tone::kMuted);
        return;
    }
    const std::array<PlotSeries, 2> series = {
        {{"this run", now.*values, 0}, {"the run before, of the same model", before.*values, 1}}};
    // Both share an axis only where they were measured at the same lengths.
    const bool both = before.context.size() == now.context.size();
    line_plot(
        ui, box,
        {.name = name, .unit = PlotUnit::kTokensPerSecond, .x_name = "context", .x = now.context},
        std::span(series).first(both ? 2 : 1));
}

float run_height(const Frame& frame, const BenchRun& run) {
    return frame.ui.px(kRow * (static_cast<float>(run.points.size()) + 1) + 4);
}

void draw_run(Frame& frame, const BenchRun& run, const Box& box) {
    Ui& ui = frame.ui;
    constexpr std::array<std::string_view, 5> names = {"context", "reads", "writes",
                                                       "experts found in memory", ""};
    const float column = box.width() / static_cast<float>(names.size());
    const auto cell = [&](size_t i, float y, std::string_view text, Tone tone) {
        const float x = box.left + column * static_cast<float>(i);
        ui.label(text, {x, y, x + column - ui.px(12), y + ui.px(kRow)}, Size::kLabel, tone,
                 i + 1 == names.size() ? Align::kLeft : Align::kRight);
    };
    float y = box.top;
    for (size_t i = 0; i < names.size(); ++i) cell(i, y, names[i], Tone::kMuted);
    for (const BenchPoint& point : run.points) {
        y += ui.px(kRow);
        ui.canvas().line(box.left, y, box.right, y, 1, ui.tone(Tone::kBorder));
        cell(0, y, count_text(point.context), Tone::kText);
        cell(1, y, plot_text(point.prefill, PlotUnit::kTokensPerSecond), Tone::kText);
        cell(2, y, plot_text(point.decode, PlotUnit::kTokensPerSecond), Tone::kText);
        cell(3, y, plot_text(point.hit_rate, PlotUnit::kShare), Tone::kText);
        cell(4, y, point.cold ? "nothing in memory before" : "", Tone::kMuted);
    }
}

// "2026-11-25 08:14", in UTC: days to a date as in the Gregorian calendar.
std::string time_text(int64_t at_ms) {
    const int64_t minutes = at_ms / 60'000, days = minutes / (24 * 60);
    const int64_t z = days + 719'468, era = z / 146'097, doe = z - era * 146'097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36'524 - doe / 146'096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    const int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    const int64_t year = yoe + era * 400 + (month <= 2 ? 1 : 0);
    const auto two = [](int64_t n) { return cat(n < 10 ? "0" : "", n); };
    return cat(year, "-", two(month), "-", two(day), " ", two(minutes / 60 % 24), ":",
               two(minutes % 60), " UTC");
}

std::string runs_json(const std::vector<BenchRun>& runs) {
    std::string lines;
    for (const BenchRun& run : runs) lines += to_json(run) + "\n";
    return lines;
}

void history_cards(Frame& frame, CardPage& page) {
    Ui& ui = frame.ui;
    if (frame.workshop == nullptr) return;
    const std::vector<BenchRun>& runs = frame.workshop->state().runs;
    const Box head = page.place(ui.px(36), true);
    ui.label("Runs so far", head, Size::kHeading, Tone::kText);
    if (runs.empty()) {
        const Box at = page.place(ui.px(30), true);
        ui.label("None yet. What is measured here is kept, to be compared with later.", at,
                 Size::kLabel, Tone::kMuted);
        return;
    }
    float x = head.right;
    const auto place = [&](std::string_view name, ButtonLook look) {
        const float width = ui.button_width(name);
        x -= width;
        const bool pressed = ui.button(name, {x, head.top, x + width, head.top + ui.px(32)}, look);
        x -= ui.px(6);
        return pressed;
    };
    if (place("Forget all runs", ButtonLook::kDanger)) return frame.workshop->forget_runs();
    if (place("Copy JSON", ButtonLook::kPlain)) {
        frame.view.copy_wanted = runs_json(runs);
        frame.desk.tell("Copied: all runs as JSON, one a line");
    }
    if (place("Copy CSV", ButtonLook::kPlain)) {
        frame.view.copy_wanted = to_csv(runs);
        frame.desk.tell("Copied: all runs as CSV");
    }
    for (size_t i = 0; i < std::min(runs.size(), kRunsShown); ++i) {
        const Box at = page.place(run_height(frame, runs[i]) + card_frame_height(ui), true);
        if (!page.seen(at)) continue;
        draw_run(
            frame, runs[i],
            draw_card(ui, at,
                      cat(runs[i].model, ", ", time_text(runs[i].at_ms), ", ", runs[i].memory)));
    }
}

}  // namespace

void benchmark_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    ui.push_id("benchmark");
    EngineViewState& view = frame.view.engine;
    CardPage page(ui, "benchmark", box, view.benchmark_scroll);
    const ModelState& model = frame.desk.state().model;
    page.title("Benchmark", model.facts ? cat("Of the model that is open: ", model.facts->name)
                                        : "Open a model to measure it.");
    const Box setup = page.place(ui.px(134) + card_frame_height(ui), true);
    draw_setup(frame, draw_card(ui, setup, "Context sweep"));

    // The run that is shown, and the one of the same model before it.
    const std::vector<BenchRun> none;
    const auto& runs = frame.workshop == nullptr ? none : frame.workshop->state().runs;
    const bool live = view.benchmark.running() || runs.empty();
    const BenchRun& shown = live ? view.benchmark.run() : runs.front();
    const auto before = std::ranges::find_if(
        runs, [&](const BenchRun& run) { return &run != &shown && run.model == shown.model; });
    const Curve now = curve_of(shown), earlier = before == runs.end() ? Curve() : curve_of(*before);
    const float height = ui.px(230) + card_frame_height(ui);
    const Box writes = page.place(height, false), reads = page.place(height, false);
    draw_curve(frame, draw_card(ui, writes, "Writing, by length of the context"), "Writing", now,
               earlier, &Curve::decode);
    draw_curve(frame, draw_card(ui, reads, "Reading, by length of the context"), "Reading", now,
               earlier, &Curve::prefill);
    history_cards(frame, page);
    page.end();
    ui.pop_id();
}

}  // namespace millrace
