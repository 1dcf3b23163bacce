#pragma once
// What the text layer draws with. It knows glyphs, boxes and roles of colour; who implements this knows the window and
// the theme. Coordinates are device pixels, y downward.

#include <cstdint>

namespace millrace {

// What a colour is for. The theme gives each one its value.
enum class Ink : uint8_t {
    kText,
    kMuted,
    kAccent,
    kLink,
    kCode,  // text of code
    kCodeKeyword,
    kCodeString,
    kCodeComment,
    kCodeNumber,
    kCodeType,
    kCodeFunction,
    kCodePanel,  // behind code
    kTableHead,  // behind the first row of a table
    kBorder,
    kQuoteBar,
    kSelection,
    kFound,      // a match of a search
    kFoundHere,  // the match that one stands at
    kToken,      // a token of the model that is looked at
    kCaret,
    kComposition,  // under text that an input method has not finished
    kError,
};
inline constexpr int kInks = 22;

struct Box {
    float left = 0, top = 0, right = 0, bottom = 0;
    [[nodiscard]] float width() const { return right - left; }
    [[nodiscard]] float height() const { return bottom - top; }
    [[nodiscard]] bool contains(float x, float y) const {
        return x >= left && x < right && y >= top && y < bottom;
    }
};

// A glyph's image in the atlas (glyph_atlas.h).
struct AtlasGlyph {
    uint16_t page = 0;
    uint16_t x = 0, y = 0, width = 0, height = 0;  // pixels of the page; no width: nothing to draw
    float left = 0, top = 0;  // of the image, from the pen on the baseline: right and up
    float scale = 1;          // pixels of the screen for one of the page
    bool coloured = false;    // an emoji: has its own colours
};

class TextPainter {
public:
    virtual ~TextPainter() = default;
    // The pen stands at (x, baseline).
    virtual void glyph(const AtlasGlyph& glyph, float x, float baseline, Ink ink) = 0;
    virtual void fill(const Box& box, Ink ink, float radius) = 0;
    virtual void outline(const Box& box, Ink ink, float radius) = 0;
    virtual void stroke(float x0, float y0, float x1, float y1, float thickness, Ink ink) = 0;
};

}  // namespace millrace
