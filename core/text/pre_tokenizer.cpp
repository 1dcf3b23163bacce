#include "core/text/pre_tokenizer.h"

namespace millrace {

const std::string_view kSplitPatterns[3] = {
    R"(\p{N}{1,3})",
    "[一-龥぀-ゟ゠-ヿ]+",
    // CR and LF stand in the file as themselves.
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^)"
    "\r\n"
    R"(\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[)"
    "\r\n"
    R"(]*|\s*[)"
    "\r\n"
    R"(]+|\s+(?!\S)|\s+)",
};

namespace {

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

PieceCursor::Char PieceCursor::at(size_t position) const {
    const auto* p = reinterpret_cast<const unsigned char*>(text_.data() + position);
    if (p[0] < 0x80) return {classes_.of(p[0]), 1};
    const auto low = [p](int i) { return char32_t{p[i]} & 0x3Fu; };
    if (p[0] < 0xE0) return {classes_.of((char32_t{p[0]} & 0x1Fu) << 6 | low(1)), 2};
    if (p[0] < 0xF0) return {classes_.of((char32_t{p[0]} & 0xFu) << 12 | low(1) << 6 | low(2)), 3};
    return {classes_.of((char32_t{p[0]} & 7u) << 18 | low(1) << 12 | low(2) << 6 | low(3)), 4};
}

size_t PieceCursor::run_end(size_t position, uint32_t bits) const {
    while (position < wall_) {
        const Char c = at(position);
        if ((c.bits & bits) == 0) break;
        position += c.bytes;
    }
    return position;
}

size_t PieceCursor::digits_end(size_t position) const {
    for (int n = 0; n < 3 && position < text_.size(); ++n) {
        const Char c = at(position);
        if ((c.bits & kNumber) == 0) break;
        position += c.bytes;
    }
    return position;
}

size_t PieceCursor::find_wall(size_t position, bool ideographs) const {
    const uint32_t walls = ideographs ? 0 : kNumber | kIdeograph;
    while (position < text_.size()) {
        const Char c = at(position);
        if ((c.bits & walls) != 0 || (ideographs && (c.bits & kIdeograph) == 0)) break;
        position += c.bytes;
    }
    return position;
}

size_t PieceCursor::match(size_t position) const {
    const Char c = at(position);
    const size_t next = position + c.bytes;
    const bool punctuation = (c.bits & (kPunctuation | kSymbol)) != 0;
    if (c.bytes == 1 && punctuation && next < wall_ && is_ascii_letter(text_[next])) {
        size_t end = next + 1;
        while (end < wall_ && is_ascii_letter(text_[end])) ++end;
        return end;
    }
    if ((c.bits & (kLetter | kMark)) != 0) return run_end(next, kLetter | kMark);
    if (!punctuation && (c.bits & kNewline) == 0 && next < wall_) {
        const size_t end = run_end(next, kLetter | kMark);
        if (end > next) return end;
    }
    const size_t after_space = text_[position] == ' ' ? next : position;
    const size_t end = run_end(after_space, kPunctuation | kSymbol);
    if (end > after_space) return run_end(end, kNewline);
    return (c.bits & kSpace) != 0 ? match_spaces(position) : position;
}

size_t PieceCursor::match_spaces(size_t position) const {
    size_t end = position, after_newline = position, last = position;
    while (end < wall_) {
        const Char c = at(end);
        if ((c.bits & kSpace) == 0) break;
        last = end;
        end += c.bytes;
        if ((c.bits & kNewline) != 0) after_newline = end;
    }
    if (after_newline > position) return after_newline;  // \s*[\r\n]+
    if (end == wall_) return end;                        // \s+(?!\S), at the end of the piece
    return last > position ? last : end;                 // \s+(?!\S) gives one back; \s+
}

std::string_view PieceCursor::take(size_t end) {
    const std::string_view piece = text_.substr(at_, end - at_);
    at_ = end;
    return piece;
}

std::string_view PieceCursor::next() {
    if (at_ == text_.size()) return {};
    if (at_ == wall_) {
        const Char c = at(at_);
        if ((c.bits & kNumber) != 0) {
            wall_ = digits_end(at_);
            return take(wall_);
        }
        wall_ = find_wall(at_, (c.bits & kIdeograph) != 0);
    }
    if (const size_t end = match(at_); end > at_) return take(end);
    // A gap: everything up to the next match.
    size_t end = at_ + at(at_).bytes;
    while (end < wall_ && match(end) == end) end += at(end).bytes;
    return take(end);
}

}  // namespace millrace
