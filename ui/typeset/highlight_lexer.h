#pragma once
// One line of code as tokens. The driver in highlight.cpp asks for one kind after another; each member that returns bool
// takes its token if one stands here. All look-ahead is bounded or happens once a line, so a line costs time in proportion
// to its length.
//
//   state byte:   0ttt mmmm   m: 1 + index of the open delimiter, or one of the modes below; t: depth or tag
//                 1hhh hhhh   the body of a here-document whose last line hashes to h

#include <cstdint>
#include <string_view>
#include <vector>

#include "ui/typeset/highlight_grammar.h"

namespace millrace {

class CodeLexer {
public:
    // What stood before, blanks and comments aside.
    enum class Before : uint8_t { kNothing, kOperand, kKeyword, kDefine, kDefineType, kDot, kMark };

    CodeLexer(const Grammar& grammar, std::string_view text, std::vector<ColourSpan>& spans)
        : grammar_(grammar), text_(text), spans_(spans) {}

    // Goes on with what the line before left open. False: it is open still, at the line's end.
    bool resume(HighlightState state);
    void line_head();  // what only the start of a line means

    [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }
    [[nodiscard]] HighlightState state() const { return state_; }

    bool blank();
    bool comment();
    bool delimited();
    bool number();
    void mark();

    [[nodiscard]] bool at_name() const;
    // Reads a name without taking it; empty when it was the prefix of a string, which is then taken.
    [[nodiscard]] std::string_view take_name();
    void finish_name(Ink ink, Before before);
    [[nodiscard]] Before before() const { return before_; }
    [[nodiscard]] bool called() const;      // the name that was read stands before a parenthesis
    [[nodiscard]] bool at_command() const;  // the name is the first word of a command

private:
    enum Mode : uint8_t {
        kRawMode = 11,
        kHashMode = 12,
        kBracketMode = 13,
        kBracketComment = 14,
        kBlockMode = 15
    };

    [[nodiscard]] bool has(uint32_t habit) const { return (grammar_.habits & habit) != 0; }
    [[nodiscard]] char peek(size_t ahead) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }
    [[nodiscard]] bool starts(std::string_view what) const {
        return text_.substr(at_).substr(0, what.size()) == what;
    }
    void take(size_t end, Ink ink);
    bool open_delimiter(size_t begin, size_t index);
    bool inside(size_t begin, size_t index, uint8_t depth);
    bool tagged(size_t begin, Mode mode, uint8_t tag);
    [[nodiscard]] size_t close_of(size_t at, Mode mode, uint8_t tag) const;
    [[nodiscard]] static uint8_t raw_tag(std::string_view delimiter);
    bool cpp_raw(size_t begin);
    bool hash_raw(size_t begin);
    bool long_bracket(size_t begin, Mode mode);
    bool block_line(uint8_t indent);
    void heredoc();
    void tick();
    bool regex();
    bool variable();
    void key_line();
    void yaml_head();
    void yaml_block();

    const Grammar& grammar_;
    std::string_view text_;
    std::vector<ColourSpan>& spans_;
    size_t at_ = 0;
    size_t name_end_ = 0;
    Before before_ = Before::kNothing;
    bool regex_failed_ = false, brace_failed_ = false;
    bool pair_failed_[kDelimitersMax] = {};
    HighlightState state_ = 0;
};

}  // namespace millrace
