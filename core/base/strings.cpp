#include "core/base/strings.h"

#include <array>
#include <charconv>

#include "core/base/utf8.h"

namespace millrace {

void append(std::string& out, double value) {
    std::array<char, 40> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    out.append(text.data(), end);
}

std::string fixed(double value, int decimals) {
    std::array<char, 400> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                   std::chars_format::fixed, decimals)
                         .ptr;
    return {text.data(), end};
}

std::string human_bytes(uint64_t bytes) {
    static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = static_cast<double>(bytes);
    size_t unit = 0;
    // What would be printed as "1024.00" belongs to the next unit.
    while (value >= (unit == 0 ? 1024 : 1023.995) && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    return cat(fixed(value, unit == 0 ? 0 : 2), " ", kUnits[unit]);
}

std::string quote_text(std::string_view text, size_t max_bytes) {
    std::string out = "\"";
    size_t at = 0;
    while (at < text.size()) {
        const Utf8Char c = decode_utf8(text.substr(at));
        if (at + c.bytes > max_bytes) break;
        const bool shown = c.valid && c.code >= 0x20 && !(c.code >= 0x7F && c.code < 0xA0);
        if (shown) {
            out.append(text.substr(at, c.bytes));
        } else {
            out.push_back('?');
        }
        at += c.bytes;
    }
    out += at < text.size() ? "\"…" : "\"";
    return out;
}

}  // namespace millrace
