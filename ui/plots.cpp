#include "ui/plots.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr size_t kPointsMax = 2048;  // of a line; more are thinned out

float along(double value, double low, double high, float from, float to) {
    return static_cast<float>(from + (value - low) / (high - low) * static_cast<double>(to - from));
}

struct Axes {
    Box inner;
    double x_low = 0, x_high = 1, top = 1;
    [[nodiscard]] float x(double value) const {
        return along(value, x_low, x_high, inner.left, inner.right);
    }
    [[nodiscard]] float y(double value) const {
        return along(std::clamp(value, 0.0, top), 0, top, inner.bottom, inner.top);
    }
};

// Grid, ticks and their words; takes from `box` what they need.
Axes draw_axes(Ui& ui, Box box, const PlotLook& look, double high, double x_low, double x_high) {
    Canvas& canvas = ui.canvas();
    const float line = ui.px(18);
    const int most = std::clamp(static_cast<int>(box.height() / ui.px(34)), 2, 6);
    const PlotTicks ticks = look.top > 0 ? range_ticks(0, look.top, most) : value_ticks(high, most);
    Axes axes;
    axes.top = look.top > 0 ? look.top : ticks.last();
    float gutter = 0;
    for (int i = 0; i < ticks.count; ++i) {
        gutter = std::max(gutter, ui.width_of(plot_text(ticks.at(i), look.unit), Size::kCaption));
    }
    axes.inner = {box.left + gutter + ui.px(8), box.top + ui.px(6), box.right - ui.px(4),
                  box.bottom - line};
    axes.x_low = x_low;
    axes.x_high = x_high > x_low ? x_high : x_low + 1;
    const Colour grid = ui.tone(Tone::kBorder);
    for (int i = 0; i < ticks.count; ++i) {
        const float y = std::round(axes.y(ticks.at(i)));
        canvas.line(axes.inner.left, y, axes.inner.right, y, 1, i == 0 ? grid : grid.faded(0.5F));
        ui.label(plot_text(ticks.at(i), look.unit),
                 {box.left, y - line / 2, axes.inner.left - ui.px(6), y + line / 2}, Size::kCaption,
                 Tone::kMuted, Align::kRight);
    }
    const int x_most = std::clamp(static_cast<int>(axes.inner.width() / ui.px(90)), 1, 8);
    const PlotTicks across = range_ticks(x_low, axes.x_high, x_most);
    for (int i = 0; i < across.count; ++i) {
        const float x = axes.x(across.at(i));
        canvas.line(x, axes.inner.bottom, x, axes.inner.bottom + ui.px(3), 1, grid);
        const std::string text = plot_text(across.at(i), look.x_unit);
        const float half = ui.width_of(text, Size::kCaption) / 2;
        const float middle = std::clamp(x, axes.inner.left + half, axes.inner.right - half);
        ui.label(text,
                 {middle - half - 1, axes.inner.bottom + ui.px(3), middle + half + 2, box.bottom},
                 Size::kCaption, Tone::kMuted);
    }
    return axes;
}

double x_of(const PlotLook& look, size_t index) {
    return look.x.empty() ? look.x_first + static_cast<double>(index)
                          : static_cast<double>(look.x[index]);
}

// What the pointer at `index` is told.
void tell(Ui& ui, const PlotLook& look, std::span<const PlotSeries> series, size_t index) {
    std::string text = cat(look.x_name, " ", plot_text(x_of(look, index), look.x_unit));
    double sum = 0;
    for (const PlotSeries& one : series) {
        if (index >= one.values.size()) continue;
        const auto value = static_cast<double>(one.values[index]);
        sum += value;
        text += cat("\n", one.name, one.name.empty() ? "" : "  ", plot_text(value, look.unit));
    }
    if (look.total) text += cat("\ntogether  ", plot_text(sum, look.unit));
    ui.tooltip(text);
}

