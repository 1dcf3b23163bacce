#include "ui/typeset/math_box.h"

#include <hb-ot.h>
#include <hb.h>

#include <algorithm>
#include <cmath>

#include "ui/typeset/math_stretch.h"

namespace millrace {
namespace {

float em_of(hb_font_t* font) {
    return static_cast<float>(std::max(1U, hb_face_get_upem(hb_font_get_face(font))));
}

struct Extent {
    float ascent = 0, descent = 0;
};

Extent extent_of(FontSet& fonts, uint16_t font, uint32_t glyph, float size) {
    hb_font_t* hb = fonts.harfbuzz_font(font);
    hb_glyph_extents_t extents = {};
    if (hb == nullptr || hb_font_get_glyph_extents(hb, glyph, &extents) == 0)
        return {size * 0.7F, size * 0.2F};
    const float unit = size / em_of(hb);
    return {static_cast<float>(extents.y_bearing) * unit,
            -static_cast<float>(extents.y_bearing + extents.height) * unit};
}

}  // namespace

void place(MathBox& whole, const MathBox& part, float x, float y) {
    for (MathLayout::Glyph glyph : part.glyphs) {
        glyph.x += x;
        glyph.y += y;
        whole.glyphs.push_back(glyph);
    }
    for (const MathLayout::Rule& rule : part.rules) {
        add_rule(whole, rule.box.left + x, rule.box.top + y, rule.box.right + x,
                 rule.box.bottom + y);
    }
    whole.understood = whole.understood && part.understood;
}

void append(MathBox& whole, const MathBox& part) {
    place(whole, part, whole.width, 0);
    whole.width += part.width;
    whole.ascent = std::max(whole.ascent, part.ascent);
    whole.descent = std::max(whole.descent, part.descent);
}

void add_rule(MathBox& box, float left, float top, float right, float bottom) {
    MathLayout::Rule rule;
    rule.box = {left, top, right, bottom};
    box.rules.push_back(rule);
}

MathBox glyph_box(FontSet& fonts, std::string_view text, float size, Face face) {
    const ShapedLine& line = fonts.line(text, {face, size});
    MathBox box;
    box.width = line.width;
    for (const ShapedGlyph& glyph : line.glyphs) {
        box.glyphs.push_back(
            {.font = glyph.font, .id = glyph.id, .size = size, .x = glyph.x, .y = -glyph.y});
        const Extent extent = extent_of(fonts, glyph.font, glyph.id, size);
        box.ascent = std::max(box.ascent, extent.ascent);
        box.descent = std::max(box.descent, extent.descent);
    }
    return box;
}

MathBox grown_box(FontSet& fonts, std::string_view text, float size, float height, float axis) {
    MathBox box = glyph_box(fonts, text, size);
    if (box.glyphs.size() == 1 && box.ascent + box.descent < height) {
        const MathBox grown = stretched_box(fonts, box.glyphs[0], height, Growth::kUp);
        if (!grown.glyphs.empty()) box = grown;
    }
    const float shift = (box.ascent - box.descent) / 2 - axis;
    for (MathLayout::Glyph& glyph : box.glyphs) glyph.y += shift;
    box.ascent -= shift;
    box.descent += shift;
    return box;
}

MathMeasures math_measures(FontSet& fonts, float size) {
    MathMeasures measures = {
        .axis = 0.25F * size, .rule = 0.04F * size, .em = size, .x_height = 0.43F * size};
    hb_font_t* font = fonts.harfbuzz_font(fonts.first_font(Face::kMath));
    if (font != nullptr && hb_ot_math_has_data(hb_font_get_face(font)) != 0) {
        const float unit = size / em_of(font);
        measures.axis =
            static_cast<float>(hb_ot_math_get_constant(font, HB_OT_MATH_CONSTANT_AXIS_HEIGHT)) *
            unit;
        measures.rule = static_cast<float>(hb_ot_math_get_constant(
                            font, HB_OT_MATH_CONSTANT_FRACTION_RULE_THICKNESS)) *
                        unit;
    }
    measures.rule = std::max(1.F, std::round(measures.rule));
    return measures;
}

}  // namespace millrace
