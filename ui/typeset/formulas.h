#pragma once
// Where a piece of Markdown has formulas: $…$, $$…$$, \(…\), \[…\]. Found before Markdown is read, and hidden from it, so
// that underscores, stars and backslashes of LaTeX keep their meaning and every byte its place.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

struct FormulaPlace {
    size_t begin = 0, end = 0;              // with the signs around it
    size_t inner_begin = 0, inner_end = 0;  // without
    bool display = false;
};

// In order. Prices ("$5 and $6") are none: a closing $ follows no space and precedes no digit, an opening one precedes no
// space. None reaches over a blank line, into a code span or into the
// address of a link.
[[nodiscard]] std::vector<FormulaPlace> find_formulas(std::string_view text);

}  // namespace millrace
