#pragma once
// Formulas: the common part of LaTeX's mathematics (fractions, roots, scripts, sums with limits, Greek, operators,
// delimiters that grow, matrices, cases, accents, text) set with Latin Modern Math by the rules of its MATH table.
// What is not understood is shown as its source, so a formula never disappears.

#include <memory>
#include <string_view>
#include <vector>

#include "ui/typeset/fonts.h"
#include "ui/typeset/paint.h"

namespace millrace {

enum class MathStyle : uint8_t { kInline, kDisplay };

// Placed relative to the left end of the baseline, y down.
struct MathLayout {
    struct Glyph {
        uint16_t font = 0;
        uint32_t id = 0;
        float size = 0;
        float x = 0, y = 0;
    };
    struct Rule {
        Box box;
    };
    std::vector<Glyph> glyphs;
    std::vector<Rule> rules;  // fraction bars, root lines
    float width = 0, ascent = 0, descent = 0;
    bool understood = true;  // false: parts of it are shown as source
};

// `source` without its dollar signs. Any input, however long or deep, ends in a layout.
[[nodiscard]] MathLayout lay_out_math(FontSet& fonts, std::string_view source, MathStyle style,
                                      float size);

}  // namespace millrace
