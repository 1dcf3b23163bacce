#include "ui/typeset/highlight.h"

#include <algorithm>
#include <string>

#include "ui/typeset/highlight_lexer.h"

namespace millrace {
namespace {

// Words of a list, sorted, so that a word of a line is found in a few comparisons.
class WordList {
public:
    WordList(std::string_view list, bool ignore_case) : ignore_case_(ignore_case) {
        while (!list.empty()) {
            const size_t end = std::min(list.find(' '), list.size());
            if (end > 0) words_.push_back(list.substr(0, end));
            list.remove_prefix(std::min(end + 1, list.size()));
        }
        std::sort(words_.begin(), words_.end());
        for (const std::string_view word : words_) longest_ = std::max(longest_, word.size());
    }
    [[nodiscard]] bool has(std::string_view word) const {
        if (word.size() > longest_) return false;
        if (!ignore_case_) return std::binary_search(words_.begin(), words_.end(), word);
        std::string folded(word);
        for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
        return std::binary_search(words_.begin(), words_.end(), std::string_view(folded));
    }

private:
    std::vector<std::string_view> words_;
    size_t longest_ = 0;
    bool ignore_case_;
};

class GrammarHighlighter final : public Highlighter {
public:
    explicit GrammarHighlighter(const Grammar& grammar)
        : grammar_(grammar),
          keywords_(grammar.keywords, (grammar.habits & kIgnoresCase) != 0),
          types_(grammar.types, (grammar.habits & kIgnoresCase) != 0) {}

    [[nodiscard]] const Grammar& grammar() const { return grammar_; }
    [[nodiscard]] HighlightState line(std::string_view text, HighlightState state,
                                      std::vector<ColourSpan>& spans) const override;

private:
    void word(CodeLexer& lexer) const;

    const Grammar& grammar_;
    WordList keywords_, types_;
};

bool is_camel_case(std::string_view word) {
    if (word.empty() || word[0] < 'A' || word[0] > 'Z') return false;
    return std::any_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

bool ends_with_t(std::string_view word) {
    return word.size() > 2 && word.substr(word.size() - 2) == "_t";
}

void GrammarHighlighter::word(CodeLexer& lexer) const {
    const std::string_view word = lexer.take_name();
    if (word.empty()) return;  // it was a string's prefix
    const CodeLexer::Before before = lexer.before();
    const bool dotted = before == CodeLexer::Before::kDot;
    const uint32_t habits = grammar_.habits;
    if (!dotted && keywords_.has(word)) {
        if (is_listed("def fn func fun function", word))
            lexer.finish_name(Ink::kCodeKeyword, CodeLexer::Before::kDefine);
        else if (is_listed("class struct enum interface trait type typedef union protocol", word))
            lexer.finish_name(Ink::kCodeKeyword, CodeLexer::Before::kDefineType);
        else
            lexer.finish_name(Ink::kCodeKeyword, CodeLexer::Before::kKeyword);
        return;
    }
    const auto name = CodeLexer::Before::kOperand;
    if (!dotted && types_.has(word)) return lexer.finish_name(Ink::kCodeType, name);
    if (before == CodeLexer::Before::kDefine) return lexer.finish_name(Ink::kCodeFunction, name);
    if (before == CodeLexer::Before::kDefineType) return lexer.finish_name(Ink::kCodeType, name);
    if ((habits & kCommands) != 0 && lexer.at_command())
        return lexer.finish_name(Ink::kCodeFunction, name);
    if ((habits & kCapitalTypes) != 0 && is_camel_case(word) && !(dotted && lexer.called()))
        return lexer.finish_name(Ink::kCodeType, name);
    if ((habits & kSuffixTypes) != 0 && ends_with_t(word))
        return lexer.finish_name(Ink::kCodeType, name);
    if ((habits & kNoCalls) == 0 && lexer.called())
        return lexer.finish_name(Ink::kCodeFunction, name);
    lexer.finish_name(Ink::kCode, name);
}

HighlightState GrammarHighlighter::line(std::string_view text, HighlightState state,
                                        std::vector<ColourSpan>& spans) const {
    CodeLexer lexer(grammar_, text, spans);
    if (!lexer.resume(state)) return lexer.state();
    lexer.line_head();
    while (!lexer.at_end()) {
        if (lexer.blank() || lexer.comment() || lexer.delimited() || lexer.number()) continue;
        if (lexer.at_name())
            word(lexer);
        else
            lexer.mark();
    }
    return lexer.state();
}

}  // namespace

const Highlighter& Highlighter::named(std::string_view language) {
    static const std::vector<GrammarHighlighter> kLexers = [] {
        std::vector<GrammarHighlighter> lexers;
        for (const Grammar& grammar : code_grammars()) lexers.emplace_back(grammar);
        lexers.emplace_back(plain_grammar());
        return lexers;
    }();
    // What stands after a fence may say more than the name: "python title=…", "{.python}", "c++,linenos".
    size_t begin = 0;
    while (begin < language.size() &&
           (is_blank(language[begin]) || language[begin] == '{' || language[begin] == '.'))
        ++begin;
    std::string name;
    for (const char c : language.substr(begin)) {
        if (!(is_word(c) || c == '+' || c == '#' || c == '-') || name.size() > 32) break;
        name += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    for (const MarkupLexer& lexer : markup_lexers())
        if (is_listed(lexer.names, name)) return *lexer.highlighter;
    for (const GrammarHighlighter& lexer : kLexers)
        if (is_listed(lexer.grammar().names, name)) return lexer;
    return kLexers.back();
}

}  // namespace millrace
