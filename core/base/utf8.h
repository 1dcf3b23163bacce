#pragma once
// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

struct Utf8Char {
    char32_t code;  // U+FFFD if !valid
    uint32_t
        bytes;  // consumed; at least 1, also if !valid (then the maximal invalid part, as Unicode advises)
    bool valid;
};

// The first character of `text`, which must not be empty.
[[nodiscard]] Utf8Char decode_utf8(std::string_view text);

void append_utf8(std::string& out, char32_t code);

// The offset of the first invalid byte, or `text.size()` if all is valid.
[[nodiscard]] size_t first_invalid_utf8(std::string_view text);

// How many bytes at the end of `text` begin a character that more bytes could complete (0…3).
[[nodiscard]] size_t incomplete_utf8_tail(std::string_view text);

// Every maximal invalid part becomes U+FFFD.
[[nodiscard]] std::string repair_utf8(std::string_view text);

}  // namespace millrace
