#include "core/base/utf8.h"

#include <algorithm>

#include "core/base/check.h"

namespace millrace {
namespace {

struct Lead {
    uint32_t bytes;  // 0: not a lead byte
    uint8_t second_low, second_high;
};

// The allowed range of the second byte rules out overlong forms, surrogates and values past U+10FFFF (Unicode table 3-7).
Lead lead_of(uint8_t b) {
    if (b < 0x80) return {1, 0, 0};
    if (b < 0xC2) return {0, 0, 0};
    if (b < 0xE0) return {2, 0x80, 0xBF};
    if (b == 0xE0) return {3, 0xA0, 0xBF};
    if (b == 0xED) return {3, 0x80, 0x9F};
    if (b < 0xF0) return {3, 0x80, 0xBF};
    if (b == 0xF0) return {4, 0x90, 0xBF};
    if (b < 0xF4) return {4, 0x80, 0xBF};
    if (b == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0, 0};
}

// How many of the lead's bytes are there and right, at least 1.
uint32_t matching_bytes(std::string_view text, Lead lead) {
    uint32_t n = 1;
    while (n < lead.bytes && n < text.size()) {
        const auto b = static_cast<uint8_t>(text[n]);
        const uint8_t low = n == 1 ? lead.second_low : 0x80;
        const uint8_t high = n == 1 ? lead.second_high : 0xBF;
        if (b < low || b > high) break;
        ++n;
    }
    return n;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text) {
    ENSURE(!text.empty());
    const auto first = static_cast<uint8_t>(text[0]);
    if (first < 0x80) return {first, 1, true};
    const Lead lead = lead_of(first);
    if (lead.bytes == 0) return {0xFFFD, 1, false};
    const uint32_t n = matching_bytes(text, lead);
    if (n < lead.bytes) return {0xFFFD, n, false};
    char32_t code = first & (0x7Fu >> lead.bytes);
    for (uint32_t i = 1; i < n; ++i) code = (code << 6) | (static_cast<uint8_t>(text[i]) & 0x3Fu);
    return {code, n, true};
}

void append_utf8(std::string& out, char32_t code) {
    const auto put = [&out](char32_t b) { out.push_back(static_cast<char>(b)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | (code >> 6));
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | (code >> 12));
        put(0x80 | ((code >> 6) & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | (code >> 18));
        put(0x80 | ((code >> 12) & 0x3F));
        put(0x80 | ((code >> 6) & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

size_t first_invalid_utf8(std::string_view text) {
    size_t at = 0;
    while (at < text.size()) {
        const Utf8Char c = decode_utf8(text.substr(at));
        if (!c.valid) return at;
        at += c.bytes;
    }
    return at;
}

size_t incomplete_utf8_tail(std::string_view text) {
    for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
        const std::string_view tail = text.substr(text.size() - back);
        const auto b = static_cast<uint8_t>(tail[0]);
        if ((b & 0xC0) == 0x80) continue;
        const Lead lead = lead_of(b);
        const bool could_grow = lead.bytes > back && matching_bytes(tail, lead) == back;
        return could_grow ? back : 0;
    }
    return 0;
}

std::string repair_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    size_t at = 0;
    while (at < text.size()) {
        const Utf8Char c = decode_utf8(text.substr(at));
        if (c.valid) {
            out.append(text.substr(at, c.bytes));
        } else {
            append_utf8(out, 0xFFFD);
        }
        at += c.bytes;
    }
    return out;
}

}  // namespace millrace
