#pragma once
// The lines of an editor's text. The text is cut into pieces (a line, or a part of a long one); each is laid out when it is
// first looked at and stays so until it changes. So neither a megabyte nor a line without end makes a key slow.

#include <string_view>
#include <vector>

#include "ui/typeset/fonts.h"
#include "ui/typeset/paint.h"

namespace millrace {

class EditorLayout {
public:
    explicit EditorLayout(FontSet& fonts) : fonts_(fonts) {}

    // All anew.
    void set_text(std::string_view text);
    // `text` is the text after [at, at + removed) became `inserted` bytes.
    void change(std::string_view text, size_t at, size_t removed, size_t inserted);
    // No wrap: `width` 0.
    void set_width(float width, TextStyle style);

    [[nodiscard]] float height() const;  // of pieces that nobody has looked at: guessed
    [[nodiscard]] float line_height() const { return line_height_; }

    // `text` as of the last change, in all below.
    [[nodiscard]] Box caret_box(std::string_view text, size_t at) const;
    [[nodiscard]] size_t position_at(std::string_view text, float x, float y) const;
    [[nodiscard]] size_t line_begin(std::string_view text, size_t at) const;
    [[nodiscard]] size_t line_end(std::string_view text, size_t at) const;
    void draw(std::string_view text, TextPainter& painter, float x, float y, float top,
              float bottom, size_t selection_begin, size_t selection_end, size_t composed_begin,
              size_t composed_end) const;

private:
    struct Place {
        uint32_t byte = 0;  // of the piece
        float left = 0, right = 0;
        bool right_to_left = false;
    };
    struct Line {
        uint32_t begin = 0, end = 0;  // bytes of the piece; without what ends it
        std::vector<Place> places;    // clusters, in logical order
        std::vector<ShapedText::Glyph> glyphs;
        std::vector<float> pens;
        float width = 0;
    };
    struct Piece {
        size_t bytes = 0;
        bool ends_line = false;  // by a line break, which is its last byte
        mutable bool laid_out = false;
        mutable std::vector<Line> lines;
    };
    struct Where {
        size_t piece = 0, begin = 0;  // first byte
        float top = 0;
    };

    [[nodiscard]] static std::vector<Piece> cut(std::string_view text);
    [[nodiscard]] Where piece_of(size_t at) const;
    [[nodiscard]] size_t lines_of(const Piece& piece) const;
    const std::vector<Line>& lay_out(std::string_view text, const Piece& piece, size_t begin) const;
    [[nodiscard]] Line make_line(const ShapedText& shaped, uint32_t first, uint32_t last,
                                 uint32_t end_byte) const;
    // The line of `piece` in which the caret at `byte` of the piece stands.
    [[nodiscard]] static size_t line_index(const std::vector<Line>& lines, size_t byte);
    [[nodiscard]] static float x_of(const Line& line, size_t byte);

    FontSet& fonts_;
    std::vector<Piece> pieces_ = {Piece{}};
    float width_ = 0, line_height_ = 24;
    TextStyle style_;
};

}  // namespace millrace
