#include "ui/typeset/math_stretch.h"

#include <hb-ot.h>
#include <hb.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace millrace {
namespace {

constexpr int kRepeatsMax = 256;  // of the part that repeats

struct Stretcher {
    hb_font_t* font;
    MathLayout::Glyph sign;
    Growth growth;
    float unit;  // pixels of a unit of the font

    [[nodiscard]] hb_direction_t direction() const {
        return growth == Growth::kUp ? HB_DIRECTION_BTT : HB_DIRECTION_LTR;
    }
    [[nodiscard]] float pixels(hb_position_t units) const {
        return static_cast<float>(units) * unit;
    }

    // Puts a glyph so that its foot (or left edge) is `along` the box.
    void add(MathBox& box, hb_codepoint_t id, float along) const {
        hb_glyph_extents_t extents = {};
        if (hb_font_get_glyph_extents(font, id, &extents) == 0) return;
        MathLayout::Glyph glyph = sign;
        glyph.id = id;
        const float foot = pixels(extents.y_bearing + extents.height);
        const float height = pixels(-extents.height);
        if (growth == Growth::kUp) {
            glyph.x = 0;
            glyph.y = foot - along;
            box.width = std::max(box.width, pixels(hb_font_get_glyph_h_advance(font, id)));
            box.ascent = std::max(box.ascent, along + height);
        } else {
            glyph.x = along - pixels(extents.x_bearing);
            glyph.y = foot;
            box.width = std::max(box.width, along + pixels(extents.width));
            box.ascent = std::max(box.ascent, height);
        }
        box.glyphs.push_back(glyph);
    }

    [[nodiscard]] float length_of(const MathBox& box) const {
        return growth == Growth::kUp ? box.ascent : box.width;
    }

    // The first variant that is long enough, or the longest.
    [[nodiscard]] MathBox variant(float length) const {
        MathBox best;
        add(best, sign.id, 0);
        std::array<hb_ot_math_glyph_variant_t, 16> variants = {};
        auto count = static_cast<unsigned>(variants.size());
        hb_ot_math_get_glyph_variants(font, sign.id, direction(), 0, &count, variants.data());
        for (unsigned i = 0; i < count && length_of(best) < length; ++i) {
            MathBox box;
            add(box, variants[i].glyph, 0);
            if (length_of(box) > length_of(best)) best = std::move(box);
        }
        return best;
    }

    // How far a part covers the one before at most.
    static hb_position_t cover(const hb_ot_math_glyph_part_t& before,
                               const hb_ot_math_glyph_part_t& part) {
        const hb_position_t most =
            std::min(before.end_connector_length, part.start_connector_length);
        return std::min({most, before.full_advance - 1, part.full_advance - 1});
    }

    // All parts in a row, those that repeat `repeats` times; `shrink` from 0 (as long as it gets) to 1.
    MathBox row(std::span<const hb_ot_math_glyph_part_t> parts, int repeats, float shrink) const {
        const hb_position_t least = hb_ot_math_get_min_connector_overlap(font, direction());
        MathBox box;
        const hb_ot_math_glyph_part_t* before = nullptr;
        float along = 0;
        for (const hb_ot_math_glyph_part_t& part : parts) {
            const bool repeated = (part.flags & HB_OT_MATH_GLYPH_PART_FLAG_EXTENDER) != 0;
            for (int i = repeated ? repeats : 1; i > 0; --i) {
                if (before != nullptr) {
                    const float most = pixels(std::max(cover(*before, part), least));
                    const float less = pixels(least);
                    along += pixels(before->full_advance) - less - shrink * (most - less);
                }
                add(box, part.glyph, along);
                before = &part;
            }
        }
        return box;
    }

    // Nothing where the font has no parts for the sign.
    [[nodiscard]] MathBox assembly(float length) const {
        std::array<hb_ot_math_glyph_part_t, 16> parts = {};
        auto count = static_cast<unsigned>(parts.size());
        hb_ot_math_get_glyph_assembly(font, sign.id, direction(), 0, &count, parts.data(), nullptr);
        const std::span<const hb_ot_math_glyph_part_t> all(parts.data(), count);
        if (all.empty()) return {};
        int repeats = 0;
        if (length_of(row(all, 0, 0)) < length) {
            // From one on each more adds the same.
            const float one = length_of(row(all, 1, 0)), step = length_of(row(all, 2, 0)) - one;
            const float more = step > 0 ? std::ceil(std::max(0.F, length - one) / step) : 0;
            repeats = 1 + static_cast<int>(std::min(more, static_cast<float>(kRepeatsMax)));
        }
        const float longest = length_of(row(all, repeats, 0));
        const float shortest = length_of(row(all, repeats, 1));
        const float room = longest - shortest;
        return row(all, repeats, room > 0 ? std::clamp((longest - length) / room, 0.F, 1.F) : 0);
    }
};

}  // namespace

MathBox stretched_box(FontSet& fonts, const MathLayout::Glyph& sign, float length, Growth growth) {
    hb_font_t* font = fonts.harfbuzz_font(sign.font);
    if (font == nullptr) return {};
    const auto em = static_cast<float>(std::max(1U, hb_face_get_upem(hb_font_get_face(font))));
    const Stretcher stretcher{font, sign, growth, sign.size / em};
    MathBox box = stretcher.variant(length);
    if (stretcher.length_of(box) >= length) return box;
    MathBox put_together = stretcher.assembly(length);
    return stretcher.length_of(put_together) > stretcher.length_of(box) ? put_together : box;
}

}  // namespace millrace