size_t longest(std::span<const PlotSeries> series) {
    size_t count = 0;
    for (const PlotSeries& one : series) count = std::max(count, one.values.size());
    return count;
}

float head(Ui& ui, Box& box, std::span<const PlotSeries> series) {
    if (series.size() < 2) return 0;
    const float height = plot_legend(ui, box.left, box.top, box.width(), series);
    box.top += height;
    return height;
}

void draw_line(Ui& ui, const Axes& axes, const PlotLook& look, const PlotSeries& series) {
    const Colour colour = ui.theme().series[static_cast<size_t>(series.colour)];
    const size_t count = series.values.size();
    if (look.dots) {
        for (size_t i = 0; i < count; ++i) {
            ui.canvas().disc(axes.x(x_of(look, i)), axes.y(static_cast<double>(series.values[i])),
                             ui.px(2.5F), colour);
        }
        return;
    }
    std::array<ImVec2, kPointsMax> points;
    const size_t shown = std::min(count, kPointsMax);
    for (size_t p = 0; p < shown; ++p) {
        const size_t i = p * count / shown;
        points[p] = {axes.x(x_of(look, i)), axes.y(static_cast<double>(series.values[i]))};
    }
    constexpr size_t kFew = 24;  // then each value is seen as one
    for (size_t p = 0; p < shown && shown <= kFew; ++p)
        ui.canvas().disc(points[p].x, points[p].y, ui.px(2.5F), colour);
    ui.canvas().polyline(points.data(), static_cast<int>(shown), std::max(1.F, ui.px(1.5F)),
                         colour);
}

// The value nearest to the pointer; dots stand anywhere, so both coordinates count for them.
size_t nearest(const Ui& ui, const Axes& axes, const PlotLook& look,
               std::span<const PlotSeries> series) {
    size_t best = 0;
    float best_distance = 1e30F;
    for (const PlotSeries& one : series) {
        for (size_t i = 0; i < one.values.size(); ++i) {
            const float dx = axes.x(x_of(look, i)) - ui.input().x;
            const float dy =
                look.dots ? axes.y(static_cast<double>(one.values[i])) - ui.input().y : 0;
            const float distance = dx * dx + dy * dy;
            if (distance < best_distance) best_distance = distance, best = i;
        }
    }
    return best;
}

// Columns as they are drawn: bin b holds the values from begin(b) to begin(b + 1).
struct Bins {
    size_t count = 0, values = 0;
    [[nodiscard]] size_t begin(size_t bin) const { return bin * values / count; }
};

}  // namespace

float plot_legend(Ui& ui, float left, float top, float width, std::span<const PlotSeries> series) {
    const float line = ui.px(20), swatch = ui.px(9);
    float x = left, y = top;
    for (const PlotSeries& one : series) {
        const float needed = swatch + ui.px(6) + ui.width_of(one.name, Size::kCaption);
        if (x > left && x + needed > left + width) x = left, y += line;
        const float middle = y + line / 2;
        ui.canvas().fill({x, middle - swatch / 2, x + swatch, middle + swatch / 2},
                         ui.theme().series[static_cast<size_t>(one.colour)], ui.px(2));
        ui.label(one.name,
                 {x + swatch + ui.px(6), y, std::min(x + needed + 2, left + width), y + line},
                 Size::kCaption, Tone::kMuted);
        x += needed + ui.px(14);
    }
    return y - top + line + ui.px(2);
}

