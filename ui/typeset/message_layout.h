#pragma once
// Blocks become lines of glyphs for one width. All positions are relative to the chunk's top left corner.

#include <cstdint>
#include <string>
#include <vector>

#include "ui/typeset/fonts.h"
#include "ui/typeset/line_breaks.h"
#include "ui/typeset/math.h"
#include "ui/typeset/message_blocks.h"
#include "ui/typeset/paint.h"

namespace millrace {

struct LaidGlyph {
    uint32_t id = 0;
    uint16_t font =
        kNoIndex;  // kNoIndex: nothing to draw (a space, a formula, whose glyphs are ornaments)
    uint16_t run = 0;
    float x = 0, y = 0;         // pen; y up from the baseline
    float left = 0, right = 0;  // of its cluster
    size_t source_begin = 0, source_end = 0;
    bool backward = false;  // read from right to left
};

struct LaidRun {
    float size = 16;
    Ink ink = Ink::kText;
    uint16_t link = kNoIndex, formula = kNoIndex;
};

struct LaidLine {
    float top = 0, bottom = 0, baseline = 0, left = 0, right = 0;
    uint32_t glyph_begin = 0, glyph_end = 0;
    size_t source_begin = 0, source_end = 0;
};

// Drawn, but not selected: bullets, the glyphs of formulas.
struct LaidOrnament {
    uint16_t font = 0;
    uint32_t id = 0;
    float size = 0, x = 0, baseline = 0;
    Ink ink = Ink::kText;
};

struct LaidShape {
    enum class Kind : uint8_t { kFill, kOutline, kStroke } kind = Kind::kFill;
    Box box = {};  // kStroke: from (left, top) to (right, bottom)
    Ink ink = Ink::kBorder;
    float radius = 0, thickness = 1;
    bool above = false;  // drawn after the text and its selection
};

struct MessageLayout {
    std::vector<LaidLine>
        lines;  // from top to bottom; cells of a table's row stand beside each other
    std::vector<LaidGlyph> glyphs;
    std::vector<LaidRun> runs;
    std::vector<LaidOrnament> ornaments;
    std::vector<LaidShape> shapes;
    std::vector<CodeBox> codes;
    float height = 0;

    void clear();
};

class LayoutMaker {
public:
    explicit LayoutMaker(FontSet& fonts) : fonts_(fonts) {}

    // `first`: the message begins with it, so that nothing stands above.
    void lay_out(const MessageBlocks& read, float width, const TypeScale& type, bool first,
                 MessageLayout& out);

private:
    struct Place {
        float left = 0, width = 0, top = 0;
        CellAlign align = CellAlign::kStart;
        Face face = Face::kBody;
        float size = 16;
        Ink ink = Ink::kText;
        bool code = false;  // every piece is code: no panels behind words
    };
    // Returns the bottom.
    float flow(const TextFlow& text, const Place& place);
    void shape(const TextFlow& text, const Place& place);
    [[nodiscard]] TextStyle style_of(const TextPiece& piece, const Place& place) const;
    [[nodiscard]] uint32_t line_end(const TextFlow& text, uint32_t begin, float width,
                                    bool& hard) const;
    float place_line(const TextFlow& text, const Place& place, uint32_t begin, uint32_t end,
                     float top);
    void place_cluster(const TextFlow& text, const ShapedText::Cluster& cluster, float x,
                       float baseline);
    float place_formula(const TextPiece& piece, LaidGlyph& glyph, float x, float baseline, Ink ink);
    void decorate(const TextFlow& text, const LaidLine& line);
    [[nodiscard]] float natural_width(const TextFlow& text, const Place& place);

    float text_block(const Block& block, float top);
    float code_block(const Block& block, float top);
    float table_block(const Block& block, float top);
    float table_row(const Block& block, size_t row, std::span<const float> widths, float left,
                    float top);
    [[nodiscard]] std::vector<float> column_widths(const Block& block, float room);
    void marker(const Block& block, const Place& place, size_t first_line);
    [[nodiscard]] float pixels(float at_scale_1) const;

    FontSet& fonts_;
    const MessageBlocks* read_ = nullptr;
    MessageLayout* out_ = nullptr;
    TypeScale type_;
    float width_ = 0;
    // Of the flow that is being laid out.
    ShapedText shaped_;
    std::vector<StyleSpan> spans_;
    std::vector<uint32_t> span_pieces_;  // the piece of each span
    std::vector<BreakBefore> breaks_;
    std::vector<uint32_t> order_;
    std::vector<MathLayout> formulas_;  // of the chunk
    uint32_t first_run_ = 0;
};

}  // namespace millrace
