#include "app/bench_report.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

std::string hexadecimal(uint64_t value) {
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
    return {digits.data(), end};
}

Json number_or_null(std::optional<double> value) { return value ? Json(*value) : Json(); }

std::string padded(std::string text, size_t columns) {
    if (text.size() < columns) text.insert(0, columns - text.size(), ' ');
    return text;
}

std::string line(std::string name, std::string value, std::string_view unit, std::string limit,
                 std::string share) {
    name.resize(std::max<size_t>(name.size(), 22), ' ');
    std::string unit_text(unit);
    unit_text.resize(std::max<size_t>(unit.size(), 7), ' ');
    return cat(name, padded(std::move(value), 12), " ", unit_text, padded(std::move(limit), 12),
               padded(std::move(share), 8), "\n");
}

std::optional<double> ratio(std::optional<double> part, std::optional<double> whole) {
    if (!part || !whole || *whole <= 0) return std::nullopt;
    return *part / *whole;
}

}  // namespace

std::string bench_json(const BenchRow& row) {
    Json json;
    json.set("row", row.row);
    json.set("value", row.value);
    json.set("unit", row.unit);
    json.set("limit", number_or_null(row.limit));
    json.set("share", number_or_null(row.share));
    json.set("hash", row.hash != 0 ? Json(hexadecimal(row.hash)) : Json());
    return json.dump();
}

std::string bench_heading() { return line("row", "value", "unit", "limit", "share"); }

std::string bench_line(const BenchRow& row) {
    return line(row.row, fixed(row.value, 2), row.unit, row.limit ? fixed(*row.limit, 2) : "",
                row.share ? cat(fixed(*row.share * 100, 1), " %") : "");
}

void BenchReport::add_rate(std::string row, double value, std::string unit,
                           std::optional<double> limit, uint64_t hash) {
    add({std::move(row), value, std::move(unit), limit, ratio(value, limit), hash});
}

void BenchReport::add_time(std::string row, double value, std::string unit,
                           std::optional<double> limit, uint64_t hash) {
    add({std::move(row), value, std::move(unit), limit, ratio(limit, value), hash});
}

void BenchReport::add_part(std::string row, double value, std::string unit, double whole) {
    add({std::move(row), value, std::move(unit), whole, ratio(value, whole), 0});
}

void BenchReport::add(BenchRow row) {
    if (terminal_ != nullptr) {
        if (format_ == BenchFormat::kTable && rows_.empty()) terminal_->text(bench_heading());
        terminal_->text(format_ == BenchFormat::kJson ? bench_json(row) + "\n" : bench_line(row));
    }
    rows_.push_back(std::move(row));
}

void BenchReport::note(std::string_view sentence) {
    if (terminal_ != nullptr && format_ == BenchFormat::kTable) {
        terminal_->dim(cat(sentence, "\n"));
    }
}

double median(std::span<const double> values) {
    ENSURE(!values.empty());
    std::vector<double> sorted(values.begin(), values.end());
    std::ranges::sort(sorted);
    return sorted[(sorted.size() - 1) / 2];
}

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t before) {
    uint64_t hash = before != 0 ? before : 0xCBF29CE484222325u;
    for (const std::byte byte : bytes) {
        hash = (hash ^ std::to_integer<uint64_t>(byte)) * 0x100000001B3u;
    }
    return hash;
}

}  // namespace millrace