std::optional<size_t> line_plot(Ui& ui, const Box& whole, const PlotLook& look,
                                std::span<const PlotSeries> series) {
    Box box = whole;
    head(ui, box, series);
    const size_t count = longest(series);
    double high = 0, x_low = look.x_first;
    double x_high = x_low + std::max(static_cast<double>(count) - 1, double(look.slots_least));
    for (const PlotSeries& one : series) {
        for (const float value : one.values) high = std::max(high, static_cast<double>(value));
    }
    if (!look.x.empty()) {
        const auto [least, most] = std::ranges::minmax(look.x);
        x_low = look.dots ? 0 : static_cast<double>(least);
        constexpr double kDotsLeast = 64;  // one dot alone stands in some room
        x_high =
            look.dots ? std::max(kDotsLeast, static_cast<double>(most)) : static_cast<double>(most);
    }
    const Axes axes = draw_axes(ui, box, look, high, x_low, x_high);
    for (const PlotSeries& one : series) draw_line(ui, axes, look, one);
    const Touch touch = ui.thing(ui.id(look.name), ThingRole::kPlot, look.name, axes.inner);
    if (!touch.hovered || count == 0) return std::nullopt;
    const size_t at = nearest(ui, axes, look, series);
    const float x = std::round(axes.x(x_of(look, at)));
    ui.canvas().line(x, axes.inner.top, x, axes.inner.bottom, 1, ui.tone(Tone::kMuted));
    for (const PlotSeries& one : series) {
        if (at >= one.values.size()) continue;
        ui.canvas().disc(x, axes.y(static_cast<double>(one.values[at])), ui.px(4),
                         ui.theme().series[static_cast<size_t>(one.colour)]);
    }
    tell(ui, look, series, at);
    return at;
}

std::optional<size_t> stacked_plot(Ui& ui, const Box& whole, const PlotLook& look,
                                   std::span<const PlotSeries> series) {
    Box box = whole;
    head(ui, box, series);
    const size_t count = longest(series);
    double high = 0;
    for (size_t i = 0; i < count; ++i) {
        double sum = 0;
        for (const PlotSeries& one : series) {
            if (i < one.values.size()) sum += static_cast<double>(one.values[i]);
        }
        high = std::max(high, sum);
    }
    const size_t slots = std::max(count, static_cast<size_t>(look.slots_least));
    const double x_high = look.x_first + static_cast<double>(slots);
    const Axes axes = draw_axes(ui, box, look, high, look.x_first, x_high);
    const auto pixels = static_cast<size_t>(std::max(1.F, axes.inner.width()));
    const Bins bins = {std::min(count, pixels), count};
    const float share = static_cast<float>(count) / static_cast<float>(slots);
    const float each =
        bins.count == 0 ? 1 : axes.inner.width() * share / static_cast<float>(bins.count);
    const float gap = each > ui.px(6) ? ui.px(1) : 0;
    for (size_t b = 0; b < bins.count; ++b) {
        const size_t begin = bins.begin(b), end = bins.begin(b + 1);
        const float left = axes.inner.left + each * static_cast<float>(b);
        double base = 0;
        float bottom = axes.y(0);
        for (const PlotSeries& one : series) {
            double sum = 0;
            for (size_t i = begin; i < std::min(end, one.values.size()); ++i)
                sum += static_cast<double>(one.values[i]);
            base += sum / static_cast<double>(end - begin);
            const float top = axes.y(base);
            ui.canvas().fill({left, top, left + each - gap, bottom},
                             ui.theme().series[static_cast<size_t>(one.colour)], 0);
            bottom = top;
        }
    }
    const Touch touch = ui.thing(ui.id(look.name), ThingRole::kPlot, look.name, axes.inner);
    if (!touch.hovered || count == 0) return std::nullopt;
    const auto at = static_cast<size_t>((ui.input().x - axes.inner.left) / each *
                                        static_cast<float>(count) / static_cast<float>(bins.count));
    if (at >= count) return std::nullopt;
    const float x = axes.inner.left + each * static_cast<float>(bins.count) *
                                          (static_cast<float>(at) + 0.5F) /
                                          static_cast<float>(count);
    ui.canvas().line(x, axes.inner.top, x, axes.inner.bottom, 1, ui.tone(Tone::kText).faded(0.6F));
    tell(ui, look, series, at);
    return at;
}

