// Names, and what only the start of a line means.

#include <algorithm>

#include "ui/typeset/highlight_lexer.h"

namespace millrace {

bool is_listed(std::string_view list, std::string_view word) {
    if (word.empty()) return false;
    for (size_t at = list.find(word); at != std::string_view::npos; at = list.find(word, at + 1)) {
        const size_t end = at + word.size();
        if ((at == 0 || list[at - 1] == ' ') && (end == list.size() || list[end] == ' '))
            return true;
    }
    return false;
}

void add_span(std::vector<ColourSpan>& spans, size_t begin, size_t end, Ink ink) {
    if (begin >= end) return;
    if (!spans.empty() && spans.back().end == begin && spans.back().ink == ink)
        spans.back().end = static_cast<uint32_t>(end);
    else
        spans.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), ink});
}

size_t number_end(std::string_view text, size_t at) {
    const bool hex = text[at] == '0' && at + 1 < text.size() && (text[at + 1] | 0x20) == 'x';
    size_t end = at + 1;
    for (; end < text.size(); ++end) {
        const char c = text[end];
        const char before = static_cast<char>(text[end - 1] | 0x20);
        const bool next_word = end + 1 < text.size() && is_word(text[end + 1]);
        const bool next_digit = end + 1 < text.size() && is_digit(text[end + 1]);
        if (is_word(c) && static_cast<unsigned char>(c) < 0x80) continue;
        if (c == '.' && end + 1 < text.size() && text[end + 1] == '.') break;  // a range
        if (c == '.' && (next_digit || !next_word || hex)) continue;
        if (c == '\'' && next_word) continue;  // C++ groups digits so
        if ((c == '+' || c == '-') && next_digit && before == (hex ? 'p' : 'e')) continue;
        if (c == '%') ++end;
        break;
    }
    return end;
}

bool CodeLexer::at_name() const {
    const char c = text_[at_];
    return is_letter(c) || (c == '$' && has(kDollarNames));
}

std::string_view CodeLexer::take_name() {
    size_t end = at_ + 1;
    while (end < text_.size()) {
        const char c = text_[end];
        const bool dash =
            c == '-' && has(kDashedNames) && end + 1 < text_.size() && is_word(text_[end + 1]);
        if (!is_word(c) && !(c == '$' && has(kDollarNames)) && !dash) break;
        ++end;
    }
    if (has(kSymbols) && end < text_.size() && (text_[end] == '?' || text_[end] == '!') &&
        !(end + 1 < text_.size() && text_[end + 1] == '='))
        ++end;
    if (has(kSymbols) && end + 1 < text_.size() && text_[end] == ':' && text_[end + 1] == ' ') {
        take(end + 1, Ink::kCodeString);  // a symbol as the key of a hash
        before_ = Before::kMark;
        return {};
    }
    name_end_ = end;
    const std::string_view name = text_.substr(at_, end - at_);
    const char next = end < text_.size() ? text_[end] : '\0';
    if ((next == '"' || next == '\'' || next == '#') && is_listed(grammar_.prefixes, name)) {
        const size_t begin = at_;
        at_ = end;
        if (has(kCppRaw) && next == '"' && name.back() == 'R' && cpp_raw(begin)) return {};
        if (has(kHashRaw) && name.back() == 'r' && hash_raw(begin)) return {};
        for (size_t index = 0; index < kDelimitersMax; ++index) {
            const Delimiter& delimiter = grammar_.delimiters[index];
            if (delimiter.open.empty() || next == '#') break;
            if (starts(delimiter.open)) return open_delimiter(begin, index), std::string_view();
        }
        if (has(kLifetimes) && next == '\'') {
            add_span(spans_, begin, end, Ink::kCodeString);
            return tick(), std::string_view();
        }
        at_ = begin;
    }
    return name;
}

void CodeLexer::finish_name(Ink ink, Before before) {
    take(name_end_, ink);
    before_ = before;
}

bool CodeLexer::called() const {
    size_t at = name_end_;
    if (has(kLifetimes) && at < text_.size() && text_[at] == '!') return true;
    while (at < text_.size() && is_blank(text_[at])) ++at;
    return at < text_.size() && text_[at] == '(';
}

