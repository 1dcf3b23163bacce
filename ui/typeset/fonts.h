#pragma once
// FRONT DOOR of ui/typeset: the faces of the product, shaped lines of text, and the atlas of their glyphs.
//
// A face is a chain of files: Latin first, then other scripts, CJK, symbols, emoji; each cluster of text takes the first
// that has all of it. Files are Debian's (fonts-inter, fonts-jetbrains-mono, fonts-noto-core, fonts-noto-cjk,
// fonts-noto-color-emoji, fonts-lmodern); each is opened when the first text needs it.
//
// Threads: one thread, the window's.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "ui/typeset/glyph_atlas.h"
#include "ui/typeset/paint.h"

struct hb_font_t;

namespace millrace {

enum class Face : uint8_t { kBody, kSemibold, kItalic, kSemiboldItalic, kMono, kMonoBold, kMath };
inline constexpr int kFaces = 7;

struct TextStyle {
    Face face = Face::kBody;
    float size = 16;  // em, in device pixels
    bool operator==(const TextStyle&) const = default;
};

// `byte`: where the glyph's cluster begins in the text that was shaped.
struct ShapedGlyph {
    uint16_t font = 0;  // of FontSet
    uint32_t id = 0;
    float x = 0, y = 0;  // pen, from the start of the line; y up
    float advance = 0;
    uint32_t byte = 0;
};

struct ShapedLine {
    std::vector<ShapedGlyph> glyphs;  // in the order in which they stand, left to right
    TextStyle style;
    float width = 0, ascent = 0, descent = 0;  // ascent and descent of the face, not of the glyphs
};

// For those who break lines themselves: text in logical order, cluster by cluster.
struct StyleSpan {
    uint32_t begin = 0, end = 0;  // bytes of the text; spans follow each other and cover it
    TextStyle style;
};

struct ShapedText {
    struct Cluster {
        uint32_t begin = 0, end = 0;  // bytes of the text
        uint32_t glyph = 0, glyphs = 0;
        float advance = 0;
        uint16_t span = 0;  // index of the StyleSpan
        uint8_t level = 0;  // of embedding; odd: right to left
    };
    struct Glyph {
        uint32_t id = 0;
        uint16_t font = 0;
        float x = 0, y = 0, advance = 0;  // offset from the pen, y up
    };
    std::vector<Cluster> clusters;
    std::vector<Glyph> glyphs;  // those of a cluster stand left to right
    uint8_t level = 0;          // of the paragraph
};

// Fills `order` with the indices of clusters [begin, end), a line, as they stand from left to right.
void order_visually(const ShapedText& text, uint32_t begin, uint32_t end,
                    std::vector<uint32_t>& order);

class FontSet {
public:
    // `directory`: where font files lie, /usr/share/fonts. Fails only when not one usable text face is there.
    [[nodiscard]] static Result<std::unique_ptr<FontSet>> open(const Path& directory);
    virtual ~FontSet() = default;

    // Text that stays on one line: bidirectional, shaped, from a cache of recent lines (valid until the next call).
    // Line breaks and control characters become visible marks or spaces; bad UTF-8 becomes U+FFFD.
    [[nodiscard]] virtual const ShapedLine& line(std::string_view text, TextStyle style) = 0;
    // The same, cut with "…" so that it is no wider than `width`.
    [[nodiscard]] virtual const ShapedLine& line_within(std::string_view text, TextStyle style,
                                                        float width) = 0;
    virtual void draw(TextPainter& painter, const ShapedLine& line, float x, float baseline,
                      Ink ink) = 0;

    // Everything but line breaks; `out` is overwritten. As costly as the text is long.
    virtual void shape(std::string_view text, std::span<const StyleSpan> spans,
                       ShapedText& out) = 0;
    // Ascent and descent of the face, no text.
    [[nodiscard]] virtual ShapedLine metrics(TextStyle style) = 0;
    // The image of a glyph whose pen stands `fraction` (0, 0.25, 0.5 or 0.75) right of a pixel's left edge.
    [[nodiscard]] virtual AtlasGlyph image(uint16_t font, uint32_t id, float size,
                                           float fraction) = 0;
    // The same, drawn: the pen goes to the nearest quarter of a pixel, the baseline to a whole one.
    virtual void draw_glyph(TextPainter& painter, uint16_t font, uint32_t id, float size, float x,
                            float baseline, Ink ink) = 0;
    // The first font of the face that could be opened, and a font for HarfBuzz, whose units are those of its em
    // (hb_face_get_upem).
    [[nodiscard]] virtual uint16_t first_font(Face face) = 0;
    [[nodiscard]] virtual hb_font_t* harfbuzz_font(uint16_t font) = 0;

    [[nodiscard]] virtual GlyphAtlas& atlas() = 0;
    // What is missing, a sentence each with the package that has it; grows as text needs more.
    [[nodiscard]] virtual std::span<const std::string> notices() const = 0;
};

}  // namespace millrace
