// A flow of text in its place: shaped, broken into lines, reordered, with what lies behind and below its words.

#include <algorithm>
#include <cmath>

#include "core/base/utf8.h"
#include "ui/typeset/message_layout.h"

namespace millrace {
namespace {

Face face_with(Face face, const TextPiece& piece) {
    const bool bold = piece.strong || face == Face::kSemibold || face == Face::kMonoBold;
    if (piece.code) return bold && face != Face::kMono ? Face::kMonoBold : Face::kMono;
    if (piece.emphasis) return bold ? Face::kSemiboldItalic : Face::kItalic;
    return bold ? Face::kSemibold : face;
}

bool same_look(const TextPiece& a, const TextPiece& b) {
    return a.link == b.link && a.formula == b.formula && a.ink == b.ink && a.strong == b.strong &&
           a.emphasis == b.emphasis && a.code == b.code && a.struck == b.struck;
}

}  // namespace

TextStyle LayoutMaker::style_of(const TextPiece& piece, const Place& place) const {
    const float size =
        piece.code && !place.code ? place.size * type_.mono / type_.body : place.size;
    return {face_with(place.face, piece), size};
}

void LayoutMaker::shape(const TextFlow& text, const Place& place) {
    spans_.clear();
    span_pieces_.clear();
    for (uint32_t i = 0; i < text.pieces.size(); ++i) {
        const TextPiece& piece = text.pieces[i];
        if (!spans_.empty() && same_look(text.pieces[span_pieces_.back()], piece)) {
            spans_.back().end = piece.end;
            continue;
        }
        spans_.push_back({piece.begin, piece.end, style_of(piece, place)});
        span_pieces_.push_back(i);
    }
    fonts_.shape(text.text, spans_, shaped_);
    for (ShapedText::Cluster& cluster : shaped_.clusters) {
        const uint16_t formula = text.pieces[span_pieces_[cluster.span]].formula;
        if (formula != kNoIndex) cluster.advance = formulas_[formula].width;
        if (text.text[cluster.begin] == '\n') cluster.advance = 0;
    }
    find_breaks(text.text, shaped_, breaks_);
}

float LayoutMaker::natural_width(const TextFlow& text, const Place& place) {
    shape(text, place);
    float width = 0, widest = 0;
    for (size_t i = 0; i < shaped_.clusters.size(); ++i) {
        if (breaks_[i] == BreakBefore::kMust) width = 0;
        width += shaped_.clusters[i].advance;
        widest = std::max(widest, width);
    }
    return widest;
}

// The first cluster of the next line. Spaces at the end of a line may hang over its edge.
uint32_t LayoutMaker::line_end(const TextFlow& text, uint32_t begin, float width,
                               bool& hard) const {
    const auto count = static_cast<uint32_t>(shaped_.clusters.size());
    const auto displays = [&](uint32_t i) {
        const uint16_t formula = text.pieces[span_pieces_[shaped_.clusters[i].span]].formula;
        return formula != kNoIndex && read_->formulas[formula].display;
    };
    hard = false;
    if (displays(begin)) return begin + 1;
    float used = 0;
    uint32_t may = begin;
    for (uint32_t i = begin; i < count; ++i) {
        if (i > begin && breaks_[i] == BreakBefore::kMust) {
            hard = true;
            return i;
        }
        if (i > begin && displays(i)) return i;
        if (breaks_[i] == BreakBefore::kMay) may = i;
        const char first = text.text[shaped_.clusters[i].begin];
        const bool hangs = first == ' ' || first == '\n';
        if (i > begin && !hangs && used + shaped_.clusters[i].advance > width + 0.01F) {
            if (may > begin) return may;
            // Clusters of one character stay together.
            uint32_t cut = i;
            while (cut > begin && shaped_.clusters[cut - 1].begin == shaped_.clusters[cut].begin)
                --cut;
            return cut > begin ? cut : i;
        }
        used += shaped_.clusters[i].advance;
    }
    return count;
}

float LayoutMaker::flow(const TextFlow& text, const Place& place) {
    const float line_height = std::round(place.size * type_.line_height);
    if (text.text.empty()) return place.top + line_height;
    shape(text, place);
    first_run_ = static_cast<uint32_t>(out_->runs.size());
    for (size_t i = 0; i < spans_.size(); ++i) {
        const TextPiece& piece = text.pieces[span_pieces_[i]];
        const Ink ink = piece.ink == Ink::kText ? place.ink : piece.ink;
        out_->runs.push_back({spans_[i].style.size, ink, piece.link, piece.formula});
    }
    float top = place.top;
    const auto count = static_cast<uint32_t>(shaped_.clusters.size());
    for (uint32_t begin = 0; begin < count;) {
        bool hard = false;
        const uint32_t end = line_end(text, begin, place.width, hard);
        top = place_line(text, place, begin, end, top);
        begin = end;
    }
    // Code that ends in an empty line shows it.
    if (text.text.back() == '\n' && place.code) top += line_height;
    return top;
}

float LayoutMaker::place_line(const TextFlow& text, const Place& place, uint32_t begin,
                              uint32_t end, float top) {
    const auto& clusters = shaped_.clusters;
    uint32_t seen = end;  // without the spaces at the end
    while (seen > begin && (text.text[clusters[seen - 1].begin] == ' ' ||
                            text.text[clusters[seen - 1].begin] == '\n')) {
        --seen;
    }
    float width = 0;
    const ShapedLine face = fonts_.metrics({place.face, place.size});
    float above = face.ascent, below = face.descent;
    bool display = false;
    for (uint32_t i = begin; i < seen; ++i) {
        width += clusters[i].advance;
        const uint16_t formula = text.pieces[span_pieces_[clusters[i].span]].formula;
        if (formula == kNoIndex) continue;
        above = std::max(above, formulas_[formula].ascent + pixels(1));
        below = std::max(below, formulas_[formula].descent + pixels(1));
        display = display || read_->formulas[formula].display;
    }
    const float extra = std::max(0.0F, place.size * type_.line_height - face.ascent - face.descent);
    const float height = std::round(above + below + (display ? extra * 2 : extra));
    LaidLine line = {.top = top, .bottom = top + height};
    line.baseline = std::round(top + above + (height - above - below) / 2);
    const bool backward = (shaped_.level & 1) != 0;
    CellAlign align = place.align;
    if (display) align = CellAlign::kCentre;
    const float slack = std::max(0.0F, place.width - width);
    const bool right =
        backward ? align == CellAlign::kStart && !place.code : align == CellAlign::kEnd;
    line.left = place.left + (align == CellAlign::kCentre ? std::floor(slack / 2)
                              : right                     ? slack
                                                          : 0.0F);
    line.glyph_begin = static_cast<uint32_t>(out_->glyphs.size());
    float x = line.left;
    order_visually(shaped_, begin, seen, order_);
    if (!backward) {
        for (uint32_t i = seen; i < end; ++i) order_.push_back(i);
    }
    for (const uint32_t at : order_) {
        place_cluster(text, clusters[at], x, line.baseline);
        x += clusters[at].advance;
    }
    line.right = line.left + width;
    line.glyph_end = static_cast<uint32_t>(out_->glyphs.size());
    line.source_begin = text.source_at(clusters[begin].begin);
    line.source_end = text.source_before(clusters[end - 1].end);
    if (!place.code) decorate(text, line);
    out_->lines.push_back(line);
    return line.bottom;
}

void LayoutMaker::place_cluster(const TextFlow& text, const ShapedText::Cluster& cluster, float x,
                                float baseline) {
    const TextPiece& piece = text.pieces[span_pieces_[cluster.span]];
    LaidGlyph laid = {.run = static_cast<uint16_t>(first_run_ + cluster.span)};
    laid.left = x;
    laid.right = x + cluster.advance;
    laid.source_begin = text.source_at(cluster.begin);
    laid.source_end = text.source_before(cluster.end);
    laid.backward = (cluster.level & 1) != 0;
    const char first = text.text[cluster.begin];
    if (piece.formula != kNoIndex) {
        laid.x = x;
        place_formula(piece, laid, x, baseline, out_->runs[laid.run].ink);
        out_->glyphs.push_back(laid);
    } else if (first == ' ' || first == '\n' || cluster.glyphs == 0) {
        laid.x = x;
        out_->glyphs.push_back(laid);
    } else {
        float pen = x;
        for (uint32_t i = cluster.glyph; i < cluster.glyph + cluster.glyphs; ++i) {
            const ShapedText::Glyph& glyph = shaped_.glyphs[i];
            laid.id = glyph.id;
            laid.font = glyph.font;
            laid.x = pen + glyph.x;
            laid.y = glyph.y;
            pen += glyph.advance;
            out_->glyphs.push_back(laid);
        }
    }
}

float LayoutMaker::place_formula(const TextPiece& piece, LaidGlyph& glyph, float x, float baseline,
                                 Ink ink) {
    const MathLayout& math = formulas_[piece.formula];
    for (const MathLayout::Glyph& each : math.glyphs) {
        out_->ornaments.push_back(
            {each.font, each.id, each.size, x + each.x, baseline + each.y, ink});
    }
    for (const MathLayout::Rule& rule : math.rules) {
        const Box& box = rule.box;
        out_->shapes.push_back(
            {.box = {x + box.left, baseline + box.top, x + box.right, baseline + box.bottom},
             .ink = ink,
             .above = true});
    }
    glyph.font = kNoIndex;
    return math.width;
}

// Panels behind code, lines under links and through what is struck.
void LayoutMaker::decorate(const TextFlow& text, const LaidLine& line) {
    const auto& glyphs = out_->glyphs;
    for (uint32_t i = line.glyph_begin; i < line.glyph_end;) {
        const uint16_t run = glyphs[i].run;
        float left = glyphs[i].left, right = glyphs[i].right;
        for (; i < line.glyph_end && glyphs[i].run == run; ++i)
            right = std::max(right, glyphs[i].right);
        const TextPiece& piece = text.pieces[span_pieces_[run - first_run_]];
        const float size = out_->runs[run].size;
        const float thick = std::max(1.0F, std::round(size / 16));
        right = std::min(right, std::max(line.right, left));
        if (piece.code) {
            out_->shapes.push_back(
                {.box = {left - pixels(2), line.baseline - std::round(size * 1.05F),
                         right + pixels(2), line.baseline + std::round(size * 0.35F)},
                 .ink = Ink::kCodePanel,
                 .radius = pixels(4)});
        }
        if (piece.link != kNoIndex) {
            const float y = line.baseline + std::round(size * 0.14F);
            out_->shapes.push_back(
                {.box = {left, y, right, y + thick}, .ink = Ink::kLink, .above = true});
        }
        if (piece.struck) {
            const float y = line.baseline - std::round(size * 0.3F);
            out_->shapes.push_back(
                {.box = {left, y, right, y + thick}, .ink = out_->runs[run].ink, .above = true});
        }
    }
}

}  // namespace millrace
