#include "ui/typeset/message_layout.h"

#include <algorithm>
#include <cmath>

#include "ui/typeset/highlight.h"

namespace millrace {
namespace {

constexpr float kHeadingSizes[] = {26, 22, 19, 16, 16, 16};
constexpr float kCodePadding = 12, kCodeRadius = 8;
constexpr size_t kTabColumns = 4;

// Code with its colours: pieces between which the ink changes; tabs reach to the next column of four.
TextFlow coloured(const Block& block) {
    TextFlow out;
    const std::string& text = block.flow.text;
    const Highlighter& highlighter = Highlighter::named(block.language);
    HighlightState state = 0;
    std::vector<ColourSpan> spans;
    size_t line_begin = 0;  // in `out`
    const auto put = [&](size_t begin, size_t end, Ink ink) {
        while (begin < end) {
            const size_t tab = std::min(text.find('\t', begin), end);
            TextPiece look = {.ink = ink, .code = true};
            if (tab > begin) {
                // What stands for its source as a whole (U+FFFD for a NUL) keeps doing so.
                const TextPiece& piece = *block.flow.piece_at(begin);
                const size_t stop = std::min<size_t>(tab, piece.end);
                look.unit = piece.unit;
                out.add(std::string_view(text).substr(begin, stop - begin), look,
                        block.flow.source_at(begin), block.flow.source_before(stop));
                begin = stop;
                continue;
            }
            begin = tab;
            if (begin >= end) break;
            const size_t column = out.text.size() - line_begin;
            TextPiece unit = look;
            unit.unit = true;
            out.add(std::string(kTabColumns - column % kTabColumns, ' '), unit,
                    block.flow.source_at(begin), block.flow.source_before(begin + 1));
            ++begin;
        }
    };
    for (size_t at = 0; at <= text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const size_t shown = end > at && text[end - 1] == '\r' ? end - 1 : end;
        spans.clear();
        state = highlighter.line(std::string_view(text).substr(at, shown - at), state, spans);
        size_t done = at;
        for (const ColourSpan& span : spans) {
            put(done, std::min(at + span.begin, shown), Ink::kCode);
            put(std::max(done, std::min(at + span.begin, shown)), std::min(at + span.end, shown),
                span.ink);
            done = std::max(done, std::min(at + span.end, shown));
        }
        put(done, shown, Ink::kCode);
        if (end < text.size()) {
            TextPiece unit = {.ink = Ink::kCode, .unit = true, .code = true};
            out.add("\n", unit, block.flow.source_at(end), block.flow.source_before(end + 1));
            line_begin = out.text.size();
        }
        at = end + 1;
    }
    return out;
}

}  // namespace

void MessageLayout::clear() {
    lines.clear();
    glyphs.clear();
    runs.clear();
    ornaments.clear();
    shapes.clear();
    codes.clear();
    height = 0;
}

float LayoutMaker::pixels(float at_scale_1) const { return std::round(at_scale_1 * type_.scale); }

void LayoutMaker::lay_out(const MessageBlocks& read, float width, const TypeScale& type, bool first,
                          MessageLayout& out) {
    out.clear();
    read_ = &read;
    out_ = &out;
    type_ = type;
    width_ = width;
    formulas_.clear();
    for (const MessageFormula& formula : read.formulas) {
        formulas_.push_back(lay_out_math(fonts_, formula.latex,
                                         formula.display ? MathStyle::kDisplay : MathStyle::kInline,
                                         type.body * type.scale));
    }
    float top = 0;
    const Block* before = nullptr;
    for (const Block& block : read.blocks) {
        const bool at_top = first && &block == &read.blocks.front();
        const float above = top;
        top += at_top ? 0 : pixels(block.gap);
        const float text_top = top;
        switch (block.kind) {
            case BlockKind::kText: top = text_block(block, top); break;
            case BlockKind::kCode: top = code_block(block, top); break;
            case BlockKind::kTable: top = table_block(block, top); break;
            case BlockKind::kRule: {
                const float y = top + pixels(4);
                out.shapes.push_back(
                    {.box = {pixels(block.indent), y, width, y + std::max(1.0F, pixels(1))}});
                top = y + pixels(5);
                break;
            }
        }
        for (size_t bar = 0; bar < block.quote_bars.size(); ++bar) {
            const float left = pixels(block.quote_bars[bar]);
            const bool joins = before != nullptr && before->quote_bars.size() > bar;
            out.shapes.push_back({.box = {left, joins ? above : text_top, left + pixels(3), top},
                                  .ink = Ink::kQuoteBar});
        }
        before = &block;
    }
    out.height = top;
}

float LayoutMaker::text_block(const Block& block, float top) {
    Place place = {.left = pixels(block.indent), .top = top, .size = type_.body * type_.scale};
    place.width = std::max(width_ - place.left, pixels(40));
    if (block.heading > 0) {
        const float heading = kHeadingSizes[std::min<size_t>(block.heading, 6) - 1];
        place.size = std::round(heading * type_.body / 16 * type_.scale * 4) / 4;
        place.face = Face::kSemibold;
    }
    if (!block.quote_bars.empty()) place.ink = Ink::kMuted;
    const size_t first_line = out_->lines.size();
    const float bottom = flow(block.flow, place);
    marker(block, place, first_line);
    return bottom;
}

// Right of the margin that the item's text keeps.
void LayoutMaker::marker(const Block& block, const Place& place, size_t first_line) {
    if (block.marker.empty()) return;
    const float height = std::round(place.size * type_.line_height);
    const ShapedLine face = fonts_.metrics({place.face, place.size});
    float baseline = place.top + std::round((height + face.ascent - face.descent) / 2);
    if (first_line < out_->lines.size()) baseline = out_->lines[first_line].baseline;
    const float right = place.left - pixels(8);
    if (block.task != Task::kNone) {
        const float side = pixels(13);
        const Box box = {right - side, baseline - side + pixels(1), right, baseline + pixels(1)};
        const bool done = block.task == Task::kDone;
        out_->shapes.push_back({.kind = done ? LaidShape::Kind::kFill : LaidShape::Kind::kOutline,
                                .box = box,
                                .ink = done ? Ink::kAccent : Ink::kMuted,
                                .radius = pixels(3)});
        if (!done) return;
        const float x = box.left, y = box.top, unit = side / 13;
        const float thick = 1.6F * type_.scale;
        const auto stroke = [&](Box from_to) {
            out_->shapes.push_back({.kind = LaidShape::Kind::kStroke,
                                    .box = from_to,
                                    .ink = Ink::kCodePanel,
                                    .thickness = thick});
        };
        stroke({x + 3 * unit, y + 6.5F * unit, x + 5.5F * unit, y + 9 * unit});
        stroke({x + 5.5F * unit, y + 9 * unit, x + 10 * unit, y + 4 * unit});
        return;
    }
    const ShapedLine& line = fonts_.line(block.marker, {Face::kBody, type_.body * type_.scale});
    const float x = std::max(right - line.width, block.marker == "•" ? right - pixels(8) : 0.0F);
    for (const ShapedGlyph& glyph : line.glyphs) {
        out_->ornaments.push_back(
            {glyph.font, glyph.id, line.style.size, x + glyph.x, baseline - glyph.y, Ink::kMuted});
    }
}

float LayoutMaker::code_block(const Block& block, float top) {
    const float left = pixels(block.indent), padding = pixels(kCodePadding);
    Place place = {.left = left + padding, .top = top + padding, .face = Face::kMono};
    place.size = type_.mono * type_.scale;
    place.width = std::max(width_ - place.left - padding, pixels(40));
    place.ink = Ink::kCode;
    place.code = true;
    const size_t shape = out_->shapes.size();
    out_->shapes.push_back({.ink = Ink::kCodePanel, .radius = pixels(kCodeRadius)});
    const TextFlow code = coloured(block);
    const float bottom = flow(code, place) + padding;
    out_->shapes[shape].box = {left, top, std::max(width_, left + pixels(40)), bottom};
    out_->codes.push_back({out_->shapes[shape].box, block.language, block.code});
    return bottom;
}

// Columns get what they want; when that is too much, the wide ones share what the narrow ones leave.
std::vector<float> LayoutMaker::column_widths(const Block& block, float room) {
    const size_t columns = block.aligns.size();
    std::vector<float> wanted(columns, 0);
    const Place place = {.size = type_.body * type_.scale};
    for (size_t i = 0; i < block.cells.size(); ++i) {
        float& width = wanted[i % columns];
        if (width < room) width = std::max(width, natural_width(block.cells[i], place));
    }
    const float padding = 2 * pixels(10);
    for (float& width : wanted) width = std::ceil(width) + padding + 1;
    float total = 0;
    for (const float width : wanted) total += width;
    if (total <= room) return wanted;
    std::vector<float> sorted = wanted;
    std::sort(sorted.begin(), sorted.end());
    float left = room;
    float limit = room / static_cast<float>(columns);
    for (size_t i = 0; i < columns; ++i) {
        limit = left / static_cast<float>(columns - i);
        if (sorted[i] > limit) break;
        left -= sorted[i];
    }
    for (float& width : wanted) width = std::floor(std::min(width, std::max(limit, 1.0F)));
    return wanted;
}

float LayoutMaker::table_block(const Block& block, float top) {
    if (block.aligns.empty()) return top;
    const float left = pixels(block.indent);
    const std::vector<float> widths = column_widths(block, std::max(width_ - left, pixels(40)));
    float total = 0;
    for (const float width : widths) total += width;
    const size_t rows = block.cells.size() / block.aligns.size();
    const size_t head = out_->shapes.size();
    out_->shapes.push_back({.ink = Ink::kTableHead, .radius = pixels(6)});
    float y = top;
    for (size_t row = 0; row < rows; ++row) {
        const float bottom = table_row(block, row, widths, left, y);
        if (row == 0) out_->shapes[head].box = {left, top, left + total, bottom};
        if (row > 0) {
            out_->shapes.push_back({.box = {left, y, left + total, y + std::max(1.0F, pixels(1))}});
        }
        y = bottom;
    }
    out_->shapes.push_back({.kind = LaidShape::Kind::kOutline,
                            .box = {left, top, left + total, y},
                            .radius = pixels(6)});
    return y;
}

float LayoutMaker::table_row(const Block& block, size_t row, std::span<const float> widths,
                             float left, float top) {
    const float inset = pixels(10), above = pixels(5);
    float bottom = top + above + std::round(type_.body * type_.scale * type_.line_height);
    for (size_t column = 0; column < widths.size(); ++column) {
        Place place = {.left = left + inset,
                       .width = std::max(widths[column] - 2 * inset, 4.0F),
                       .top = top + above,
                       .align = block.aligns[column],
                       .face = row == 0 ? Face::kSemibold : Face::kBody,
                       .size = type_.body * type_.scale};
        bottom = std::max(bottom, flow(block.cells[row * widths.size() + column], place));
        left += widths[column];
    }
    return bottom + above;
}

}  // namespace millrace