float share_bar(Ui& ui, float left, float top, float width, std::string_view name,
                std::span<const BarPart> parts, double whole, PlotUnit unit) {
    const float bar = ui.px(16), line = ui.px(22), swatch = ui.px(9);
    const Box box = {left, top, left + width, top + bar};
    ui.canvas().fill(box, ui.tone(Tone::kPressed), ui.px(4));
    double sum = 0;
    for (const BarPart& part : parts) sum += part.value;
    whole = std::max({whole, sum, 1e-12});
    const Touch touch = ui.thing(ui.id(name), ThingRole::kPlot, name, box);
    double at = 0;
    for (const BarPart& part : parts) {
        const Box piece = {along(at, 0, whole, box.left, box.right), box.top,
                           along(at + part.value, 0, whole, box.left, box.right), box.bottom};
        at += part.value;
        ui.canvas().fill(piece, ui.theme().series[static_cast<size_t>(part.colour)],
                         piece.width() > ui.px(8) ? ui.px(3) : 0);
        if (touch.hovered && piece.contains(ui.input().x, ui.input().y)) {
            ui.tooltip(cat(part.name, "  ", plot_text(part.value, unit), ", ",
                           plot_text(part.value / whole, PlotUnit::kShare), " of ",
                           plot_text(whole, unit)));
        }
    }
    float x = left, y = top + bar + ui.px(4);
    for (const BarPart& part : parts) {
        const std::string text = cat(part.name, "  ", plot_text(part.value, unit));
        const float needed = swatch + ui.px(6) + ui.width_of(text, Size::kCaption);
        if (x > left && x + needed > left + width) x = left, y += line;
        const float middle = y + line / 2;
        ui.canvas().fill({x, middle - swatch / 2, x + swatch, middle + swatch / 2},
                         ui.theme().series[static_cast<size_t>(part.colour)], ui.px(2));
        ui.label(text, {x + swatch + ui.px(6), y, std::min(x + needed + 2, left + width), y + line},
                 Size::kCaption, Tone::kText);
        x += needed + ui.px(14);
    }
    return y + line - top;
}

namespace {

void heat_axes(Ui& ui, const Box& box, const Box& inner, const HeatLook& look) {
    const float line = ui.px(18);
    const PlotTicks down =
        range_ticks(0, look.rows - 1, static_cast<int>(box.height() / ui.px(40)));
    for (int i = 0; i < down.count; ++i) {
        const float y = inner.top + inner.height() * (static_cast<float>(down.at(i)) + 0.5F) /
                                        static_cast<float>(look.rows);
        ui.label(plot_text(down.at(i), PlotUnit::kCount),
                 {box.left, y - line / 2, inner.left - ui.px(6), y + line / 2}, Size::kCaption,
                 Tone::kMuted, Align::kRight);
    }
    const PlotTicks across =
        range_ticks(0, look.columns - 1, static_cast<int>(inner.width() / ui.px(80)));
    for (int i = 0; i < across.count; ++i) {
        const float x = inner.left + inner.width() * (static_cast<float>(across.at(i)) + 0.5F) /
                                         static_cast<float>(look.columns);
        const float half = ui.px(30);
        const float middle = std::clamp(x, inner.left + ui.px(6), inner.right - ui.px(10));
        ui.label(plot_text(across.at(i), PlotUnit::kCount),
                 {middle - half, inner.bottom + ui.px(2), middle + half, inner.bottom + line},
                 Size::kCaption, Tone::kMuted, Align::kCentre);
    }
    // What the colours mean.
    const float y = inner.bottom + line + ui.px(4), ramp = ui.px(96);
    float x = inner.left;
    x += ui.label("0", {x, y, x + ui.px(20), y + line}, Size::kCaption, Tone::kMuted) + ui.px(6);
    constexpr int kSteps = 32;
    for (int i = 0; i < kSteps; ++i) {
        const float step = ramp / kSteps;
        ui.canvas().fill({x, y + ui.px(4), x + step + 0.5F, y + line - ui.px(4)},
                         ui.theme().heat(static_cast<float>(i) / (kSteps - 1)), 0);
        x += step;
    }
    ui.label(cat(plot_text(look.highest, PlotUnit::kCount), " ", look.unit_name,
                 "; down: ", look.row_name, ", across: ", look.column_name),
             {x + ui.px(6), y, inner.right, y + line}, Size::kCaption, Tone::kMuted);
}

}  // namespace

