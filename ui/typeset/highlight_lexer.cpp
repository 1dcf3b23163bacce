#include "ui/typeset/highlight_lexer.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr size_t kRawDelimiterMax = 16;  // characters, as C++ says
constexpr uint8_t kTagMax = 7;

uint8_t hash_of(std::string_view word) {
    uint32_t hash = 2166136261u;
    for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    return static_cast<uint8_t>((hash ^ (hash >> 11)) & 0x7F);
}

size_t skip_blanks(std::string_view text, size_t at) {
    while (at < text.size() && is_blank(text[at])) ++at;
    return at;
}

}  // namespace

void CodeLexer::take(size_t end, Ink ink) {
    if (ink != Ink::kCode) add_span(spans_, at_, end, ink);
    at_ = end;
}

bool CodeLexer::blank() {
    if (!is_blank(text_[at_])) return false;
    at_ = skip_blanks(text_, at_);
    return true;
}

bool CodeLexer::comment() {
    if (grammar_.line_comments.empty()) return false;
    std::string_view list = grammar_.line_comments;
    while (!list.empty()) {
        const size_t end = std::min(list.find(' '), list.size());
        if (starts(list.substr(0, end))) {
            const bool word_start = at_ == 0 || !is_word(text_[at_ - 1]);
            const bool blank_before = at_ == 0 || is_blank(text_[at_ - 1]) || text_[at_ - 1] == ';';
            if (text_[at_] == '#' && (has(kHashNeedsBlank) ? !blank_before : !word_start))
                return false;
            if (has(kLongBrackets)) {  // --[[ … ]], #[[ … ]]
                const size_t begin = at_;
                at_ += end;
                if (long_bracket(begin, kBracketComment)) return true;
                at_ = begin;
            }
            if (grammar_.names == "php" && peek(0) == '#' && peek(1) == '[') return false;
            take(text_.size(), Ink::kCodeComment);
            return true;
        }
        list.remove_prefix(std::min(end + 1, list.size()));
    }
    return false;
}

bool CodeLexer::delimited() {
    const char c = text_[at_];
    if (is_word(c)) return false;
    if (has(kLifetimes) && c == '\'') return tick(), true;
    if (has(kHashRaw) && c == '#' && hash_raw(at_)) return true;
    if (has(kLongBrackets) && c == '[' && long_bracket(at_, kBracketMode)) return true;
    if (has(kHeredocs) && c == '<' && peek(1) == '<') heredoc();
    if (has(kRegexes) && c == '/' && regex()) return true;
    for (size_t index = 0; index < kDelimitersMax; ++index) {
        const Delimiter& delimiter = grammar_.delimiters[index];
        if (delimiter.open.empty()) break;
        if (c == delimiter.open[0] && starts(delimiter.open)) return open_delimiter(at_, index);
    }
    return false;
}

// The opening mark stands at at_, what belongs to the token begins at `begin`.
bool CodeLexer::open_delimiter(size_t begin, size_t index) {
    const Delimiter& delimiter = grammar_.delimiters[index];
    if (has(kPairsOnly) && delimiter.open.size() == 1) {
        if (pair_failed_[index] || (at_ > 0 && is_word(text_[at_ - 1]))) return false;
        if (delimiter.lines == Lines::kOne &&
            text_.find(delimiter.close[0], at_ + 1) == std::string_view::npos) {
            pair_failed_[index] = true;
            return false;
        }
    }
    at_ += delimiter.open.size();
    if (!inside(begin, index, 1)) return true;
    if (has(kKeysBeforeColon) && !spans_.empty()) {
        const size_t next = skip_blanks(text_, at_);
        if (next < text_.size() && text_[next] == ':') spans_.back().ink = Ink::kCodeType;
    }
    if (delimiter.ink != Ink::kCodeComment) before_ = Before::kOperand;
    return true;
}

// From at_ to the closing mark. False: the line ended first.
bool CodeLexer::inside(size_t begin, size_t index, uint8_t depth) {
    const Delimiter& delimiter = grammar_.delimiters[index];
    while (at_ < text_.size()) {
        const char c = text_[at_];
        if (c == '\\' && delimiter.closing == Closing::kEscaped) {
            at_ = std::min(at_ + 2, text_.size());
        } else if (c == delimiter.close[0] && starts(delimiter.close)) {
            at_ += delimiter.close.size();
            if (delimiter.closing == Closing::kDoubled && at_ < text_.size() && text_[at_] == c) {
                ++at_;
            } else if (--depth == 0) {
                add_span(spans_, begin, at_, delimiter.ink);
                return true;
            }
        } else if (delimiter.closing == Closing::kNested && c == delimiter.open[0] &&
                   starts(delimiter.open)) {
            at_ += delimiter.open.size();
            depth = std::min<uint8_t>(static_cast<uint8_t>(depth + 1), kTagMax + 1);
        } else {
            ++at_;
        }
    }
    add_span(spans_, begin, text_.size(), delimiter.ink);
    if (delimiter.lines == Lines::kMany)
        state_ = static_cast<HighlightState>((index + 1) | ((depth - 1u) << 4));
    return false;
}

