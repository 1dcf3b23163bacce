#include "tests/support/pixel_painter.h"

#include <algorithm>
#include <cmath>

#include "core/base/strings.h"

namespace millrace::test {
namespace {

// The dark theme, roughly.
constexpr uint8_t kColours[kInks][3] = {
    {0xE6, 0xE8, 0xEC}, {0x9A, 0xA1, 0xAD}, {0x6E, 0xA8, 0xFE}, {0x6E, 0xA8, 0xFE},
    {0xD6, 0xDA, 0xE0}, {0xC7, 0x92, 0xEA}, {0xA5, 0xD6, 0xA7}, {0x7A, 0x82, 0x90},
    {0xF7, 0xB2, 0x67}, {0x80, 0xCB, 0xC4}, {0x82, 0xAA, 0xFF}, {0x22, 0x25, 0x2C},
    {0x26, 0x2A, 0x33}, {0x34, 0x3A, 0x45}, {0x4A, 0x52, 0x60}, {0x2F, 0x4A, 0x75},
    {0x5A, 0x4B, 0x1E}, {0x9A, 0x7A, 0x10}, {0x1F, 0x4A, 0x45}, {0xE6, 0xE8, 0xEC},
    {0x6E, 0xA8, 0xFE}, {0xFF, 0x9B, 0x9B},
};

const uint8_t* colour_of(Ink ink) { return kColours[static_cast<size_t>(ink)]; }

}  // namespace

PixelPainter::PixelPainter(GlyphAtlas& atlas, int width, int height)
    : atlas_(atlas), width_(width), height_(height) {
    for (int i = 0; i < width * height; ++i) rgb_.insert(rgb_.end(), {0x16, 0x18, 0x1D});
}

void PixelPainter::blend(int x, int y, const uint8_t* colour, float alpha) {
    if (x < 0 || y < 0 || x >= width_ || y >= height_ || alpha <= 0) return;
    uint8_t* const pixel = &rgb_[3 * static_cast<size_t>(y * width_ + x)];
    for (int i = 0; i < 3; ++i) {
        const float below = pixel[i];
        pixel[i] = static_cast<uint8_t>(
            std::lround(below + (static_cast<float>(colour[i]) - below) * alpha));
    }
}

void PixelPainter::glyph(const AtlasGlyph& glyph, float x, float baseline, Ink ink) {
    const GlyphAtlas::Page& page = atlas_.pages()[glyph.page];
    const int left = static_cast<int>(std::lround(x + glyph.left));
    const int top = static_cast<int>(std::lround(baseline - glyph.top));
    const int width = static_cast<int>(std::lround(static_cast<float>(glyph.width) * glyph.scale));
    const int height =
        static_cast<int>(std::lround(static_cast<float>(glyph.height) * glyph.scale));
    for (int row = 0; row < height; ++row) {
        for (int column = 0; column < width; ++column) {
            const int from_x = glyph.x + static_cast<int>(static_cast<float>(column) / glyph.scale);
            const int from_y = glyph.y + static_cast<int>(static_cast<float>(row) / glyph.scale);
            const uint8_t* const texel =
                &page.pixels[4 * static_cast<size_t>(from_y * GlyphAtlas::kPageSize + from_x)];
            blend(left + column, top + row, glyph.coloured ? texel : colour_of(ink),
                  static_cast<float>(texel[3]) / 255);
        }
    }
}

void PixelPainter::fill(const Box& box, Ink ink, float radius) {
    for (int y = static_cast<int>(std::floor(box.top)); y < static_cast<int>(std::ceil(box.bottom));
         ++y) {
        for (int x = static_cast<int>(std::floor(box.left));
             x < static_cast<int>(std::ceil(box.right)); ++x) {
            const float centre_x = static_cast<float>(x) + 0.5F,
                        centre_y = static_cast<float>(y) + 0.5F;
            const float inside_x = std::clamp(centre_x, box.left + radius,
                                              std::max(box.left + radius, box.right - radius));
            const float inside_y = std::clamp(centre_y, box.top + radius,
                                              std::max(box.top + radius, box.bottom - radius));
            const float far = std::hypot(centre_x - inside_x, centre_y - inside_y);
            const float cover_x = std::min(box.right, static_cast<float>(x + 1)) -
                                  std::max(box.left, static_cast<float>(x));
            const float cover_y = std::min(box.bottom, static_cast<float>(y + 1)) -
                                  std::max(box.top, static_cast<float>(y));
            const float corner = radius > 0 ? std::clamp(radius - far + 0.5F, 0.0F, 1.0F) : 1.0F;
            blend(x, y, colour_of(ink), cover_x * cover_y * corner);
        }
    }
}

void PixelPainter::outline(const Box& box, Ink ink, float) {
    fill({box.left, box.top, box.right, box.top + 1}, ink, 0);
    fill({box.left, box.bottom - 1, box.right, box.bottom}, ink, 0);
    fill({box.left, box.top, box.left + 1, box.bottom}, ink, 0);
    fill({box.right - 1, box.top, box.right, box.bottom}, ink, 0);
}

void PixelPainter::stroke(float x0, float y0, float x1, float y1, float thickness, Ink ink) {
    const float reach = thickness / 2 + 1;
    for (int y = static_cast<int>(std::min(y0, y1) - reach);
         y < static_cast<int>(std::max(y0, y1) + reach); ++y) {
        for (int x = static_cast<int>(std::min(x0, x1) - reach);
             x < static_cast<int>(std::max(x0, x1) + reach); ++x) {
            const float px = static_cast<float>(x) + 0.5F, py = static_cast<float>(y) + 0.5F;
            const float length = std::max(1e-6F, (x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0));
            const float along =
                std::clamp(((px - x0) * (x1 - x0) + (py - y0) * (y1 - y0)) / length, 0.0F, 1.0F);
            const float far = std::hypot(px - x0 - along * (x1 - x0), py - y0 - along * (y1 - y0));
            blend(x, y, colour_of(ink), std::clamp(thickness / 2 - far + 0.5F, 0.0F, 1.0F));
        }
    }
}

Status PixelPainter::save(const Path& path) const {
    std::string file = cat("P6\n", width_, " ", height_, "\n255\n");
    file.append(rgb_.begin(), rgb_.end());
    return write_file(path, file);
}

}  // namespace millrace::test
