#pragma once
// What a benchmark tells: one row a figure, as a line of a table for people or as a line of JSON for scripts.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/terminal.h"
#include "core/base/clock.h"

namespace millrace {

struct BenchRow {
    std::string row;  // "gemv.f4"
    double value = 0;
    std::string unit;             // "GB/s", "GMAC/s", "tok/s", "us"
    std::optional<double> limit;  // in the same unit: what the machine would allow
    std::optional<double> share;  // of the limit
    uint64_t hash = 0;            // of what was computed; 0: nothing that stays the same
};

// {"row": …, "value": …, "unit": …, "limit": …, "share": …, "hash": …}; what a row lacks is null. Without a newline.
[[nodiscard]] std::string bench_json(const BenchRow& row);
[[nodiscard]] std::string bench_line(const BenchRow& row);
[[nodiscard]] std::string bench_heading();

enum class BenchFormat { kTable, kJson };

class BenchReport {
public:
    // Rows whose name does not begin with `only` are not wanted; "" wants all. Rows are shown as they come; without a
    // terminal they are only kept.
    BenchReport(Terminal* terminal, BenchFormat format, std::string only)
        : terminal_(terminal), format_(format), only_(std::move(only)) {}

    [[nodiscard]] bool wants(std::string_view row) const { return row.starts_with(only_); }
    // A rate: share = value / limit. Without a limit there is none.
    void add_rate(std::string row, double value, std::string unit, std::optional<double> limit,
                  uint64_t hash = 0);
    // A time: share = limit / value.
    void add_time(std::string row, double value, std::string unit, std::optional<double> limit,
                  uint64_t hash = 0);
    // A part of a whole in the same unit: share = value / whole.
    void add_part(std::string row, double value, std::string unit, double whole);
    // A sentence for people; no part of the rows.
    void note(std::string_view sentence);

    [[nodiscard]] std::span<const BenchRow> rows() const { return rows_; }

private:
    void add(BenchRow row);

    Terminal* terminal_;
    BenchFormat format_;
    std::string only_;
    std::vector<BenchRow> rows_;
};

// How a figure is taken: `repeat` runs, each of as many calls as fill `least_ns`, after one call that is not counted.
struct BenchTiming {
    Clock& clock;
    int repeat = 5;
    int64_t least_ns = 50'000'000;
};

// The middle one; of an even number the lower of the two in the middle. `values` has at least one.
[[nodiscard]] double median(std::span<const double> values);

// Seconds of one call of `body`: the median of the runs.
template <class Body>
[[nodiscard]] double seconds_a_call(const BenchTiming& timing, const Body& body) {
    body();
    std::vector<double> runs;
    for (int i = 0; i < timing.repeat; ++i) {
        const int64_t begin_ns = timing.clock.now_ns();
        int64_t calls = 0, passed_ns = 0;
        do {
            body();
            ++calls;
            passed_ns = timing.clock.now_ns() - begin_ns;
        } while (passed_ns < timing.least_ns);
        runs.push_back(static_cast<double>(passed_ns) * 1e-9 / static_cast<double>(calls));
    }
    return median(runs);
}

// FNV-1a, for hashes of results.
[[nodiscard]] uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t before = 0);

}  // namespace millrace
