#include "ui/canvas.h"

#include <algorithm>
#include <cmath>

#include "ui/window.h"

namespace millrace {
namespace {

ImU32 packed(Colour c) { return IM_COL32(c.red, c.green, c.blue, c.alpha); }

}  // namespace

void Canvas::glyph(const AtlasGlyph& glyph, float x, float baseline, Ink ink) {
    if (glyph.width == 0) return;
    constexpr float kTexel = 1.F / GlyphAtlas::kPageSize;
    float left = x + glyph.left, top = baseline - glyph.top;
    // Glyphs are rasterised for whole pixels; between them they would only become blurred.
    if (glyph.scale == 1) {
        left = std::round(left);
        top = std::round(top);
    }
    const float right = left + glyph.width * glyph.scale;
    const float bottom = top + glyph.height * glyph.scale;
    const Colour colour = glyph.coloured ? Colour{255, 255, 255, 255}
                          : has_own_     ? own_
                                         : theme_->ink(ink);
    const auto texture = reinterpret_cast<ImTextureID>(page_texture(glyph.page));
    const ImVec2 from = {glyph.x * kTexel, glyph.y * kTexel};
    const ImVec2 to = {(glyph.x + glyph.width) * kTexel, (glyph.y + glyph.height) * kTexel};
    list_->AddImage(texture, {left, top}, {right, bottom}, from, to, packed(colour));
}

void Canvas::fill(const Box& box, Colour colour, float radius) {
    if (box.width() <= 0 || box.height() <= 0) return;
    list_->AddRectFilled({box.left, box.top}, {box.right, box.bottom}, packed(colour), radius);
}
void Canvas::outline(const Box& box, Colour colour, float radius, float thickness) {
    if (box.width() <= 0 || box.height() <= 0) return;
    list_->AddRect({box.left, box.top}, {box.right, box.bottom}, packed(colour), radius, 0,
                   thickness);
}
void Canvas::line(float x0, float y0, float x1, float y1, float thickness, Colour colour) {
    list_->AddLine({x0, y0}, {x1, y1}, packed(colour), thickness);
}
void Canvas::polyline(const ImVec2* points, int count, float thickness, Colour colour) {
    if (count >= 2) list_->AddPolyline(points, count, packed(colour), 0, thickness);
}
void Canvas::disc(float x, float y, float radius, Colour colour) {
    list_->AddCircleFilled({x, y}, radius, packed(colour));
}
void Canvas::ring(float x, float y, float radius, float thickness, Colour colour) {
    list_->AddCircle({x, y}, radius, packed(colour), 0, thickness);
}
void Canvas::triangle(ImVec2 a, ImVec2 b, ImVec2 c, Colour colour) {
    list_->AddTriangleFilled(a, b, c, packed(colour));
}
void Canvas::push_clip(const Box& box) {
    list_->PushClipRect({box.left, box.top}, {box.right, box.bottom}, true);
}
void Canvas::pop_clip() { list_->PopClipRect(); }
Box Canvas::clip() const {
    const ImVec2 low = list_->GetClipRectMin(), high = list_->GetClipRectMax();
    return {low.x, low.y, high.x, high.y};
}

}  // namespace millrace
