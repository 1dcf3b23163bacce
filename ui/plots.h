#pragma once
// Plots for live numbers: lines, dots, stacked columns, one stacked bar, and a heatmap. They are drawn anew in each frame
// from arrays that the caller keeps; the pointer over one gets a crosshair and the values, and the caller is told where it
// stands. What is drawn is bounded by the pixels, not by the data.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ui/plot_scale.h"
#include "ui/ui.h"

namespace millrace {

struct PlotSeries {
    std::string_view name;
    std::span<const float> values;
    int colour = 0;  // of Theme::series
};

struct PlotLook {
    std::string_view name;  // of the thing; for people who cannot see it, and for tests
    PlotUnit unit = PlotUnit::kCount;
    std::string_view x_name = "token";  // "token 1 234" is what the pointer tells
    PlotUnit x_unit = PlotUnit::kCount;
    double x_first = 0;  // of values[0], where the plot has no x of its own
    std::span<const float> x =
        {};               // of the values, rising but for dots; empty: x_first, x_first + 1, …
    double top = 0;       // of the axis; 0: as the values need
    int slots_least = 1;  // columns that there is room for before all become narrower
    bool dots = false;    // no lines between the values
    bool total = false;   // stacked: the pointer also tells the sum
};

// The box includes axes and, above, the names of the series if there are several. The index under the pointer, if any.
std::optional<size_t> line_plot(Ui& ui, const Box& box, const PlotLook& look,
                                std::span<const PlotSeries> series);
// Columns one upon the other; where there are more columns than pixels, their means.
std::optional<size_t> stacked_plot(Ui& ui, const Box& box, const PlotLook& look,
                                   std::span<const PlotSeries> series);

struct BarPart {
    std::string_view name;
    double value = 0;
    int colour = 0;
};
// One bar across the box, the parts side by side, `whole` (at least their sum) its length; their names and values below.
// Returns the height.
float share_bar(Ui& ui, float left, float top, float width, std::string_view name,
                std::span<const BarPart> parts, double whole, PlotUnit unit);

struct HeatLook {
    std::string_view name, row_name, column_name;
    std::string unit_name;
    int rows = 0, columns = 0;
    std::span<const uint32_t> counts = {};  // [rows][columns]
    uint32_t highest = 0;                   // of counts
    std::span<const int16_t> marked = {};   // [rows][·]: columns to be marked, −1: none
};
struct HeatCell {
    int row = 0, column = 0;
    int columns = 1;  // side by side in this cell, where there are more than pixels
    uint32_t count = 0;
};
std::optional<HeatCell> heat_map(Ui& ui, const Box& box, const HeatLook& look);

// A colour for each name, in a row, wrapped; returns the height.
float plot_legend(Ui& ui, float left, float top, float width, std::span<const PlotSeries> series);

}  // namespace millrace
