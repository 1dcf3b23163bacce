#pragma once
// Boxes of a formula, put beside and over each other.

#include <string_view>

#include "ui/typeset/fonts.h"
#include "ui/typeset/math.h"

namespace millrace {

// What is placed so far, from the left end of its baseline.
using MathBox = MathLayout;

// `part` is drawn into `whole` with its baseline's left end at (x, y), y down. Width and heights of `whole` stay.
void place(MathBox& whole, const MathBox& part, float x, float y);
// Beside what is there, on the baseline.
void append(MathBox& whole, const MathBox& part);
void add_rule(MathBox& box, float left, float top, float right, float bottom);

// Text in the mathematical face, as high as its glyphs are.
[[nodiscard]] MathBox glyph_box(FontSet& fonts, std::string_view text, float size,
                                Face face = Face::kMath);
// A delimiter, operator or root that is `height` high at least, if the font has one; centred on `axis` above the baseline.
[[nodiscard]] MathBox grown_box(FontSet& fonts, std::string_view text, float size, float height,
                                float axis);

struct MathMeasures {
    float axis = 0, rule = 0, em = 0, x_height = 0;
};
[[nodiscard]] MathMeasures math_measures(FontSet& fonts, float size);

}  // namespace millrace
