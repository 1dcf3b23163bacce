// Models: what is here, what would fit, checking and packing.

#include <algorithm>
#include <array>

#include "core/base/strings.h"
#include "ui/cards.h"
#include "ui/plots.h"
#include "ui/views.h"

namespace millrace {
namespace {

std::string bytes_text(uint64_t bytes) {
    return plot_text(static_cast<double>(bytes), PlotUnit::kBytes);
}

// ── The job that runs, or the last one that ended ──

float work_height(const Frame& frame) {
    const Work& work = frame.workshop->state().work;
    if (work.kind == WorkKind::kNone) return 0;
    const auto details = static_cast<float>(std::min<size_t>(work.details.size(), 8));
    return frame.ui.px(work.running ? 60 : 48 + 20 * details);
}

void draw_work(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const Work& work = frame.workshop->state().work;
    if (!work.running) {
        float y = box.top + ui.paragraph(work.result, box.left, box.top, box.width(), Size::kLabel,
                                         work.bad ? Tone::kBad : Tone::kText);
        for (size_t i = 0; i < std::min<size_t>(work.details.size(), 8); ++i, y += ui.px(20)) {
            ui.label(work.details[i], {box.left, y, box.right, y + ui.px(20)}, Size::kCaption,
                     Tone::kMuted);
        }
        return;
    }
    const float bar = ui.px(10), y = box.top + ui.px(4);
    const Box track = {box.left, y, box.right - ui.px(100), y + bar};
    ui.canvas().fill(track, ui.tone(Tone::kPressed), bar / 2);
    if (work.total_bytes > 0) {
        const double share =
            static_cast<double>(work.done_bytes) / static_cast<double>(work.total_bytes);
        ui.canvas().fill({track.left, track.top,
                          track.left + track.width() * static_cast<float>(share), track.bottom},
                         ui.tone(Tone::kAccent), bar / 2);
    }
    const std::string text = work.kind == WorkKind::kMeasure
                                 ? "Reading memory, computing and reading the drive: a few seconds."
                                 : progress_text(work);
    ui.label(text, {box.left, y + bar + ui.px(6), box.right, y + bar + ui.px(28)}, Size::kCaption,
             Tone::kMuted);
    const bool can = work.kind != WorkKind::kMeasure && !work.stopping;
    if (can && ui.button("Cancel", {box.right - ui.px(88), box.top - ui.px(8), box.right,
                                    box.top + ui.px(24)}))
        frame.workshop->cancel();
}

// ── The machine ──

void rate_row(Ui& ui, const Box& box, std::string_view name, const std::string& value,
              const MachineRate& rate) {
    ui.label(name, box, Size::kLabel, Tone::kMuted);
    const float at = box.left + ui.px(150);
    // A measured number is plain; a guess has a sign before it and a caution behind.
    const float width =
        ui.label(cat(rate.measured ? "" : "≈ ", value), {at, box.top, box.right, box.bottom},
                 Size::kLabel, rate.measured ? Tone::kText : Tone::kCaution);
    float x = at + std::max(width, ui.px(96)) + ui.px(12);
    if (rate.measured) {
        ui.chip("measured", x, (box.top + box.bottom) / 2, Tone::kGood, Tone::kGoodGround);
    } else {
        ui.chip("not measured", x, (box.top + box.bottom) / 2, Tone::kCaution,
                Tone::kCautionGround);
        ui.label(rate.source == "assumed" ? "" : rate.source,
                 {x + ui.px(6), box.top, box.right, box.bottom}, Size::kCaption, Tone::kMuted);
    }
}

void draw_machine(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    const MachineFacts& machine = frame.workshop->state().machine;
    const float row = ui.px(28);
    float y = box.top;
    const auto next = [&] {
        const Box at = {box.left, y, box.right, y + row};
        y += row;
        return at;
    };
    const auto fact = [&](std::string_view name, const std::string& value) {
        const Box at = next();
        ui.label(name, at, Size::kLabel, Tone::kMuted);
        ui.label(value, {at.left + ui.px(150), at.top, at.right, at.bottom}, Size::kLabel,
                 Tone::kText);
    };
    fact("Memory", cat(bytes_text(machine.ram_bytes), ", ", bytes_text(machine.available_bytes),
                       " free now"));
    fact("Threads", std::to_string(machine.threads));
    fact("Free on the drive", bytes_text(machine.free_disk_bytes));
    rate_row(ui, next(), "Reading memory",
             plot_text(machine.memory.value, PlotUnit::kBytesPerSecond), machine.memory);
    rate_row(ui, next(), "Reading the drive",
             plot_text(machine.drive.value, PlotUnit::kBytesPerSecond), machine.drive);
    rate_row(ui, next(), "Arithmetic", cat(fixed(machine.macs.value * 1e-9, 0), " G/s"),
             machine.macs);
    y += ui.px(8);
    const Enabled can = frame.workshop->state().work.running ? Enabled::kNo : Enabled::kYes;
    const float width = ui.button_width("Measure this machine");
    if (ui.button("Measure this machine", {box.left, y, box.left + width, y + ui.px(34)},
                  machine.measured() ? ButtonLook::kPlain : ButtonLook::kPrimary, can))
        frame.workshop->measure();
}

// ── Fit ──

constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kFitFormats = {
    {{"as released", ""}, {"q3s", "q3s"}, {"q2v", "q2v"}}};
constexpr float kFitHead = 40;

float fit_height(const Frame& frame, const Fit& fit) {
    if (!fit.why_not.empty()) return frame.ui.px(112);
    return frame.ui.px(136 +
                       20 * static_cast<float>(fit.terms.size() + (fit.advice.empty() ? 0 : 1)));
}

void draw_fit(Frame& frame, const Fit& fit, const Box& box) {
    Ui& ui = frame.ui;
    float y = box.top;
    const float line = ui.px(24);
    float chip_x = box.left;
    if (!fit.why_not.empty()) {
        ui.chip("does not run here", chip_x, y + line / 2, Tone::kBad, Tone::kBadGround);
        y += line + ui.px(4);
        ui.paragraph(fit.why_not, box.left, y, box.width(), Size::kCaption, Tone::kText);
        return;
    }
    // The speeds are forecasts, even where the rates behind them were measured.
    ui.chip(fit.drive_has_room ? "runs here" : "runs here, but the drive is too full", chip_x,
            y + line / 2, fit.drive_has_room ? Tone::kGood : Tone::kCaution,
            fit.drive_has_room ? Tone::kGoodGround : Tone::kCautionGround);
    ui.label(cat("≈ ", fixed(fit.decode, fit.decode < 10 ? 1 : 0), " tok/s, prompts ≈ ",
                 fixed(fit.prefill, 0), " tok/s"),
             {chip_x + ui.px(8), y, box.right, y + line}, Size::kLabel, Tone::kCaution);
    y += line + ui.px(8);
    const auto part = [](std::string_view name, uint64_t bytes, int colour) {
        return BarPart{name, static_cast<double>(bytes), colour};
    };
    const MemoryPlan& plan = fit.memory;
    const std::array<BarPart, 5> parts = {
        part("dense", plan.dense_bytes, 0), part("experts", plan.expert_bytes, 1),
        part("KV state", plan.kv_bytes, 2),
        part("scratch", plan.scratch_bytes + plan.archive_bytes, 3),
        part("system", fit.system_bytes, 5)};
    y += share_bar(ui, box.left, y, box.width(), fit.name, parts,
                   static_cast<double>(fit.ram_bytes), PlotUnit::kBytes);
    ui.label(cat(plan.expert_slots, " of ", plan.experts_total, " experts in memory, ",
                 plot_text(fit.hit_rate, PlotUnit::kShare), " found there; ",
                 bytes_text(fit.drive_bytes), " on the drive"),
             {box.left, y, box.right, y + ui.px(20)}, Size::kCaption, Tone::kMuted);
    y += ui.px(22);
    for (const Fit::Term& term : fit.terms) {
        const Box at = {box.left, y, box.right, y + ui.px(20)};
        const Tone tone = term.counts ? Tone::kText : Tone::kMuted;
        ui.label(term.name, at, Size::kCaption, tone);
        ui.label(plot_text(term.seconds * 1000, PlotUnit::kMilliseconds),
                 {at.left, at.top, at.left + ui.px(190), at.bottom}, Size::kCaption, tone,
                 Align::kRight);
        ui.label(cat(term.how, term.counts ? "" : " (hidden)"),
                 {at.left + ui.px(202), at.top, at.right, at.bottom}, Size::kCaption, Tone::kMuted);
        y += ui.px(20);
    }
    if (!fit.advice.empty()) {
        ui.label(cat("Would help: ", fit.advice.front()), {box.left, y, box.right, y + ui.px(20)},
                 Size::kCaption, Tone::kMuted);
    }
}

void fit_cards(Frame& frame, CardPage& page) {
    Ui& ui = frame.ui;
    EngineViewState& view = frame.view.engine;
    const WorkshopState& state = frame.workshop->state();
    if (!state.fitting && (state.fits.empty() || state.fit_format != view.fit_format) &&
        state.fit_problem.empty())
        frame.workshop->fit(view.fit_format);
    const Box head = page.place(ui.px(kFitHead), true);
    ui.label("What fits this machine", head, Size::kHeading, Tone::kText);
    float x = head.left + ui.px(240);
    for (const auto& [name, format] : kFitFormats) {
        const float width = ui.width_of(name, Size::kStrong) + ui.px(24);
        if (ui.choice(name, {x, head.top + ui.px(4), x + width, head.bottom - ui.px(4)},
                      view.fit_format == format))
            view.fit_format = format;
        x += width;
    }
    ui.label(state.machine.measured() ? "≈ is a forecast from measured rates"
                                      : "≈ is a forecast, from rates that were not all measured",
             {x + ui.px(12), head.top, head.right, head.bottom}, Size::kCaption, Tone::kMuted);
    if (!state.fit_problem.empty()) {
        const Box at = page.place(ui.px(40), true);
        ui.label(state.fit_problem, at, Size::kLabel, Tone::kBad);
    }
    for (const Fit& fit : state.fits) {
        const Box at = page.place(fit_height(frame, fit) + card_frame_height(ui), false);
        if (page.seen(at)) draw_fit(frame, fit, draw_card(ui, at, fit.name));
    }
}

// ── Models ──

void draw_model(Frame& frame, const KnownModel& model, const Box& box) {
    Ui& ui = frame.ui;
    const ModelState& open = frame.desk.state().model;
    const bool is_open = open.facts && open.facts->directory == model.directory;
    const WorkshopState& state = frame.workshop->state();
    ui.push_id(model.directory.string());
    float y = box.top;
    ui.label(model.what.empty() ? model.directory.string() : model.what,
             {box.left, y, box.right, y + ui.px(22)}, Size::kLabel, Tone::kMuted);
    y += ui.px(22);
    ui.label(cat(model.demo ? "" : model.directory.string() + "  ", bytes_text(model.bytes)),
             {box.left, y, box.right, y + ui.px(22)}, Size::kCaption, Tone::kMuted);
    y += ui.px(24);
    if (!model.problem.empty()) {
        ui.label(model.problem, {box.left, y, box.right, y + ui.px(22)}, Size::kCaption,
                 Tone::kBad);
    } else if (is_open) {
        float x = box.left;
        ui.chip("open", x, y + ui.px(11), Tone::kGood, Tone::kGoodGround);
    }
    y += ui.px(30);
    float x = box.left;
    const auto place = [&](std::string_view name, Enabled can) {
        const float width = ui.button_width(name);
        const bool pressed =
            ui.button(name, {x, y, x + width, y + ui.px(32)}, ButtonLook::kPlain, can);
        x += width + ui.px(8);
        return pressed;
    };
    const Enabled whole = model.problem.empty() ? Enabled::kYes : Enabled::kNo;
    const Enabled free =
        model.problem.empty() && !state.work.running ? Enabled::kYes : Enabled::kNo;
    const bool busy = frame.desk.state().running.has_value();
    if (!is_open && place("Open", busy ? Enabled::kNo : whole))
        frame.desk.open_model(model.demo ? Path() : model.directory);
    if (model.store && place("Check every byte", free)) frame.workshop->verify(model.directory);
    if (!model.packed.empty() && place("Pack…", free)) {
        frame.view.engine.pack_source = model.directory;
        frame.view.engine.pack_format = "released";
    }
    if (!model.demo && place("Forget", Enabled::kYes))
        frame.workshop->forget_directory(model.directory);
    ui.pop_id();
}

void draw_add(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    EngineViewState& view = frame.view.engine;
    if (!view.add_directory)
        view.add_directory = TextEditor::create(ui.fonts(), {.one_line = true});
    const float button = ui.button_width("Add");
    const FieldResult field =
        ui.field("Directory with models", *view.add_directory, box.left, box.top,
                 box.width() - button - ui.px(10), Size::kLabel,
                 {.hint = "A directory with a model, or with several: /models"});
    const bool pressed =
        ui.button("Add", {box.right - button, box.top, box.right, box.top + field.height});
    if ((pressed || field.submitted) && !view.add_directory->text().empty()) {
        frame.workshop->add_directory(view.add_directory->text());
        view.add_directory->set_text("");
    }
}

// ── Packing ──

std::optional<uint64_t> size_of(const std::string& gigabytes) {
    constexpr size_t kDigitsMax = 6;
    if (gigabytes.empty() || gigabytes.size() > kDigitsMax) return std::nullopt;
    uint64_t number = 0;
    for (const char c : gigabytes) {
        if (c < '0' || c > '9') return std::nullopt;
        number = number * 10 + static_cast<uint64_t>(c - '0');
    }
    return number * 1'000'000'000;
}

void draw_pack(Frame& frame, const KnownModel& source, const Box& box) {
    Ui& ui = frame.ui;
    EngineViewState& view = frame.view.engine;
    const EditorOptions one_line = {.one_line = true};
    if (!view.pack_destination) view.pack_destination = TextEditor::create(ui.fonts(), one_line);
    if (!view.pack_size) view.pack_size = TextEditor::create(ui.fonts(), one_line);
    float y = box.top, x = box.left;
    const float row = ui.px(32);
    const auto choose = [&](const std::string& name, const std::string& shown) {
        const float width = ui.width_of(shown, Size::kStrong) + ui.px(22);
        if (x + width > box.right) x = box.left, y += row;
        if (ui.choice(shown, {x, y, x + width, y + row}, view.pack_format == name))
            view.pack_format = name;
        x += width;
    };
    for (const auto& [name, bytes] : source.packed)
        choose(name, cat(name, ", ", bytes_text(bytes)));
    if (source.packed.size() > 1) choose("auto", "auto, a given size");
    y += row + ui.px(8);
    if (view.pack_format == "auto") {
        y += ui.field("Size in GB", *view.pack_size, box.left, y, ui.px(200), Size::kLabel,
                      {.hint = "Size in GB"})
                 .height +
             ui.px(8);
    }
    y += ui.field("Destination", *view.pack_destination, box.left, y, box.width(), Size::kLabel,
                  {.hint = "A new directory for the store: /models/flash-q3s"})
             .height +
         ui.px(8);
    PackWish wish;
    wish.source = source.directory;
    wish.destination = view.pack_destination->text();
    wish.format = view.pack_format;
    if (wish.format == "auto") wish.size_bytes = size_of(view.pack_size->text());
    const std::string hindrance = frame.workshop->pack_hindrance(wish);
    const bool can = hindrance.empty() && !frame.workshop->state().work.running;
    const float width = ui.button_width("Pack"), close = ui.button_width("Close");
    if (ui.button("Pack", {box.left, y, box.left + width, y + row}, ButtonLook::kPrimary,
                  can ? Enabled::kYes : Enabled::kNo)) {
        frame.workshop->pack(wish);
        view.pack_source.reset();  // the job has a card of its own
    }
    x = box.left + width + ui.px(8);
    if (ui.button("Close", {x, y, x + close, y + row}, ButtonLook::kQuiet))
        view.pack_source.reset();
    ui.label(
        hindrance.empty() ? "It can be stopped at any time and goes on where it was." : hindrance,
        {x + close + ui.px(8), y, box.right, y + row}, Size::kCaption, Tone::kMuted);
}

void pack_card(Frame& frame, CardPage& page) {
    const EngineViewState& view = frame.view.engine;
    if (!view.pack_source) return;
    const auto& models = frame.workshop->state().models;
    const auto source = std::ranges::find(models, *view.pack_source, &KnownModel::directory);
    if (source == models.end()) return;
    const float height = frame.ui.px(view.pack_format == "auto" ? 174 : 126);
    const Box at = page.place(height + card_frame_height(frame.ui), true);
    const Box inner = draw_card(frame.ui, at, cat("Pack ", source->name));
    frame.ui.push_id("pack");
    draw_pack(frame, *source, inner);
    frame.ui.pop_id();
}

}  // namespace

void models_view(Frame& frame, const Box& box) {
    Ui& ui = frame.ui;
    ui.push_id("models");
    CardPage page(ui, "models", box, frame.view.engine.models_scroll);
    if (frame.workshop == nullptr) {
        page.title("Models", "This window was opened without the tools for models.");
        page.end();
        ui.pop_id();
        return;
    }
    page.title("Models", "");
    const WorkshopState& state = frame.workshop->state();
    if (const float height = work_height(frame); height > 0) {
        const Work& work = state.work;
        const Box at = page.place(height + card_frame_height(ui), true);
        draw_work(frame, draw_card(ui, at,
                                   cat(doing_text(work.kind), work.subject.empty() ? "" : " ",
                                       work.subject, work.running ? "" : ": ended")));
    }
    pack_card(frame, page);
    const Box machine = page.place(ui.px(212) + card_frame_height(ui), false);
    if (page.seen(machine)) draw_machine(frame, draw_card(ui, machine, "This machine"));
    for (const KnownModel& model : state.models) {
        const Box at = page.place(ui.px(110) + card_frame_height(ui), false);
        if (page.seen(at)) draw_model(frame, model, draw_card(ui, at, model.name));
    }
    const Box add = page.place(ui.px(44) + card_frame_height(ui), true);
    if (page.seen(add)) draw_add(frame, draw_card(ui, add, "Add models"));
    fit_cards(frame, page);
    page.end();
    ui.pop_id();
}

void tend_workshop(Frame& frame) {
    EngineViewState& view = frame.view.engine;
    view.benchmark.tick(frame.desk, frame.workshop);
    if (frame.workshop == nullptr) return;
    static_cast<void>(frame.workshop->tick());
    const Work& work = frame.workshop->state().work;
    if (work.running) view.work_told = false;
    if (!work.running && !view.work_told) {
        view.work_told = true;
        if (frame.desk.state().screen != Screen::kModels) frame.desk.tell(work.result, work.bad);
    }
    // What was opened by its directory is one of the models from then on.
    const ModelState& model = frame.desk.state().model;
    if (!model.facts || model.facts->demo) return;
    const std::string directory = model.facts->directory.string();
    if (directory == view.directory_known) return;
    view.directory_known = directory;
    frame.workshop->add_directory(directory);
}

}  // namespace millrace
