#pragma once
// What a plot says in words and numbers, apart from the drawing: values with their units, round ticks, and its data as CSV.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

enum class PlotUnit : uint8_t {
    kCount,
    kTokensPerSecond,
    kMilliseconds,
    kBytes,
    kBytesPerSecond,
    kShare,  // 1 is "100 %"
};

// "12.4 tok/s", "38 ms", "1.20 GB/s"; bytes count by thousands, as drives do.
[[nodiscard]] std::string plot_text(double value, PlotUnit unit);
// 12345 → "12 345"
[[nodiscard]] std::string count_text(int64_t value);

// Ticks at first, first + step, …: 1, 2 or 5 times a power of ten apart.
struct PlotTicks {
    double first = 0, step = 1;
    int count = 2;
    [[nodiscard]] double at(int index) const { return first + step * index; }
    [[nodiscard]] double last() const { return at(count - 1); }
};
// From 0 to at least `high`: an axis of values. At most `most` ticks, at least 2.
[[nodiscard]] PlotTicks value_ticks(double high, int most);
// Within low … high: an axis that runs from here to there.
[[nodiscard]] PlotTicks range_ticks(double low, double high, int most);

struct PlotColumn {
    std::string_view name;
    std::span<const float> values;
};
// A line of names, then a line for each row; columns that end early leave their place empty.
[[nodiscard]] std::string plot_csv(std::span<const PlotColumn> columns);

}  // namespace millrace
