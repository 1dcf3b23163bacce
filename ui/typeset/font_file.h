#pragma once
// One font file: its glyphs as images, and as HarfBuzz sees it.

#include <ft2build.h>
#include FT_FREETYPE_H
#include <hb.h>

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/file.h"
#include "core/base/result.h"
#include "ui/typeset/glyph_atlas.h"
#include "ui/typeset/paint.h"

namespace millrace {

struct FaceCloser {
    void operator()(FT_Face face) const { FT_Done_Face(face); }
};
struct HbFontCloser {
    void operator()(hb_font_t* font) const { hb_font_destroy(font); }
};

class FontFile {
public:
    // `index`: of a collection. kCorrupt names the file.
    [[nodiscard]] static Result<std::unique_ptr<FontFile>> open(FT_Library library,
                                                                const Path& path, int index);

    [[nodiscard]] bool has(char32_t code) const {
        return FT_Get_Char_Index(face_.get(), code) != 0;
    }
    // Set to `size` pixels an em; valid until the next call.
    [[nodiscard]] hb_font_t* shaper(float size);
    // Draws the glyph and puts it into the atlas. Nothing to draw, or larger than a page: width 0.
    [[nodiscard]] AtlasGlyph raster(uint32_t glyph, float size, GlyphAtlas& atlas);

    struct Extent {
        float ascent = 0, descent = 0;  // em
    };
    [[nodiscard]] Extent extent() const { return extent_; }
    [[nodiscard]] bool bitmaps_only() const { return strike_ > 0; }

private:
    FontFile() = default;
    void set_size(float size);

    std::unique_ptr<FT_FaceRec, FaceCloser> face_;
    std::unique_ptr<hb_font_t, HbFontCloser> shaper_;
    Extent extent_;
    float size_ = 0;
    float strike_ = 0;  // pixels an em of the only size, where a font holds pictures of one size
};

}  // namespace millrace