bool CodeLexer::resume(HighlightState state) {
    if (state == 0) return true;
    const uint8_t mode = state & 0x0F, tag = (state >> 4) & kTagMax;
    if ((state & 0x80) != 0) {
        if (!has(kHeredocs)) return true;
        const size_t begin = skip_blanks(text_, 0);
        size_t end = begin;
        while (end < text_.size() && is_word(text_[end])) ++end;
        size_t rest = end;
        while (rest < text_.size() && (is_blank(text_[rest]) || text_[rest] == ';' ||
                                       text_[rest] == ',' || text_[rest] == ')'))
            ++rest;
        const bool last = end > begin && rest == text_.size() &&
                          hash_of(text_.substr(begin, end - begin)) == (state & 0x7F);
        take(text_.size(), Ink::kCodeString);
        state_ = last ? HighlightState{0} : state;
        return false;
    }
    if (mode == kBlockMode) return block_line(tag);
    if (mode >= kRawMode) return tagged(0, static_cast<Mode>(mode), tag);
    if (mode == 0 || mode > kDelimitersMax || grammar_.delimiters[mode - 1u].open.empty())
        return true;
    if (!inside(0, mode - 1u, static_cast<uint8_t>(tag + 1))) return false;
    before_ = Before::kOperand;
    return true;
}

// A token whose closing mark carries a tag.
bool CodeLexer::tagged(size_t begin, Mode mode, uint8_t tag) {
    const Ink ink = mode == kBracketComment ? Ink::kCodeComment : Ink::kCodeString;
    for (; at_ < text_.size(); ++at_) {
        const size_t end = close_of(at_, mode, tag);
        if (end == 0) continue;
        add_span(spans_, begin, end, ink);
        at_ = end;
        if (ink == Ink::kCodeString) before_ = Before::kOperand;
        return true;
    }
    add_span(spans_, begin, text_.size(), ink);
    state_ = static_cast<HighlightState>(mode | (tag << 4));
    return false;
}

// Behind the closing mark that begins at `at`; 0: none does.
size_t CodeLexer::close_of(size_t at, Mode mode, uint8_t tag) const {
    const char first = mode == kRawMode ? ')' : mode == kHashMode ? '"' : ']';
    if (text_[at] != first) return 0;
    size_t end = at + 1;
    if (mode == kRawMode) {
        while (end < text_.size() && text_[end] != '"' && end - at <= kRawDelimiterMax) ++end;
        const bool quote = end < text_.size() && text_[end] == '"';
        return quote && raw_tag(text_.substr(at + 1, end - at - 1)) == tag ? end + 1 : 0;
    }
    const char filler = mode == kHashMode ? '#' : '=';
    uint8_t count = 0;
    while (end < text_.size() && text_[end] == filler && count < tag) ++end, ++count;
    if (count != tag) return 0;
    if (mode == kHashMode) return end;
    return end < text_.size() && text_[end] == ']' ? end + 1 : 0;
}

uint8_t CodeLexer::raw_tag(std::string_view delimiter) {
    return delimiter.empty() ? uint8_t{0} : static_cast<uint8_t>(1 + hash_of(delimiter) % kTagMax);
}

// at_ stands on the quotation mark behind R.
bool CodeLexer::cpp_raw(size_t begin) {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != '(' && text_[end] != '"' &&
           end - at_ <= kRawDelimiterMax)
        ++end;
    if (end >= text_.size() || text_[end] != '(') return false;
    const uint8_t tag = raw_tag(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    tagged(begin, kRawMode, tag);
    return true;
}

// at_ stands on the first #, or on the quotation mark.
bool CodeLexer::hash_raw(size_t begin) {
    size_t end = at_;
    uint8_t count = 0;
    while (end < text_.size() && text_[end] == '#' && count < kTagMax) ++end, ++count;
    if (end >= text_.size() || text_[end] != '"') return false;
    at_ = end + 1;
    tagged(begin, kHashMode, count);
    return true;
}

bool CodeLexer::long_bracket(size_t begin, Mode mode) {
    if (peek(0) != '[') return false;
    size_t end = at_ + 1;
    uint8_t count = 0;
    while (end < text_.size() && text_[end] == '=' && count < kTagMax) ++end, ++count;
    if (end >= text_.size() || text_[end] != '[') return false;
    at_ = end + 1;
    tagged(begin, mode, count);
    return true;
}