bool CodeLexer::at_command() const {
    if (before_ == Before::kNothing || before_ == Before::kKeyword)
        return name_end_ >= text_.size() || text_[name_end_] != '=';  // an assignment is no command
    size_t at = at_;
    while (at > 0 && is_blank(text_[at - 1])) --at;
    if (before_ != Before::kMark || at == 0) return false;
    return std::string_view("|&;(`").find(text_[at - 1]) != std::string_view::npos;
}

void CodeLexer::line_head() {
    if (at_ != 0) return;  // the line began inside a token
    if (has(kKeyLines)) return key_line();
    if (has(kIndentedBlocks)) return yaml_head();
    if (!has(kDirectives)) return;
    size_t at = 0;
    while (at < text_.size() && is_blank(text_[at])) ++at;
    if (at >= text_.size() || text_[at] != '#') return;
    at_ = at;
    ++at;
    while (at < text_.size() && is_blank(text_[at])) ++at;
    const size_t begin = at;
    while (at < text_.size() && is_letter(text_[at])) ++at;
    const std::string_view directive = text_.substr(begin, at - begin);
    take(at, Ink::kCodeKeyword);
    before_ = Before::kKeyword;
    if (directive != "include" && directive != "import" && directive != "include_next") return;
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    const size_t close = peek(0) == '<' ? text_.find('>', at_) : std::string_view::npos;
    if (close != std::string_view::npos) take(close + 1, Ink::kCodeString);
}

// "[section]" and "key = value".
void CodeLexer::key_line() {
    size_t at = 0;
    while (at < text_.size() && is_blank(text_[at])) ++at;
    if (at >= text_.size()) return;
    if (text_[at] == '[') {
        const size_t close = text_.rfind(']');
        at_ = at;
        if (close != std::string_view::npos && close > at) take(close + 1, Ink::kCodeKeyword);
        return;
    }
    if (text_[at] == '#' || text_[at] == ';') return;
    const size_t equals = text_.find('=', at);
    if (equals == std::string_view::npos) return;
    size_t end = equals;
    while (end > at && is_blank(text_[end - 1])) --end;
    at_ = at;
    take(end, Ink::kCodeType);
    at_ = equals + 1;
    before_ = Before::kMark;
}

// "- key: value"; a value of | or > takes the deeper lines that follow.
void CodeLexer::yaml_head() {
    size_t at = 0;
    while (at < text_.size() &&
           (is_blank(text_[at]) ||
            (text_[at] == '-' && at + 1 < text_.size() && is_blank(text_[at + 1]))))
        ++at;
    const size_t begin = at;
    const bool plain =
        at < text_.size() && (is_word(text_[at]) || text_[at] == '/' || text_[at] == '.');
    if (plain) {
        while (at < text_.size() &&
               !(text_[at] == ':' && (at + 1 == text_.size() || is_blank(text_[at + 1]))) &&
               !(text_[at] == '#' && is_blank(text_[at - 1])))
            ++at;
        if (at < text_.size() && text_[at] == ':') {
            at_ = begin;
            take(at, Ink::kCodeType);
            ++at_;
            before_ = Before::kMark;
        }
    }
    yaml_block();
}

void CodeLexer::yaml_block() {
    size_t end = text_.size();
    while (end > at_ && is_blank(text_[end - 1])) --end;
    size_t at = end;
    while (at > at_ && end - at < 3 &&
           (text_[at - 1] == '-' || text_[at - 1] == '+' || is_digit(text_[at - 1])))
        --at;
    if (at <= at_ || (text_[at - 1] != '|' && text_[at - 1] != '>')) return;
    if (at >= 2 && !is_blank(text_[at - 2])) return;
    size_t indent = 0;
    while (indent < text_.size() && is_blank(text_[indent])) ++indent;
    state_ = static_cast<HighlightState>(kBlockMode |
                                         (std::min<size_t>(indent / 2, kDelimitersMax - 1) << 4));
}

// A line of such a value, if it is deeper than the key, whose depth was `half` steps of two.
bool CodeLexer::block_line(uint8_t half) {
    size_t indent = 0;
    while (indent < text_.size() && is_blank(text_[indent])) ++indent;
    if (indent < text_.size() && indent <= half * 2u) return true;
    if (indent < text_.size()) take(text_.size(), Ink::kCodeString);
    state_ = static_cast<HighlightState>(kBlockMode | (half << 4));
    at_ = text_.size();
    return false;
}

}  // namespace millrace
