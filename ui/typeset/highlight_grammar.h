#pragma once
// What the lexer of highlight.cpp needs to know about a language. A language is a row of the table in
// highlight_languages.cpp; formats that are no sequence of tokens (mark-up, style sheets, patches) have lexers of their own
// in highlight_markup.cpp.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "ui/typeset/highlight.h"

namespace millrace {

// How the inside of a delimited token ends.
enum class Closing : uint8_t {
    kPlain,    // at the first closing mark
    kEscaped,  // a backslash takes the next byte with it
    kDoubled,  // two closing marks stand for one
    kNested,   // an opening mark inside needs a closing one of its own
};
enum class Lines : uint8_t { kOne, kMany };

struct Delimiter {
    std::string_view open, close;
    Ink ink = Ink::kCodeString;
    Closing closing = Closing::kPlain;
    Lines lines = Lines::kOne;
};
inline constexpr size_t kDelimitersMax = 8;

// Habits of languages that a list of words cannot say.
enum Habit : uint32_t {
    kIgnoresCase = 1 << 0,       // of keywords
    kCapitalTypes = 1 << 1,      // a word in CamelCase is a type
    kSuffixTypes = 1 << 2,       // a word that ends in _t is a type
    kDirectives = 1 << 3,        // # at the start of a line
    kDecorators = 1 << 4,        // @name
    kDollarNames = 1 << 5,       // $ begins or continues a name
    kVariables = 1 << 6,         // $name, ${name}
    kHashNeedsBlank = 1 << 7,    // a comment's # begins a word
    kCommands = 1 << 8,          // the first word of a command is what is called
    kLifetimes = 1 << 9,         // 'a may be a lifetime, name! is called
    kCppRaw = 1 << 10,           // R"tag( … )tag"
    kHashRaw = 1 << 11,          // r#" … "#, #" … "#
    kLongBrackets = 1 << 12,     // [==[ … ]==]
    kHeredocs = 1 << 13,         // <<END … END
    kRegexes = 1 << 14,          // / … / where no division can stand
    kKeysBeforeColon = 1 << 15,  // a string before a colon is a key
    kKeyLines = 1 << 16,         // key = value, [section]
    kIndentedBlocks = 1 << 17,   // key: value, and | or > takes the deeper lines that follow
    kSymbols = 1 << 18,          // :name is a constant, @name a variable
    kPairsOnly = 1 << 19,        // an opening mark without its closing one on the line is text
    kNoCalls = 1 << 20,          // a name before a parenthesis means nothing
    kDashedNames = 1 << 21,      // a dash continues a name
};

struct Grammar {
    std::string_view names;                            // as they stand after a fence, lower case
    std::string_view line_comments;                    // all lists are separated by blanks
    std::array<Delimiter, kDelimitersMax> delimiters;  // the longest first; ends at an empty one
    std::string_view prefixes;  // words that may stand right before a quotation mark
    std::string_view keywords;
    std::string_view types;
    uint32_t habits = 0;
};

[[nodiscard]] std::span<const Grammar> code_grammars();
// What colours strings and numbers only.
[[nodiscard]] const Grammar& plain_grammar();

struct MarkupLexer {
    std::string_view names;
    const Highlighter* highlighter;
};
[[nodiscard]] std::span<const MarkupLexer> markup_lexers();

// Whether `word` is one of `list`, which is separated by blanks.
[[nodiscard]] bool is_listed(std::string_view list, std::string_view word);

// Appends a span; one that touches a span of the same ink grows it.
void add_span(std::vector<ColourSpan>& spans, size_t begin, size_t end, Ink ink);

[[nodiscard]] constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}
[[nodiscard]] constexpr bool is_word(char c) { return is_letter(c) || is_digit(c); }
[[nodiscard]] constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Behind the number that begins at `at`, a digit or a point before one.
[[nodiscard]] size_t number_end(std::string_view text, size_t at);

}  // namespace millrace