std::optional<HeatCell> heat_map(Ui& ui, const Box& box, const HeatLook& look) {
    if (look.rows <= 0 || look.columns <= 0) return std::nullopt;
    const Box inner = {box.left + ui.px(34), box.top, box.right, box.bottom - ui.px(40)};
    // A cell of less than two pixels cannot be pointed at.
    const int room = std::max(1, static_cast<int>(inner.width() / 2));
    const int together = (look.columns + room - 1) / room;
    const int cells = (look.columns + together - 1) / together;
    const float wide =
        inner.width() * static_cast<float>(together) / static_cast<float>(look.columns);
    const float high = inner.height() / static_cast<float>(look.rows);
    ui.canvas().fill(inner, ui.theme().heat(0), 0);
    const float scale = 1 / static_cast<float>(std::max(1U, look.highest));
    const auto cell_box = [&](int row, int cell) {
        const float left = inner.left + wide * static_cast<float>(cell);
        const float top = inner.top + high * static_cast<float>(row);
        return Box{left, top, std::min(left + wide, inner.right), top + high};
    };
    // The most asked for of those that share a cell, so that none hides behind its neighbours.
    const auto count_of = [&](int row, int cell) {
        uint32_t most = 0;
        const int end = std::min(look.columns, (cell + 1) * together);
        for (int c = cell * together; c < end; ++c)
            most = std::max(most, look.counts[static_cast<size_t>(row * look.columns + c)]);
        return most;
    };
    for (int row = 0; row < look.rows; ++row) {
        for (int cell = 0; cell < cells; ++cell) {
            const uint32_t count = count_of(row, cell);
            if (count == 0) continue;
            const float share = 0.12F + 0.88F * static_cast<float>(count) * scale;
            ui.canvas().fill(cell_box(row, cell), ui.theme().heat(share), 0);
        }
    }
    const size_t marks = look.marked.size() / static_cast<size_t>(look.rows);
    for (size_t i = 0; i < look.marked.size(); ++i) {
        if (look.marked[i] < 0) continue;
        Box at = cell_box(static_cast<int>(i / marks), look.marked[i] / together);
        const float grow = ui.px(1.5F);
        at = {at.left - grow, at.top, at.right + grow, at.bottom};
        ui.canvas().outline(at, Colour{255, 255, 255, 255}, 0, std::max(1.F, ui.px(1)));
    }
    heat_axes(ui, box, inner, look);
    const Touch touch = ui.thing(ui.id(look.name), ThingRole::kPlot, look.name, inner);
    if (!touch.hovered) return std::nullopt;
    HeatCell at;
    at.row = std::clamp(static_cast<int>((ui.input().y - inner.top) / high), 0, look.rows - 1);
    const int cell = std::clamp(static_cast<int>((ui.input().x - inner.left) / wide), 0, cells - 1);
    at.column = cell * together;
    at.columns = std::min(together, look.columns - at.column);
    at.count = count_of(at.row, cell);
    ui.canvas().outline(cell_box(at.row, cell), ui.tone(Tone::kText), 0, std::max(1.F, ui.px(1)));
    ui.tooltip(cat(look.row_name, " ", at.row, ", ", look.column_name, " ", at.column,
                   at.columns > 1 ? cat("–", at.column + at.columns - 1) : "", "\n",
                   at.columns > 1 ? "at most " : "", at.count, " ", look.unit_name));
    return at;
}

}  // namespace millrace
