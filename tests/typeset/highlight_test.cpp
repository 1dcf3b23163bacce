#include "ui/typeset/highlight.h"

#include <doctest/doctest.h>

#include <string>

#include "core/base/random.h"

namespace millrace {
namespace {

// A letter a span, its text between bars: "k|int|".
std::string coloured(std::string_view language, std::string_view text,
                     HighlightState* state = nullptr) {
    std::vector<ColourSpan> spans;
    HighlightState from = state != nullptr ? *state : HighlightState{0};
    from = Highlighter::named(language).line(text, from, spans);
    if (state != nullptr) *state = from;
    std::string out;
    for (const ColourSpan& span : spans) {
        const char kind = span.ink == Ink::kCodeKeyword    ? 'k'
                          : span.ink == Ink::kCodeString   ? 's'
                          : span.ink == Ink::kCodeComment  ? 'c'
                          : span.ink == Ink::kCodeNumber   ? 'n'
                          : span.ink == Ink::kCodeType     ? 't'
                          : span.ink == Ink::kCodeFunction ? 'f'
                                                           : 'e';
        out += kind;
        out += '|';
        out += text.substr(span.begin, span.end - span.begin);
        out += '|';
    }
    return out;
}

TEST_CASE("sample lines of every language") {
    CHECK(coloured("c", "#include <stdio.h> // x") == "k|#include|s|<stdio.h>|c|// x|");
    CHECK(coloured("c++", "const size_t n = f(1'000, 0x1p-3);") ==
          "k|const|t|size_t|f|f|n|1'000|n|0x1p-3|");
    CHECK(coloured("cuda", "__global__ void go(float* x)") == "k|__global__|t|void|f|go|t|float|");
    CHECK(coloured("Python", "def f(x): return rb\"a\\\"b\" # c") ==
          "k|def|f|f|k|return|s|rb\"a\\\"b\"|c|# c|");
    CHECK(coloured("js", "const a = /x[/]\"y/g; b / 2") == "k|const|s|/x[/]\"y/g|n|2|");
    CHECK(coloured("rust", "fn f<'a>(c: &'a u8) { p!('x', r#\"a\"b\"#) }") ==
          "k|fn|f|f|t|'a|t|'a|t|u8|f|p|s|'x'|s|r#\"a\"b\"#|");
    CHECK(coloured("go", "func main() { x := `a\\` }") == "k|func|f|main|s|`a\\`|");
    CHECK(coloured("java", "@Override public int f() { }") == "f|@Override|k|public|t|int|f|f|");
    CHECK(coloured("c#", "var s = @\"a\"\"b\\\";") == "k|var|s|@\"a\"\"b\\\"|");
    CHECK(coloured("kotlin", "fun f(a: Int) = 1..9") == "k|fun|f|f|t|Int|n|1|n|9|");
    CHECK(coloured("sh", "if grep -q \"x\" $file; then # c") ==
          "k|if|f|grep|s|\"x\"|t|$file|k|then|c|# c|");
    CHECK(coloured("sh", "echo ${#a} a#b") == "f|echo|t|${#a}|");
    CHECK(coloured("SQL", "Select 'a''b' From t -- c") == "k|Select|s|'a''b'|k|From|c|-- c|");
    CHECK(coloured("json", "{\"a\" : \"b\", \"c\": -1e-5}") == "t|\"a\"|s|\"b\"|t|\"c\"|n|1e-5|");
    CHECK(coloured("yaml", "- key: true # c") == "t|key|k|true|c|# c|");
    CHECK(coloured("toml", "[a.b]") == "k|[a.b]|");
    CHECK(coloured("ini", "size = 12") == "t|size|n|12|");
    CHECK(coloured("html", "<a href=\"x\">&amp; y</a>") ==
          "k|<a|t|href|s|\"x\"|k|>|n|&amp;|k|</a>|");
    CHECK(coloured("css", ".a { color: #fff; }") == "f|.a|t|color|n|#fff|");
    CHECK(coloured("md", "# Title") == "k|# Title|");
    CHECK(coloured("diff", "-gone") == "e|-gone|");
    CHECK(coloured("cmake", "set(X ${Y} \"z\") # c") == "k|set|t|${Y}|s|\"z\"|c|# c|");
    CHECK(coloured("lua", "local s = [=[a]]b]=] --[[c]] x") == "k|local|s|[=[a]]b]=]|c|--[[c]]|");
    CHECK(coloured("ruby", "def a? @b = :c end") == "k|def|f|a?|t|@b|s|:c|k|end|");
    CHECK(coloured("php", "function f($a) { echo 'x'; } # c") ==
          "k|function|f|f|k|echo|s|'x'|c|# c|");
}

TEST_CASE("a language that nobody knows has strings and numbers; an apostrophe opens nothing") {
    CHECK(coloured("klingon", "if don't 12 \"a\" 'b'") == "n|12|s|\"a\"|s|'b'|");
}

void check_lines(std::string_view language,
                 std::initializer_list<std::pair<const char*, const char*>> lines) {
    HighlightState state = 0;
    for (const auto& [text, spans] : lines) {
        CAPTURE(text);
        CHECK(coloured(language, text, &state) == spans);
    }
    CHECK(state == 0);
}

TEST_CASE("what a line leaves open") {
    check_lines("c", {{"a /* b", "c|/* b|"}, {"\"c\"", "c|\"c\"|"}, {"*/ 1", "c|*/|n|1|"}});
    check_lines("rust", {{"/* /*", "c|/* /*|"}, {"*/ 1", "c|*/ 1|"}, {"*/ 1", "c|*/|n|1|"}});
    check_lines("py",
                {{"x = '''a", "s|'''a|"}, {"\"\"\"", "s|\"\"\"|"}, {"b''' + 1", "s|b'''|n|1|"}});
    check_lines("cpp",
                {{"R\"q(a", "s|R\"q(a|"}, {")\" )z\"", "s|)\" )z\"|"}, {")q\" 1", "s|)q\"|n|1|"}});
    check_lines("sh", {{"cat <<'EOF'", "f|cat|s|'EOF'|"},
                       {"if 1", "s|if 1|"},
                       {"EOF", "s|EOF|"},
                       {"ls", "f|ls|"}});
    check_lines("lua", {{"--[==[ a", "c|--[==[ a|"}, {"]]", "c|]]|"}, {"]==] 1", "c|]==]|n|1|"}});
    check_lines("js", {{"`a", "s|`a|"}, {"b` 1", "s|b`|n|1|"}});
    check_lines("html", {{"<!-- a", "c|<!-- a|"},
                         {"--> <b", "c|-->|k|<b|"},
                         {"c='", "t|c|s|'|"},
                         {"d'>", "s|d'|k|>|"}});
    check_lines("yaml", {{"a: |", "t|a|"}, {"  if: 1", "s|  if: 1|"}, {"b: 1", "t|b|n|1|"}});
    check_lines("md", {{"```c", "k|```c|"}, {"# a", "s|# a|"}, {"```", "k|```|"}});
    check_lines("c", {{"a \"open", "s|\"open|"}, {"1", "n|1|"}});
}

TEST_CASE("any bytes, from any state: spans in order, inside the line, not overlapping") {
    constexpr std::string_view kPieces[] = {
        "\"",  "'",  "`", "/*", "*/", "<<", "EOF", "R\"", "r#\"", "[=[", "]=]",      "--",   "#",
        "//",  "\\", "$", "${", "(",  ")",  " ",   "if",  "1",    ".",   "\xC3\xA9", "\xFF", "<!--",
        "-->", "<",  ">", "&",  "{",  "}",  ":",   "|",   "=",    "@",   "!"};
    constexpr const char* kNames[] = {
        "c",    "cpp",  "py",  "js", "rust", "go",    "c#",  "swift", "sh",  "sql",  "json", "yaml",
        "toml", "html", "css", "md", "diff", "cmake", "lua", "ruby",  "php", "make", "?"};
    Random random(11);
    for (int round = 0; round < 4000; ++round) {
        std::string text;
        for (uint64_t n = random.below(30); n > 0; --n)
            text += kPieces[random.below(std::size(kPieces))];
        const char* name = kNames[random.below(std::size(kNames))];
        CAPTURE(name);
        CAPTURE(text);
        std::vector<ColourSpan> spans;
        (void)Highlighter::named(name).line(text, static_cast<HighlightState>(random.below(256)),
                                            spans);
        uint32_t last = 0;
        for (const ColourSpan& span : spans) {
            REQUIRE(span.begin >= last);
            REQUIRE(span.end > span.begin);
            REQUIRE(span.end <= text.size());
            last = span.end;
        }
    }
}

TEST_CASE("a megabyte of opening marks takes no longer than a megabyte") {
    // Each of these would take minutes if an attempt that fails looked at the rest of the line again.
    for (const char* piece :
         {"/ ", "${", "`", "'a ", "<", "(](", "[=[ ", "R\"x", "a  ", "\"", "r#"}) {
        std::string text;
        while (text.size() < 1 << 20) text += piece;
        for (const char* name :
             {"js", "sh", "md", "rust", "html", "lua", "cpp", "yaml", "css", "?"}) {
            std::vector<ColourSpan> spans;
            (void)Highlighter::named(name).line(text, 0, spans);
            CHECK((spans.empty() || spans.back().end <= text.size()));
        }
    }
}

}  // namespace
}  // namespace millrace
