#pragma once
// Which parts of the window a frame changes: what is drawn is compared with what was drawn before. Software OpenGL pays for
// every pixel, with processors that the engine wants; there, only those parts are drawn and shown.
//
// The window is a grid of tiles. Each remembers a hash of all that touched it, in drawing order: grounds, and triangles with
// their clip and texture. Measured at 1440 × 900 while an answer is written: see docs/performance.md.

#include <imgui.h>

#include <cstdint>
#include <span>
#include <vector>

#include "ui/theme.h"
#include "ui/typeset/paint.h"

namespace millrace {

// A part of the window in one colour.
struct Ground {
    Box box;
    Colour colour;
};

class Damage {
public:
    static constexpr size_t kBoxesMax = 6;

    // Compares with the frame before, and remembers this one. Boxes in whole pixels, at most kBoxesMax, none touching
    // another's pixels; the whole window in the first frame, after `forget`, and when the size is another one. Valid until
    // the next call.
    [[nodiscard]] std::span<const Box> next(const ImDrawData& data, std::span<const Ground> grounds,
                                            int width, int height);
    // What is on the screen is not what was drawn last.
    void forget() { width_ = height_ = 0; }

private:
    static constexpr int kTile = 32;  // pixels

    void touch(const Box& box, uint64_t hash);
    void add_triangles(const ImDrawList& list, const ImDrawCmd& command);
    void gather();

    int width_ = 0, height_ = 0, across_ = 0;
    std::vector<uint64_t> before_, now_;  // [rows of tiles · across_]
    std::vector<Box> boxes_;
};

// Leaves in the draw lists what touches a box: a command becomes one for each box, clipped to it, with the triangles that
// reach into it.
void restrict_to(ImDrawData& data, std::span<const Box> boxes);

}  // namespace millrace
