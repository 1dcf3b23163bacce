#pragma once
// Signs that grow: the variants of a glyph in the font's MATH table, and beyond them its parts put together.

#include "ui/typeset/math_box.h"

namespace millrace {

enum class Growth : uint8_t { kUp, kWide };

// The sign of one glyph, at least `length` pixels long if the font can do that; otherwise as long as it can. What grows up
// stands with its foot on the baseline, what grows wide with its lower edge there.
[[nodiscard]] MathBox stretched_box(FontSet& fonts, const MathLayout::Glyph& sign, float length,
                                    Growth growth);

}  // namespace millrace
