#pragma once
// What formulas are built of: scripts, limits, delimiters around, lines over and under, rows and columns. Boxes in, a box
// out; nothing here reads source.

#include <optional>
#include <string_view>
#include <vector>

#include "ui/typeset/math_box.h"
#include "ui/typeset/math_symbols.h"

namespace millrace {

// How what comes next is set.
struct MathSetting {
    float size = 16;
    bool display = false;
    int level = 0;  // of scripts
    MathAlphabet letters = MathAlphabet::kItalic;

    [[nodiscard]] MathSetting script() const {
        constexpr float kSmaller = 0.7F;
        MathSetting setting = *this;
        setting.display = false;
        if (level < 2) setting.size *= kSmaller;
        ++setting.level;
        return setting;
    }
    // Of a numerator, a cell.
    [[nodiscard]] MathSetting part() const {
        MathSetting setting = *this;
        setting.display = false;
        return setting;
    }
};

struct MathGrid {
    std::vector<std::vector<MathBox>> cells;  // rows; they may be of different lengths
};

// Between atoms of those classes, by TeX's table.
[[nodiscard]] float space_between(MathClass left, MathClass right, const MathSetting& style);
[[nodiscard]] MathBox with_scripts(const MathBox& base, const std::optional<MathBox>& above,
                                   const std::optional<MathBox>& below, const MathSetting& style);
[[nodiscard]] MathBox with_limits(const MathBox& base, const std::optional<MathBox>& above,
                                  const std::optional<MathBox>& below, const MathSetting& style);
// Between delimiters that are as high as it; "": none.
[[nodiscard]] MathBox enclosed(FontSet& fonts, std::string_view left, const MathBox& inner,
                               std::string_view right, const MathSetting& style);
// Parts with delimiters between them that are as high as the highest part: \middle.
[[nodiscard]] MathBox fenced(FontSet& fonts, const std::vector<MathBox>& parts,
                             const std::vector<std::string_view>& between,
                             const MathSetting& style);
// An arrow with something written over it, longer than that.
[[nodiscard]] MathBox long_arrow(FontSet& fonts, std::string_view arrow, const MathBox& over,
                                 const MathSetting& style);
// "overline", "underline", "overbrace", "underbrace", "boxed".
[[nodiscard]] MathBox lined(FontSet& fonts, std::string_view name, const MathBox& inner,
                            const MathSetting& style);
[[nodiscard]] MathBox accented(FontSet& fonts, std::string_view accent, const MathBox& inner,
                               const MathSetting& style);
// Columns: 'c' all centred, 'l' left, 'a' right and left in turns, as at &=.
[[nodiscard]] MathBox set_grid(FontSet& fonts, const MathGrid& grid, const MathSetting& style,
                               char columns);

}  // namespace millrace
