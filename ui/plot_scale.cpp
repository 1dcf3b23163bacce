#include "ui/plot_scale.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/strings.h"

namespace millrace {
namespace {

// Three digits that count.
std::string short_number(double value) {
    const double size = std::abs(value);
    if (size == 0) return "0";
    return fixed(value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.1 ? 2 : 3);
}

std::string with_prefix(double value, std::string_view unit) {
    constexpr std::array<std::string_view, 5> prefixes = {"", "k", "M", "G", "T"};
    size_t at = 0;
    while (std::abs(value) >= 999.5 && at + 1 < prefixes.size()) value /= 1000, ++at;
    return cat(at == 0 ? fixed(value, 0) : short_number(value), " ", prefixes[at], unit);
}

// The least of 1, 2, 5 times a power of ten that is at least `rough`.
double round_step(double rough) {
    const double power = std::pow(10, std::floor(std::log10(rough)));
    for (const double times : {1.0, 2.0, 5.0}) {
        if (times * power >= rough * (1 - 1e-9)) return times * power;
    }
    return 10 * power;
}

}  // namespace

std::string count_text(int64_t value) {
    std::string text = std::to_string(value);
    const size_t least = value < 0 ? 2 : 1;
    for (size_t at = text.size(); at >= least + 3; at -= 3) text.insert(at - 3, " ");
    return text;
}

std::string plot_text(double value, PlotUnit unit) {
    switch (unit) {
        case PlotUnit::kCount:
            return std::abs(value - std::round(value)) < 1e-6
                       ? count_text(static_cast<int64_t>(std::llround(value)))
                       : short_number(value);
        case PlotUnit::kTokensPerSecond: return short_number(value) + " tok/s";
        case PlotUnit::kMilliseconds:
            return std::abs(value) >= 9999.5 ? short_number(value / 1000) + " s"
                                             : short_number(value) + " ms";
        case PlotUnit::kBytes: return with_prefix(value, "B");
        case PlotUnit::kBytesPerSecond: return with_prefix(value, "B/s");
        case PlotUnit::kShare:
            return fixed(value * 100, value < 0.0995 && value > 0 ? 1 : 0) + " %";
    }
    return {};
}

PlotTicks value_ticks(double high, int most) {
    if (!(high > 0) || !std::isfinite(high)) high = 1;
    most = std::max(most, 2);
    double step = round_step(high / (most - 1));
    const auto steps = std::max(1, static_cast<int>(std::ceil(high / step - 1e-9)));
    return {0, step, steps + 1};
}

PlotTicks range_ticks(double low, double high, int most) {
    if (!(high > low) || !std::isfinite(high - low)) return {low, 1, 1};
    most = std::max(most, 2);
    double step = round_step((high - low) / most);
    PlotTicks ticks;
    for (;; step = round_step(step * 1.5)) {
        const double first = std::ceil(low / step - 1e-9) * step;
        ticks = {first, step, static_cast<int>(std::floor((high - first) / step + 1e-9)) + 1};
        if (ticks.count <= most) return ticks;
    }
}

std::string plot_csv(std::span<const PlotColumn> columns) {
    std::string out;
    size_t rows = 0;
    for (const PlotColumn& column : columns) {
        // Names are ours; a quote in one would still not break the line.
        const bool plain = column.name.find_first_of(",\"\n") == std::string_view::npos;
        if (&column != columns.data()) out += ',';
        if (!plain) out += '"';
        for (const char c : column.name) out.append(c == '"' ? 2 : 1, c);
        if (!plain) out += '"';
        rows = std::max(rows, column.values.size());
    }
    out += '\n';
    for (size_t row = 0; row < rows; ++row) {
        for (const PlotColumn& column : columns) {
            if (&column != columns.data()) out += ',';
            if (row >= column.values.size()) continue;
            // Six digits are what a float has.
            const double value = static_cast<double>(column.values[row]);
            const double power =
                value == 0 ? 1 : std::pow(10, 5 - std::floor(std::log10(std::abs(value))));
            append(out, std::round(value * power) / power);
        }
        out += '\n';
    }
    return out;
}

}  // namespace millrace
