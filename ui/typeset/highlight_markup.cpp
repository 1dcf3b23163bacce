// Formats that are no sequence of tokens: mark-up, style sheets, Markdown, patches.

#include <algorithm>

#include "ui/typeset/highlight_grammar.h"

namespace millrace {
namespace {

constexpr size_t kNone = std::string_view::npos;

size_t first_letter(std::string_view text) {
    size_t at = 0;
    while (at < text.size() && is_blank(text[at])) ++at;
    return at;
}

bool begins(std::string_view text, std::string_view with) {
    return text.substr(0, with.size()) == with;
}

class TagHighlighter final : public Highlighter {
public:
    enum : HighlightState { kText, kComment, kTag, kDouble, kSingle };
    [[nodiscard]] HighlightState line(std::string_view text, HighlightState state,
                                      std::vector<ColourSpan>& spans) const override {
        size_t at = 0;
        while (at < text.size()) {
            const std::string_view rest = text.substr(at);
            if (state == kComment || (state == kText && begins(rest, "<!--"))) {
                const size_t close = rest.find("-->");
                const size_t end = close == kNone ? text.size() : at + close + 3;
                add_span(spans, at, end, Ink::kCodeComment);
                state = close == kNone ? kComment : kText;
                at = end;
            } else if (state == kDouble || state == kSingle) {
                const size_t close = rest.find(state == kDouble ? '"' : '\'');
                const size_t end = close == kNone ? text.size() : at + close + 1;
                add_span(spans, at, end, Ink::kCodeString);
                if (close != kNone) state = kTag;
                at = end;
            } else if (state == kTag) {
                at = in_tag(text, at, state, spans);
            } else {
                at = in_text(text, at, state, spans);
            }
        }
        return state;
    }

private:
    static size_t in_text(std::string_view text, size_t at, HighlightState& state,
                          std::vector<ColourSpan>& spans) {
        size_t end = at + 1;
        if (text[at] == '<' && end < text.size() && !is_blank(text[end]) && !is_digit(text[end])) {
            while (end < text.size() &&
                   (is_word(text[end]) || text[end] == '/' || text[end] == '-' ||
                    text[end] == '?' || text[end] == '!' || text[end] == ':'))
                ++end;
            add_span(spans, at, end, Ink::kCodeKeyword);
            state = kTag;
        } else if (text[at] == '&') {
            while (end < text.size() && end - at < 12 && (is_word(text[end]) || text[end] == '#'))
                ++end;
            if (end < text.size() && text[end] == ';') add_span(spans, at, ++end, Ink::kCodeNumber);
        }
        return end;
    }
    static size_t in_tag(std::string_view text, size_t at, HighlightState& state,
                         std::vector<ColourSpan>& spans) {
        const char c = text[at];
        if (c == '"' || c == '\'') {
            add_span(spans, at, at + 1, Ink::kCodeString);
            state = c == '"' ? kDouble : kSingle;
            return at + 1;
        }
        if (c == '>' || c == '/' || c == '?') {
            add_span(spans, at, at + 1, Ink::kCodeKeyword);
            if (c == '>') state = kText;
            return at + 1;
        }
        if (!is_letter(c)) return at + 1;
        size_t end = at + 1;
        while (end < text.size() && (is_word(text[end]) || text[end] == '-' || text[end] == ':'))
            ++end;
        add_span(spans, at, end, Ink::kCodeType);
        return end;
    }
};

class SheetHighlighter final : public Highlighter {
public:
    [[nodiscard]] HighlightState line(std::string_view text, HighlightState state,
                                      std::vector<ColourSpan>& spans) const override {
        const size_t brace = text.rfind('{');  // what stands before one is a selector
        size_t at = 0;
        bool statement = true;  // a property may begin here
        while (at < text.size()) {
            const char c = text[at];
            if (state == 1 || begins(text.substr(at), "/*")) {
                const size_t close = text.find("*/", state == 1 ? at : at + 2);
                const size_t end = close == kNone ? text.size() : close + 2;
                add_span(spans, at, end, Ink::kCodeComment);
                state = close == kNone ? 1 : 0;
                at = end;
                continue;
            }
            const size_t begin = at++;
            if (is_blank(c)) continue;
            const bool selector = brace != kNone && begin < brace;
            if (c == '"' || c == '\'') {
                while (at < text.size() && text[at] != c) at += text[at] == '\\' ? 2 : 1;
                at = std::min(at + 1, text.size());
                add_span(spans, begin, at, Ink::kCodeString);
            } else if (is_digit(c) || (c == '#' && !selector)) {
                while (at < text.size() &&
                       (is_word(text[at]) || text[at] == '.' || text[at] == '%'))
                    ++at;
                add_span(spans, begin, at, Ink::kCodeNumber);
            } else if (is_letter(c) || c == '-' || c == '.' || c == '#' || c == '@' || c == '!' ||
                       c == '$') {
                while (at < text.size() && (is_word(text[at]) || text[at] == '-')) ++at;
                const size_t next = at + first_letter(text.substr(at));
                const bool colon = next < text.size() && text[next] == ':';
                if (c == '@' || c == '!')
                    add_span(spans, begin, at, Ink::kCodeKeyword);
                else if (statement && colon && !selector)
                    add_span(spans, begin, at, Ink::kCodeType);
                else if (selector || (at < text.size() && text[at] == '('))
                    add_span(spans, begin, at, Ink::kCodeFunction);
            }
            statement = c == ';' || c == '{' || c == '}';
        }
        return state;
    }
};

class MarkdownHighlighter final : public Highlighter {
public:
    [[nodiscard]] HighlightState line(std::string_view text, HighlightState state,
                                      std::vector<ColourSpan>& spans) const override {
        size_t at = first_letter(text);
        const std::string_view rest = text.substr(at);
        if (begins(rest, "```") || begins(rest, "~~~")) {
            add_span(spans, at, text.size(), Ink::kCodeKeyword);
            return state == 0 ? 1 : 0;
        }
        if (state != 0) return add_span(spans, 0, text.size(), Ink::kCodeString), state;
        if (begins(rest, "#")) return add_span(spans, at, text.size(), Ink::kCodeKeyword), state;
        if (begins(rest, ">")) return add_span(spans, at, text.size(), Ink::kCodeComment), state;
        if (begins(rest, "- ") || begins(rest, "* ") || begins(rest, "+ ")) {
            add_span(spans, at, at + 1, Ink::kCodeKeyword);
            ++at;
        }
        bool pairs = true;
        for (; at < text.size(); ++at) {
            const bool target = text[at] == '(' && at > 0 && text[at - 1] == ']';
            if (!pairs || (text[at] != '`' && !target)) continue;
            const size_t close = text.find(target ? ')' : '`', at + 1);
            pairs = close != kNone;
            if (!pairs) continue;
            add_span(spans, at, close + 1, Ink::kCodeString);
            at = close;
        }
        return state;
    }
};

class PatchHighlighter final : public Highlighter {
public:
    [[nodiscard]] HighlightState line(std::string_view text, HighlightState,
                                      std::vector<ColourSpan>& spans) const override {
        Ink ink = Ink::kCode;
        if (begins(text, "+++") || begins(text, "---") || begins(text, "diff ") ||
            begins(text, "index "))
            ink = Ink::kCodeKeyword;
        else if (begins(text, "@@"))
            ink = Ink::kCodeFunction;
        else if (begins(text, "+") || begins(text, ">"))
            ink = Ink::kCodeString;
        else if (begins(text, "-") || begins(text, "<"))
            ink = Ink::kError;
        if (ink != Ink::kCode) add_span(spans, 0, text.size(), ink);
        return 0;
    }
};

}  // namespace

std::span<const MarkupLexer> markup_lexers() {
    static const TagHighlighter kTags;
    static const SheetHighlighter kSheets;
    static const MarkdownHighlighter kMarkdown;
    static const PatchHighlighter kPatches;
    static const MarkupLexer kLexers[] = {
        {"html xml xhtml svg htm xsl rss vue svelte plist", &kTags},
        {"css scss less sass", &kSheets},
        {"markdown md mdx", &kMarkdown},
        {"diff patch udiff", &kPatches}};
    return kLexers;
}

}  // namespace millrace
