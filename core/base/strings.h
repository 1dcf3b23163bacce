#pragma once
// Sentences from parts: `cat("expected ", 4, " bytes")`. Numbers print in full, text as it is.

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

inline void append(std::string& out, std::string_view text) { out.append(text); }
inline void append(std::string& out, char c) { out.push_back(c); }
void append(std::string& out, double value);  // shortest text that reads back as the same number
template <std::integral T>
requires(!std::same_as<T, char>) void append(std::string& out, T value) {
    out += std::to_string(value);
}

template <class... Parts>
[[nodiscard]] std::string cat(const Parts&... parts) {
    std::string out;
    (append(out, parts), ...);
    return out;
}

// 1536 → "1.50 KiB"; for people, never parsed back.
[[nodiscard]] std::string human_bytes(uint64_t bytes);

// `value` with `decimals` digits behind the point.
[[nodiscard]] std::string fixed(double value, int decimals);

// Text from outside, made safe for one line of an error message: control characters and invalid UTF-8 become '?', and
// at most `max_bytes` are kept.
[[nodiscard]] std::string quote_text(std::string_view text, size_t max_bytes = 80);

}  // namespace millrace
