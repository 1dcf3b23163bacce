#include "ui/typeset/font_file.h"

#include <hb-ft.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr float kUnit = 64;  // FreeType's fixed point
constexpr int kGlyphSideMax = 512;

std::vector<uint8_t> rgba_of(const FT_Bitmap& bitmap) {
    const auto width = static_cast<size_t>(bitmap.width), rows = static_cast<size_t>(bitmap.rows);
    std::vector<uint8_t> out(width * rows * 4, 255);
    for (size_t y = 0; y < rows; ++y) {
        const unsigned char* row = bitmap.buffer + static_cast<ptrdiff_t>(y) * bitmap.pitch;
        uint8_t* to = out.data() + y * width * 4;
        for (size_t x = 0; x < width; ++x, to += 4) {
            if (bitmap.pixel_mode == FT_PIXEL_MODE_BGRA) {
                // Stored with the alpha multiplied in; what draws wants it apart.
                const int alpha = row[4 * x + 3];
                const auto straight = [&](int c) {
                    return static_cast<uint8_t>(alpha == 0 ? 0 : std::min(255, c * 255 / alpha));
                };
                to[0] = straight(row[4 * x + 2]);
                to[1] = straight(row[4 * x + 1]);
                to[2] = straight(row[4 * x]);
                to[3] = static_cast<uint8_t>(alpha);
            } else if (bitmap.pixel_mode == FT_PIXEL_MODE_MONO) {
                to[3] = (row[x / 8] >> (7 - x % 8)) & 1 ? 255 : 0;
            } else {
                to[3] = row[x];
            }
        }
    }
    return out;
}

}  // namespace

Result<std::unique_ptr<FontFile>> FontFile::open(FT_Library library, const Path& path, int index) {
    auto file = std::unique_ptr<FontFile>(new FontFile());
    FT_Face face = nullptr;
    if (const FT_Error error = FT_New_Face(library, path.c_str(), index, &face); error != 0) {
        return Error{ErrorCode::kCorrupt, cat("the font ", path.string(),
                                              " cannot be read (FreeType error ", error, ")")};
    }
    file->face_.reset(face);
    if (!FT_IS_SCALABLE(face) && face->num_fixed_sizes > 0) {
        file->strike_ = static_cast<float>(face->available_sizes[0].y_ppem) / kUnit;
        if (FT_Select_Size(face, 0) != 0 || file->strike_ <= 0) {
            return Error{ErrorCode::kCorrupt,
                         cat("the font ", path.string(), " has no size that can be used")};
        }
        file->extent_ = {.ascent = 0.95F, .descent = 0.25F};
    } else {
        const auto em = static_cast<float>(std::max<int>(1, face->units_per_EM));
        file->extent_ = {.ascent = static_cast<float>(face->ascender) / em,
                         .descent = -static_cast<float>(face->descender) / em};
        file->set_size(16);
    }
    file->shaper_.reset(hb_ft_font_create_referenced(face));
    hb_ft_font_set_load_flags(file->shaper_.get(), FT_LOAD_NO_HINTING);
    return file;
}

void FontFile::set_size(float size) {
    if (size == size_ || strike_ > 0) return;
    size_ = size;
    FT_Set_Char_Size(face_.get(), 0, static_cast<FT_F26Dot6>(std::lround(size * kUnit)), 72, 72);
    if (shaper_) hb_ft_font_changed(shaper_.get());
}

hb_font_t* FontFile::shaper(float size) {
    set_size(size);
    if (strike_ > 0) {
        const auto scale = static_cast<int>(std::lround(size * kUnit));
        hb_font_set_scale(shaper_.get(), scale, scale);
    }
    return shaper_.get();
}

AtlasGlyph FontFile::raster(uint32_t glyph, float size, GlyphAtlas& atlas) {
    set_size(size);
    AtlasGlyph out;
    const FT_Int32 how = strike_ > 0 ? FT_LOAD_COLOR : FT_LOAD_TARGET_LIGHT;
    if (FT_Load_Glyph(face_.get(), glyph, how) != 0) return out;
    const FT_GlyphSlot slot = face_->glyph;
    if (slot->format != FT_GLYPH_FORMAT_BITMAP && FT_Render_Glyph(slot, FT_RENDER_MODE_NORMAL) != 0)
        return out;
    const FT_Bitmap& bitmap = slot->bitmap;
    const auto width = static_cast<int>(bitmap.width), height = static_cast<int>(bitmap.rows);
    if (width == 0 || height == 0 || width > kGlyphSideMax || height > kGlyphSideMax) return out;
    const auto place = atlas.add(width, height);
    if (!place) return out;
    atlas.write(*place, width, height, rgba_of(bitmap));
    out.page = place->page;
    out.x = place->x;
    out.y = place->y;
    out.width = static_cast<uint16_t>(width);
    out.height = static_cast<uint16_t>(height);
    out.coloured = bitmap.pixel_mode == FT_PIXEL_MODE_BGRA;
    out.scale = strike_ > 0 ? size / strike_ : 1;
    out.left = static_cast<float>(slot->bitmap_left) * out.scale;
    out.top = static_cast<float>(slot->bitmap_top) * out.scale;
    return out;
}

}  // namespace millrace
