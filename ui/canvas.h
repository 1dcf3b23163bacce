#pragma once
// Draws the text layer and plain shapes into one of Dear ImGui's draw lists, in the colours of a theme.

#include <imgui.h>

#include "ui/theme.h"
#include "ui/typeset/paint.h"

namespace millrace {

class Canvas final : public TextPainter {
public:
    Canvas() = default;
    void use(ImDrawList* list, const Theme& theme) {
        list_ = list;
        theme_ = &theme;
    }

    void glyph(const AtlasGlyph& glyph, float x, float baseline, Ink ink) override;
    void fill(const Box& box, Ink ink, float radius) override {
        fill(box, theme_->ink(ink), radius);
    }
    void outline(const Box& box, Ink ink, float radius) override {
        outline(box, theme_->ink(ink), radius, 1);
    }
    void stroke(float x0, float y0, float x1, float y1, float thickness, Ink ink) override {
        line(x0, y0, x1, y1, thickness, theme_->ink(ink));
    }

    void fill(const Box& box, Colour colour, float radius);
    void outline(const Box& box, Colour colour, float radius, float thickness);
    void line(float x0, float y0, float x1, float y1, float thickness, Colour colour);
    void polyline(const ImVec2* points, int count, float thickness, Colour colour);
    void disc(float x, float y, float radius, Colour colour);
    void ring(float x, float y, float radius, float thickness, Colour colour);
    void triangle(ImVec2 a, ImVec2 b, ImVec2 c, Colour colour);

    void push_clip(const Box& box);
    void pop_clip();
    [[nodiscard]] Box clip() const;

    // Text of the lines that follow is drawn in `colour` instead of its ink's, until it is taken back.
    void set_colour(Colour colour) {
        own_ = colour;
        has_own_ = true;
    }
    void unset_colour() { has_own_ = false; }

private:
    ImDrawList* list_ = nullptr;
    const Theme* theme_ = nullptr;
    Colour own_;
    bool has_own_ = false;
};

}  // namespace millrace
