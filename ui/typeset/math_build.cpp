#include "ui/typeset/math_build.h"

#include <algorithm>
#include <cmath>

#include "ui/typeset/math_stretch.h"

namespace millrace {

float space_between(MathClass left, MathClass right, const MathSetting& style) {
    const float mu = style.size / 18;
    const auto either = [&](MathClass kind) { return left == kind || right == kind; };
    const bool edge = right == MathClass::kClose || left == MathClass::kOpen;
    if (style.level == 0 && !edge) {
        if (either(MathClass::kRelation)) return left == right ? 0 : 5 * mu;
        if (either(MathClass::kBinary)) return 4 * mu;
        if (left == MathClass::kPunctuation || either(MathClass::kInner)) return 3 * mu;
    }
    if (left == MathClass::kOperator && right != MathClass::kOpen &&
        right != MathClass::kPunctuation && right != MathClass::kClose)
        return 3 * mu;
    if (right == MathClass::kOperator &&
        (left == MathClass::kOrdinary || left == MathClass::kClose))
        return 3 * mu;
    return 0;
}

MathBox with_scripts(const MathBox& base, const std::optional<MathBox>& above,
                     const std::optional<MathBox>& below, const MathSetting& style) {
    MathBox box = base;
    const float gap = style.size * 0.05F;
    float up = std::max(style.size * 0.36F, base.ascent - style.size * 0.25F);
    float down = std::max(style.size * 0.16F, base.descent + style.size * 0.05F);
    if (above) up = std::max(up, above->descent + style.size * 0.11F);
    if (above && below) {
        const float room = up - above->descent + down - below->ascent;
        const float wanted = style.size * 0.16F;
        if (room < wanted) down += wanted - room;
    }
    float width = 0;
    if (above) {
        place(box, *above, base.width + gap, -up);
        width = above->width;
        box.ascent = std::max(box.ascent, up + above->ascent);
    }
    if (below) {
        place(box, *below, base.width + gap * 0.3F, down);
        width = std::max(width, below->width);
        box.descent = std::max(box.descent, down + below->descent);
    }
    box.width = base.width + gap + width;
    return box;
}

MathBox with_limits(const MathBox& base, const std::optional<MathBox>& above,
                    const std::optional<MathBox>& below, const MathSetting& style) {
    MathBox box;
    const float gap = style.size * 0.13F;
    box.width = std::max({base.width, above ? above->width : 0, below ? below->width : 0});
    box.ascent = base.ascent;
    box.descent = base.descent;
    place(box, base, (box.width - base.width) / 2, 0);
    if (above) {
        place(box, *above, (box.width - above->width) / 2, -(base.ascent + gap + above->descent));
        box.ascent += gap + above->descent + above->ascent;
    }
    if (below) {
        place(box, *below, (box.width - below->width) / 2, base.descent + gap + below->ascent);
        box.descent += gap + below->ascent + below->descent;
    }
    return box;
}

MathBox enclosed(FontSet& fonts, std::string_view left, const MathBox& inner,
                 std::string_view right, const MathSetting& style) {
    const float axis = math_measures(fonts, style.size).axis;
    const float half = std::max(inner.ascent - axis, inner.descent + axis);
    const float height = std::max(style.size * 0.9F, 2 * half * 0.95F);
    MathBox box;
    if (!left.empty()) append(box, grown_box(fonts, left, style.size, height, axis));
    append(box, inner);
    if (!right.empty()) append(box, grown_box(fonts, right, style.size, height, axis));
    return box;
}

MathBox fenced(FontSet& fonts, const std::vector<MathBox>& parts,
               const std::vector<std::string_view>& between, const MathSetting& style) {
    const float axis = math_measures(fonts, style.size).axis;
    float half = 0;
    for (const MathBox& part : parts)
        half = std::max({half, part.ascent - axis, part.descent + axis});
    MathBox box;
    for (size_t i = 0; i < parts.size(); ++i) {
        if (i > 0 && !between[i - 1].empty()) {
            const float height = std::max(style.size * 0.9F, 2 * half * 0.95F);
            box.width += style.size * 0.16F;
            append(box, grown_box(fonts, between[i - 1], style.size, height, axis));
            box.width += style.size * 0.16F;
        }
        append(box, parts[i]);
    }
    return box;
}

MathBox long_arrow(FontSet& fonts, std::string_view arrow, const MathBox& over,
                   const MathSetting& style) {
    MathBox shaft = glyph_box(fonts, arrow, style.size);
    const float axis = math_measures(fonts, style.size).axis;
    if (shaft.glyphs.size() == 1) {
        const float wanted = over.width + style.size * 0.8F;
        shaft = stretched_box(fonts, shaft.glyphs[0], wanted, Growth::kWide);
        MathBox raised;
        const float lift = axis - shaft.ascent / 2;
        place(raised, shaft, 0, -lift);
        raised.width = shaft.width;
        raised.ascent = shaft.ascent + lift;
        shaft = std::move(raised);
    }
    return with_limits(shaft, over, std::nullopt, style);
}

MathBox lined(FontSet& fonts, std::string_view name, const MathBox& inner,
              const MathSetting& style) {
    const MathMeasures m = math_measures(fonts, style.size);
    const float gap = style.size * 0.12F;
    MathBox box = inner;
    const bool above = name.starts_with("over"), whole = name == "boxed";
    if (whole) {
        MathBox framed;
        place(framed, inner, 2 * gap, 0);
        framed.width = inner.width + 4 * gap;
        framed.ascent = inner.ascent + 2 * gap;
        framed.descent = inner.descent + 2 * gap;
        add_rule(framed, 0, -framed.ascent, framed.width, -framed.ascent + m.rule);
        add_rule(framed, 0, framed.descent - m.rule, framed.width, framed.descent);
        add_rule(framed, 0, -framed.ascent, m.rule, framed.descent);
        add_rule(framed, framed.width - m.rule, -framed.ascent, framed.width, framed.descent);
        return framed;
    }
    if (name.ends_with("brace")) {
        const MathBox sign = glyph_box(fonts, above ? "⏞" : "⏟", style.size);
        MathBox brace = sign;
        if (sign.glyphs.size() == 1)
            brace = stretched_box(fonts, sign.glyphs[0], inner.width, Growth::kWide);
        MathBox embraced;
        embraced.width = std::max(inner.width, brace.width);
        embraced.ascent = inner.ascent + (above ? gap + brace.ascent : 0);
        embraced.descent = inner.descent + (above ? 0 : gap + brace.ascent);
        place(embraced, inner, (embraced.width - inner.width) / 2, 0);
        place(embraced, brace, (embraced.width - brace.width) / 2,
              above ? -(inner.ascent + gap) : embraced.descent);
        return embraced;
    }
    const float y = above ? -(inner.ascent + gap + m.rule) : inner.descent + gap;
    add_rule(box, 0, y, inner.width, y + m.rule);
    if (above)
        box.ascent = inner.ascent + 2 * gap + m.rule;
    else
        box.descent = inner.descent + 2 * gap + m.rule;
    return box;
}

MathBox accented(FontSet& fonts, std::string_view accent, const MathBox& inner,
                 const MathSetting& style) {
    const MathBox mark = glyph_box(fonts, accent, style.size * (accent == "→" ? 0.6F : 0.9F));
    MathBox box = inner;
    const float rise = inner.ascent + style.size * 0.06F + std::max(0.F, mark.descent);
    // Marks are drawn where they would stand over an x; what is between them and the baseline goes.
    const float lift = rise - std::max(0.F, mark.ascent - style.size * 0.28F);
    place(box, mark, (inner.width - mark.width) / 2 + style.size * 0.04F, -lift);
    box.ascent = std::max(inner.ascent, lift + mark.ascent);
    return box;
}

MathBox set_grid(FontSet& fonts, const MathGrid& grid, const MathSetting& style, char columns) {
    std::vector<float> widths;
    for (const auto& row : grid.cells) {
        widths.resize(std::max(widths.size(), row.size()));
        for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].width);
    }
    MathBox box;
    const float row_gap = style.size * 0.35F, column_gap = columns == 'a' ? 0 : style.size * 0.8F;
    float y = 0;
    for (const auto& row : grid.cells) {
        float ascent = style.size * 0.7F, descent = style.size * 0.22F, x = 0;
        for (const MathBox& cell : row) {
            ascent = std::max(ascent, cell.ascent);
            descent = std::max(descent, cell.descent);
        }
        if (y > 0) y += row_gap;
        y += ascent;
        for (size_t c = 0; c < row.size(); ++c) {
            const float room = widths[c] - row[c].width;
            const float indent = columns == 'l'   ? 0
                                 : columns == 'c' ? room / 2
                                 : c % 2 == 0     ? room
                                                  : 0;
            place(box, row[c], x + indent, y);
            x += widths[c] +
                 (columns == 'a' ? (c % 2 == 0 ? style.size * 0.28F : style.size) : column_gap);
        }
        y += descent;
    }
    for (const float width : widths) box.width += width;
    box.width += column_gap * static_cast<float>(widths.empty() ? 0 : widths.size() - 1);
    if (columns == 'a')
        box.width +=
            static_cast<float>(widths.size() / 2) * style.size * 0.28F +
            static_cast<float>(widths.size() > 2 ? (widths.size() - 1) / 2 : 0) * style.size;
    // Centred on the axis.
    const float axis = math_measures(fonts, style.size).axis;
    const float shift = y / 2 + axis;
    MathBox centred;
    place(centred, box, 0, -shift);
    centred.width = box.width;
    centred.ascent = shift;
    centred.descent = y - shift;
    return centred;
}

}  // namespace millrace