// Notes the last line of a here-document; its body begins on the next line.
void CodeLexer::heredoc() {
    if (at_ > 0 && text_[at_ - 1] == '<') return;
    size_t at = at_ + 2;
    if (at < text_.size() && text_[at] == '<') {
        ++at;  // PHP; in a shell <<< takes one word
        if (has(kCommands)) return;
    }
    if (at < text_.size() && (text_[at] == '-' || text_[at] == '~')) ++at;
    if (has(kCommands)) at = skip_blanks(text_, at);
    if (at < text_.size() && (text_[at] == '\'' || text_[at] == '"')) ++at;
    const size_t begin = at;
    while (at < text_.size() && is_word(text_[at]) && at - begin < 64) ++at;
    if (at == begin || is_digit(text_[begin])) return;
    const char first = text_[begin];
    if (!has(kCommands) && first >= 'a' && first <= 'z') return;  // a shift, or `array << item`
    state_ = static_cast<HighlightState>(0x80 | hash_of(text_.substr(begin, at - begin)));
}

void CodeLexer::tick() {
    size_t end = at_ + 1;
    if (peek(1) == '\\') {
        end = std::min(at_ + 3, text_.size());
        while (end < text_.size() && text_[end] != '\'' && end - at_ < 14) ++end;
        take(std::min(end + 1, text_.size()), Ink::kCodeString);
    } else {
        ++end;
        while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
        if (peek(1) != '\0' && end < text_.size() && text_[end] == '\'') {
            take(end + 1, Ink::kCodeString);
        } else {
            end = at_ + 1;
            while (end < text_.size() && is_word(text_[end])) ++end;
            take(end, end > at_ + 1 ? Ink::kCodeType : Ink::kCode);
        }
    }
    before_ = Before::kOperand;
}

bool CodeLexer::regex() {
    if (before_ == Before::kOperand || regex_failed_ || peek(1) == '/' || peek(1) == '*')
        return false;
    bool bracket = false;
    for (size_t end = at_ + 1; end < text_.size(); ++end) {
        const char c = text_[end];
        if (c == '\\') {
            ++end;
        } else if (c == '[' || c == ']') {
            bracket = c == '[';
        } else if (c == '/' && !bracket) {
            ++end;
            while (end < text_.size() && is_word(text_[end])) ++end;
            take(end, Ink::kCodeString);
            before_ = Before::kOperand;
            return true;
        }
    }
    regex_failed_ = true;  // so neither will one that begins later on this line
    return false;
}

bool CodeLexer::number() {
    const char c = text_[at_];
    if (!is_digit(c) &&
        !(c == '.' && is_digit(peek(1)) && before_ != Before::kOperand && before_ != Before::kDot))
        return false;
    take(number_end(text_, at_), Ink::kCodeNumber);
    before_ = Before::kOperand;
    return true;
}

bool CodeLexer::variable() {
    size_t end = at_ + 1;
    if (peek(1) == '{' || (peek(1) == '(' && !has(kCommands))) {
        const char close = peek(1) == '{' ? '}' : ')';
        const size_t found = brace_failed_ ? std::string_view::npos : text_.find(close, at_);
        brace_failed_ = found == std::string_view::npos;
        if (brace_failed_) return false;
        end = found + 1;
    } else if (end < text_.size() && is_letter(text_[end])) {
        while (end < text_.size() && is_word(text_[end])) ++end;
    } else if (end < text_.size() &&
               (is_digit(text_[end]) ||
                std::string_view("@*#?$!-").find(text_[end]) != std::string_view::npos)) {
        ++end;
    } else {
        return false;
    }
    take(end, Ink::kCodeType);
    before_ = Before::kOperand;
    return true;
}

void CodeLexer::mark() {
    const char c = text_[at_];
    const bool prompt = has(kCommands) && c == '$' && before_ == Before::kNothing && peek(1) == ' ';
    if (prompt) {
        ++at_;
        return;  // "$ make" in a copied session
    }
    if (has(kVariables) && c == '$' && variable()) return;
    if (c == '@' && is_letter(peek(1)) && (has(kDecorators) || has(kSymbols))) {
        size_t end = at_ + 1;
        while (end < text_.size() &&
               (is_word(text_[end]) || (text_[end] == '.' && has(kDecorators))))
            ++end;
        take(end, has(kSymbols) ? Ink::kCodeType : Ink::kCodeFunction);
        before_ = has(kSymbols) ? Before::kOperand : Before::kKeyword;
        return;
    }
    if (has(kSymbols) && c == ':' && is_letter(peek(1)) && (at_ == 0 || text_[at_ - 1] != ':')) {
        size_t end = at_ + 1;
        while (end < text_.size() && is_word(text_[end])) ++end;
        take(end, Ink::kCodeString);
        before_ = Before::kOperand;
        return;
    }
    if (has(kIndentedBlocks) && (c == '&' || c == '*' || c == '!') && is_letter(peek(1))) {
        size_t end = at_ + 1;
        while (end < text_.size() && !is_blank(text_[end])) ++end;
        take(end, Ink::kCodeFunction);
        return;
    }
    ++at_;
    before_ = c == ')' || c == ']' || c == '}' ? Before::kOperand
              : c == '.'                       ? Before::kDot
                                               : Before::kMark;
}

}  // namespace millrace
