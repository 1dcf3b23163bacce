#include "ui/typeset/editor_layout.h"

#include <algorithm>
#include <cmath>

#include "ui/typeset/clusters.h"

namespace millrace {
namespace {

constexpr size_t kPieceMax = 1500;

bool breaks_after(std::string_view text, const ShapedText::Cluster& cluster) {
    const char last = text[cluster.end - 1];
    if (last == ' ' || last == '-' || last == '\t') return true;
    // Ideographs and kana: between any two.
    const auto first = static_cast<unsigned char>(text[cluster.begin]);
    return first >= 0xE3 && first <= 0xE9;
}

}  // namespace

std::vector<EditorLayout::Piece> EditorLayout::cut(std::string_view text) {
    std::vector<Piece> pieces;
    size_t at = 0;
    while (at < text.size()) {
        size_t end = std::min(text.find('\n', at), text.size());
        Piece piece;
        if (end - at > kPieceMax) {
            end = cluster_at(text, at + kPieceMax);
            const size_t space = text.rfind(' ', end);
            if (space != std::string_view::npos && space > at + kPieceMax / 2) end = space + 1;
        } else if (end < text.size()) {
            ++end;
            piece.ends_line = true;
        }
        piece.bytes = end - at;
        pieces.push_back(std::move(piece));
        at = end;
    }
    return pieces;
}

void EditorLayout::set_text(std::string_view text) {
    pieces_ = cut(text);
    if (pieces_.empty() || pieces_.back().ends_line) pieces_.emplace_back();
}

void EditorLayout::change(std::string_view text, size_t at, size_t removed, size_t inserted) {
    // The pieces that the change touches, and the rest of their long line, are cut anew.
    size_t first = 0, begin = 0;
    while (first + 1 < pieces_.size() && begin + pieces_[first].bytes <= at)
        begin += pieces_[first++].bytes;
    while (first > 0 && !pieces_[first - 1].ends_line && begin + pieces_[first].bytes > at) {
        if (at - begin > kPieceMax / 2) break;
        begin -= pieces_[--first].bytes;
    }
    size_t last = first, end = begin;
    while (last < pieces_.size() && (end < at + removed || last == first))
        end += pieces_[last++].bytes;
    // A break that was removed joins what comes next.
    if (last < pieces_.size() && (end == at + removed || !pieces_[last - 1].ends_line))
        end += pieces_[last++].bytes;
    const size_t new_end = end - removed + inserted;
    std::vector<Piece> fresh = cut(text.substr(begin, new_end - begin));
    const bool at_end = last == pieces_.size();
    if (at_end && (fresh.empty() || fresh.back().ends_line)) fresh.emplace_back();
    const auto from = pieces_.begin() + static_cast<ptrdiff_t>(first);
    const auto to = pieces_.begin() + static_cast<ptrdiff_t>(last);
    const auto where = pieces_.erase(from, to);
    pieces_.insert(where, std::make_move_iterator(fresh.begin()),
                   std::make_move_iterator(fresh.end()));
}

void EditorLayout::set_width(float width, TextStyle style) {
    if (width == width_ && style == style_) return;
    width_ = width;
    style_ = style;
    line_height_ = std::round(style.size * 1.5F);
    for (Piece& piece : pieces_) {
        piece.laid_out = false;
        piece.lines.clear();
    }
}

size_t EditorLayout::lines_of(const Piece& piece) const {
    if (piece.laid_out) return piece.lines.size();
    if (width_ <= 0) return 1;
    return 1 + static_cast<size_t>(static_cast<float>(piece.bytes) * style_.size * 0.5F / width_);
}

float EditorLayout::height() const {
    size_t lines = 0;
    for (const Piece& piece : pieces_) lines += lines_of(piece);
    return static_cast<float>(lines) * line_height_;
}

EditorLayout::Where EditorLayout::piece_of(size_t at) const {
    Where where;
    while (where.piece + 1 < pieces_.size()) {
        const Piece& piece = pieces_[where.piece];
        if (at < where.begin + piece.bytes) break;
        where.begin += piece.bytes;
        where.top += static_cast<float>(lines_of(piece)) * line_height_;
        ++where.piece;
    }
    return where;
}

EditorLayout::Line EditorLayout::make_line(const ShapedText& shaped, uint32_t first, uint32_t last,
                                           uint32_t end_byte) const {
    Line line;
    line.begin = first < shaped.clusters.size() ? shaped.clusters[first].begin : end_byte;
    line.end = end_byte;
    std::vector<uint32_t> order;
    order_visually(shaped, first, last, order);
    line.places.resize(last - first);
    float x = 0;
    for (const uint32_t index : order) {
        const ShapedText::Cluster& cluster = shaped.clusters[index];
        Place& place = line.places[index - first];
        place = {.byte = cluster.begin,
                 .left = x,
                 .right = x + cluster.advance,
                 .right_to_left = (cluster.level & 1) != 0};
        float pen = x;
        for (uint32_t g = cluster.glyph; g < cluster.glyph + cluster.glyphs; ++g) {
            line.glyphs.push_back(shaped.glyphs[g]);
            line.pens.push_back(pen);
            pen += shaped.glyphs[g].advance;
        }
        x += cluster.advance;
    }
    line.width = x;
    return line;
}

const std::vector<EditorLayout::Line>& EditorLayout::lay_out(std::string_view text,
                                                             const Piece& piece,
                                                             size_t begin) const {
    if (piece.laid_out) return piece.lines;
    piece.laid_out = true;
    piece.lines.clear();
    const size_t bytes = piece.bytes - (piece.ends_line ? 1 : 0);
    const std::string_view own = text.substr(begin, bytes);
    ShapedText shaped;
    const StyleSpan span = {0, static_cast<uint32_t>(own.size()), style_};
    if (!own.empty()) fonts_.shape(own, {&span, 1}, shaped);
    const auto count = static_cast<uint32_t>(shaped.clusters.size());
    uint32_t first = 0;
    while (first < count) {
        uint32_t end = first, fit = first;
        float x = 0;
        while (end < count) {
            const ShapedText::Cluster& cluster = shaped.clusters[end];
            // A space may hang over the edge.
            if (width_ > 0 && x + cluster.advance > width_ && end > first &&
                own[cluster.begin] != ' ')
                break;
            x += cluster.advance;
            ++end;
            if (breaks_after(own, cluster)) fit = end;
        }
        if (end < count && fit > first) end = fit;
        const uint32_t end_byte =
            end < count ? shaped.clusters[end].begin : static_cast<uint32_t>(own.size());
        piece.lines.push_back(make_line(shaped, first, end, end_byte));
        first = end;
    }
    if (piece.lines.empty()) piece.lines.emplace_back();
    return piece.lines;
}

size_t EditorLayout::line_index(const std::vector<Line>& lines, size_t byte) {
    size_t index = 0;
    while (index + 1 < lines.size() && byte >= lines[index + 1].begin) ++index;
    return index;
}

float EditorLayout::x_of(const Line& line, size_t byte) {
    for (const Place& place : line.places) {
        if (place.byte >= byte) return place.right_to_left ? place.right : place.left;
    }
    if (line.places.empty()) return 0;
    const Place& last = line.places.back();
    return last.right_to_left ? last.left : last.right;
}

Box EditorLayout::caret_box(std::string_view text, size_t at) const {
    const Where where = piece_of(at);
    const std::vector<Line>& lines = lay_out(text, pieces_[where.piece], where.begin);
    const size_t index = line_index(lines, at - where.begin);
    const float x = x_of(lines[index], at - where.begin);
    const float top = where.top + static_cast<float>(index) * line_height_;
    return {x, top, x + 1, top + line_height_};
}

size_t EditorLayout::position_at(std::string_view text, float x, float y) const {
    Where where;
    const std::vector<Line>* lines = nullptr;
    for (;; ++where.piece) {
        const Piece& piece = pieces_[where.piece];
        lines = &lay_out(text, piece, where.begin);
        const float height = static_cast<float>(lines->size()) * line_height_;
        if (y < where.top + height || where.piece + 1 == pieces_.size()) break;
        where.top += height;
        where.begin += piece.bytes;
    }
    const float row = std::floor((y - where.top) / line_height_);
    const auto index =
        static_cast<size_t>(std::clamp(row, 0.F, static_cast<float>(lines->size() - 1)));
    const Line& line = (*lines)[index];
    size_t best = line.end;
    float distance = std::abs(x - x_of(line, line.end));
    for (const Place& place : line.places) {
        const float edge = place.right_to_left ? place.right : place.left;
        if (std::abs(x - edge) < distance) {
            distance = std::abs(x - edge);
            best = place.byte;
        }
    }
    // The end of a wrapped line is the beginning of the next: before its last cluster one stays on this one.
    if (best == line.end && index + 1 < lines->size() && !line.places.empty())
        best = line.places.back().byte;
    return where.begin + best;
}

size_t EditorLayout::line_begin(std::string_view text, size_t at) const {
    const Where where = piece_of(at);
    const std::vector<Line>& lines = lay_out(text, pieces_[where.piece], where.begin);
    return where.begin + lines[line_index(lines, at - where.begin)].begin;
}

size_t EditorLayout::line_end(std::string_view text, size_t at) const {
    const Where where = piece_of(at);
    const std::vector<Line>& lines = lay_out(text, pieces_[where.piece], where.begin);
    const size_t index = line_index(lines, at - where.begin);
    const Line& line = lines[index];
    if (index + 1 < lines.size() && !line.places.empty())
        return where.begin + line.places.back().byte;
    return where.begin + line.end;
}

void EditorLayout::draw(std::string_view text, TextPainter& painter, float x, float y, float top,
                        float bottom, size_t selection_begin, size_t selection_end,
                        size_t composed_begin, size_t composed_end) const {
    size_t begin = 0;
    float line_top = y;
    const ShapedLine metrics = fonts_.metrics(style_);
    for (const Piece& piece : pieces_) {
        const float guess = static_cast<float>(lines_of(piece)) * line_height_;
        if (line_top > bottom) return;
        if (line_top + guess < top) {
            line_top += guess;
            begin += piece.bytes;
            continue;
        }
        for (const Line& line : lay_out(text, piece, begin)) {
            const auto marked = [&](size_t from, size_t to, const auto& mark) {
                for (size_t i = 0; i < line.places.size(); ++i) {
                    const size_t at = begin + line.places[i].byte;
                    if (at >= from && at < to)
                        mark(x + line.places[i].left, x + line.places[i].right);
                }
            };
            marked(selection_begin, selection_end, [&](float left, float right) {
                painter.fill({left, line_top, right, line_top + line_height_}, Ink::kSelection, 0);
            });
            const float baseline =
                std::round(line_top + (line_height_ + metrics.ascent - metrics.descent) / 2);
            for (size_t g = 0; g < line.glyphs.size(); ++g) {
                const ShapedText::Glyph& glyph = line.glyphs[g];
                fonts_.draw_glyph(painter, glyph.font, glyph.id, style_.size,
                                  x + line.pens[g] + glyph.x, baseline - glyph.y, Ink::kText);
            }
            marked(composed_begin, composed_end, [&](float left, float right) {
                painter.stroke(left, baseline + 3, right, baseline + 3, 1, Ink::kComposition);
            });
            line_top += line_height_;
        }
        begin += piece.bytes;
    }
}

}  // namespace millrace
