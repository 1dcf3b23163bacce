#pragma once
// Paints text into memory, for looking and for tests of what is drawn.

#include <string>
#include <vector>

#include "core/base/file.h"
#include "ui/typeset/glyph_atlas.h"
#include "ui/typeset/paint.h"

namespace millrace::test {

class PixelPainter final : public TextPainter {
public:
    PixelPainter(GlyphAtlas& atlas, int width, int height);

    void glyph(const AtlasGlyph& glyph, float x, float baseline, Ink ink) override;
    void fill(const Box& box, Ink ink, float radius) override;
    void outline(const Box& box, Ink ink, float radius) override;
    void stroke(float x0, float y0, float x1, float y1, float thickness, Ink ink) override;

    [[nodiscard]] const std::vector<uint8_t>& rgb() const { return rgb_; }
    // A portable pixmap (PPM).
    [[nodiscard]] Status save(const Path& path) const;

private:
    void blend(int x, int y, const uint8_t* colour, float alpha);

    GlyphAtlas& atlas_;
    int width_, height_;
    std::vector<uint8_t> rgb_;
};

}  // namespace millrace::test
