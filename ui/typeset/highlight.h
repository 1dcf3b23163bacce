#pragma once
// Colours of code: a lexer over the languages people paste. Pure and incremental by line: a line's result depends on the
// line and the state that the line before ended in.

#include <cstdint>
#include <string_view>
#include <vector>

#include "ui/typeset/paint.h"

namespace millrace {

struct ColourSpan {
    uint32_t begin = 0, end = 0;  // bytes of the line
    Ink ink = Ink::kCode;
};

// What a line may leave open: a block comment, a long string. 0: nothing.
using HighlightState = uint8_t;

class Highlighter {
public:
    // By the name after a fence ("c++", "py", "sh", …); unknown names give one that colours nothing but strings and
    // numbers.
    [[nodiscard]] static const Highlighter& named(std::string_view language);
    virtual ~Highlighter() = default;
    // Appends spans in order, without overlap; bytes between them are Ink::kCode. Returns the state after the line.
    [[nodiscard]] virtual HighlightState line(std::string_view text, HighlightState state,
                                              std::vector<ColourSpan>& spans) const = 0;
};

}  // namespace millrace
