#include "ui/typeset/formulas.h"

#include <algorithm>
#include <array>

namespace millrace {
namespace {

constexpr size_t kInlineBytesMax = 1000, kDisplayBytesMax = 8000;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool has_blank_line(std::string_view text) {
    size_t at = text.find('\n');
    while (at != std::string_view::npos) {
        const size_t next = text.find_first_not_of(" \t\r>", at + 1);
        if (next != std::string_view::npos && text[next] == '\n') return true;
        at = text.find('\n', at + 1);
    }
    return false;
}

// A closing sign that a failed search showed to be missing is not looked for again: no input is quadratic.
class Finder {
public:
    explicit Finder(std::string_view text) : text_(text) { code_missing_.fill(false); }

    std::vector<FormulaPlace> run() {
        for (size_t at = 0; at < text_.size();) {
            const char c = text_[at];
            if (c == '`') {
                at = after_code(at);
            } else if (c == '\\') {
                at = backslash(at);
            } else if (c == '$') {
                at = dollar(at);
            } else if (c == ']' && text_.substr(at + 1, 1) == "(") {
                at = after_address(at + 2);
            } else {
                ++at;
            }
        }
        return std::move(found_);
    }

private:
    size_t after_code(size_t at) {
        const size_t begin = std::min(text_.find_first_not_of('`', at), text_.size());
        const size_t length = begin - at;
        if (length >= code_missing_.size() || code_missing_[length]) return begin;
        for (size_t next = text_.find('`', begin); next != std::string_view::npos;) {
            const size_t end = std::min(text_.find_first_not_of('`', next), text_.size());
            if (end - next == length) return end;
            next = text_.find('`', end);
        }
        code_missing_[length] = true;
        return begin;
    }

    [[nodiscard]] size_t after_address(size_t at) const {
        const size_t end = text_.substr(at, kInlineBytesMax).find_first_of(")\n ");
        return end == std::string_view::npos ? at : at + end;
    }

    size_t add(size_t begin, size_t inner_begin, size_t inner_end, size_t end, bool display) {
        found_.push_back({begin, end, inner_begin, inner_end, display});
        return end;
    }

    size_t backslash(size_t at) {
        if (at + 1 >= text_.size()) return at + 1;
        const char sign = text_[at + 1];
        if (sign != '(' && sign != '[') return at + 2;
        const bool display = sign == '[';
        const std::string_view closing = display ? "\\]" : "\\)";
        const size_t reach = display ? kDisplayBytesMax : kInlineBytesMax;
        const size_t length = text_.substr(at + 2, reach).find(closing);
        if (length == std::string_view::npos || length == 0) return at + 2;
        if (has_blank_line(text_.substr(at + 2, length))) return at + 2;
        return add(at, at + 2, at + 2 + length, at + 4 + length, display);
    }

    size_t dollar(size_t at) {
        const bool display = text_.substr(at, 2) == "$$";
        const size_t inner = at + (display ? 2 : 1);
        if (inner >= text_.size() || text_[inner] == '$') {
            return std::min(text_.find_first_not_of('$', at), text_.size());
        }
        if (!display && is_space(text_[inner])) return inner;
        const size_t reach =
            std::min(text_.size(), inner + (display ? kDisplayBytesMax : kInlineBytesMax));
        for (size_t end = inner; end < reach; ++end) {
            if (text_[end] == '\\') {
                ++end;
            } else if (text_[end] == '$') {
                if (display && text_.substr(end, 2) != "$$") continue;
                if (!display && !closes_inline(end)) return inner;
                if (end == inner || has_blank_line(text_.substr(inner, end - inner))) return inner;
                return add(at, inner, end, end + (display ? 2 : 1), display);
            } else if (!display && text_[end] == '`') {
                return inner;
            }
        }
        return inner;
    }

    [[nodiscard]] bool closes_inline(size_t at) const {
        if (is_space(text_[at - 1])) return false;
        if (at + 1 >= text_.size()) return true;
        const char next = text_[at + 1];
        return !(next >= '0' && next <= '9') && next != '$';
    }

    std::string_view text_;
    std::vector<FormulaPlace> found_;
    std::array<bool, 32> code_missing_;
};

}  // namespace

std::vector<FormulaPlace> find_formulas(std::string_view text) { return Finder(text).run(); }

}  // namespace millrace
