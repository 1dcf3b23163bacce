#include "ui/typeset/rich_text.h"

#include <algorithm>
#include <cmath>

#include "ui/typeset/message_blocks.h"
#include "ui/typeset/message_chunks.h"
#include "ui/typeset/message_layout.h"
#include "ui/typeset/message_words.h"

namespace millrace {
namespace {

// Bytes that one call lays out. What is further down is guessed until the next call, or until it is drawn.
constexpr size_t kLayOutBytes = 48 << 10;
constexpr size_t kBytesMax = size_t{1} << 31;

struct LaidChunk {
    MessageChunk chunk;
    size_t shown_end = 0;
    bool was_read = false, laid_out = false;
    float top = 0, height = 0;
    MessageBlocks read = {};
    MessageLayout layout = {};
};

class Message final : public RichText {
public:
    Message(FontSet& fonts, Markup markup)
        : fonts_(fonts),
          maker_(fonts),
          marks_(markup == Markup::kMarkdown ? ChunkMarks::kMarkdown : ChunkMarks::kFencesOnly) {}

    void set(std::string_view source, Streaming streaming) override {
        source = source.substr(0, kBytesMax);
        if (source == source_ && streaming == streaming_) return;
        const size_t common = static_cast<size_t>(
            std::mismatch(source_.begin(),
                          source_.begin() +
                              static_cast<std::ptrdiff_t>(std::min(source.size(), source_.size())),
                          source.begin())
                .first -
            source_.begin());
        // The last chunk may grow, and one whose end depended on what has changed may end elsewhere.
        size_t keep = chunks_.size();
        while (keep > 0 && chunks_[keep - 1].chunk.end + kLookAhead > common) --keep;
        source_.resize(common);
        source_.append(source.substr(common));
        streaming_ = streaming;
        chunks_.resize(keep);
        std::vector<MessageChunk> split;
        if (keep > 0) split.push_back(chunks_.back().chunk);
        const size_t known = split.size();
        split_message(source_, marks_, split);
        const size_t total = keep + split.size() - known;
        if (total > chunks_.capacity()) chunks_.reserve(std::max(total, keep + keep / 2));
        for (size_t i = known; i < split.size(); ++i) {
            LaidChunk& added = chunks_.emplace_back();
            added.chunk = split[i];
            added.shown_end = split[i].end;
        }
        if (streaming == Streaming::kYes && chunks_.size() > keep) {
            chunks_.back().shown_end = shown_end(source_, chunks_.back().chunk);
        }
        changed_ = true;
    }

    const std::string& source() const override { return source_; }

    void lay_out(float width, const TypeScale& type) override {
        width = std::clamp(width, 40.0F, 20000.0F);
        if (width != width_ || !(type == type_)) {
            for (LaidChunk& each : chunks_) each.laid_out = false;
            width_ = width;
            type_ = type;
            changed_ = true;
        }
        if (!changed_) return;
        size_t bytes = 0;
        changed_ = false;
        for (LaidChunk& each : chunks_) {
            if (each.laid_out) continue;
            if (bytes >= kLayOutBytes) {
                each.height = guess(each);
                changed_ = true;
                continue;
            }
            bytes += each.chunk.end - each.chunk.begin;
            lay_out_chunk(each);
        }
        stack(0);
        collect_codes();
    }

    float height() const override { return height_; }
    float reach() const override {
        constexpr size_t kChunksMax = 4;
        if (chunks_.size() > kChunksMax) return width_;
        float reach = 0;
        for (size_t i = 0; i < chunks_.size(); ++i) {
            ensure_laid_out(i);
            for (const LaidLine& line : chunks_[i].layout.lines)
                reach = std::max(reach, line.right);
            if (!chunks_[i].layout.shapes.empty()) return width_;
        }
        return std::min(width_, std::ceil(reach));
    }

    void draw(TextPainter& painter, float x, float y, float top, float bottom,
              const TextMarks& marks) const override {
        x = std::round(x);
        y = std::round(y);
        for (size_t i = chunk_below(top - y); i < chunks_.size(); ++i) {
            if (y + chunks_[i].top >= bottom) break;
            ensure_laid_out(i);
            const LaidChunk& chunk = chunks_[i];
            draw_chunk(painter, chunk.layout, x, y + chunk.top, top, bottom, marks);
        }
    }

    size_t position_at(float x, float y) const override {
        if (chunks_.empty()) return 0;
        const size_t index = std::min(chunk_below(y), chunks_.size() - 1);
        const LaidLine* line = nullptr;
        size_t owner = index;
        // A chunk may show nothing; then the one above or below is nearest.
        for (size_t step = 0; step < 2 * chunks_.size() && line == nullptr; ++step) {
            const size_t at =
                step % 2 == 0 ? index - std::min(index, step / 2) : index + step / 2 + 1;
            if (at >= chunks_.size()) continue;
            ensure_laid_out(at);
            owner = at;
            line = nearest_line(chunks_[at].layout, x, y - chunks_[at].top);
            if (step > 64) break;
        }
        return line == nullptr ? 0 : position_in(chunks_[owner].layout, *line, x);
    }

    Box box_of(size_t position) const override {
        if (chunks_.empty()) return {};
        const size_t index = chunk_of(position);
        ensure_laid_out(index);
        const LaidChunk& chunk = chunks_[index];
        const LaidLine* best = nullptr;
        for (const LaidLine& line : chunk.layout.lines) {
            if (best == nullptr || line.source_begin <= position) best = &line;
        }
        if (best == nullptr) return {0, chunk.top, 1, chunk.top + chunk.height};
        Box box = {best->right, chunk.top + best->top, best->right + 1, chunk.top + best->bottom};
        size_t nearest = static_cast<size_t>(-1);
        for (uint32_t i = best->glyph_begin; i < best->glyph_end; ++i) {
            const LaidGlyph& glyph = chunk.layout.glyphs[i];
            if (glyph.source_end <= position || glyph.source_begin >= nearest) continue;
            nearest = glyph.source_begin;
            box.left = glyph.left;
            box.right = glyph.right;
        }
        return box;
    }

    TextRange word_at(size_t position) const override {
        const Found found = flow_at(position);
        if (found.flow == nullptr) return {position, position};
        const TextRange word = word_around(found.flow->text, found.byte);
        return {found.flow->source_at(word.begin), found.flow->source_before(word.end)};
    }

    TextRange paragraph_at(size_t position) const override {
        const Found found = flow_at(position);
        if (found.flow == nullptr) return {position, position};
        return {found.flow->source_begin(), found.flow->source_end()};
    }

    std::optional<GlyphPlace> glyph_at(float x, float y) const override {
        size_t chunk = 0;
        const LaidGlyph* const glyph = laid_glyph_at(x, y, chunk);
        if (glyph == nullptr) return std::nullopt;
        const float along = (x - glyph->left) / (glyph->right - glyph->left);
        return GlyphPlace{{glyph->source_begin, glyph->source_end},
                          glyph->backward ? 1 - along : along};
    }

    std::optional<std::string> link_at(float x, float y) const override {
        size_t chunk = 0;
        const LaidRun* const run = run_at(x, y, chunk);
        if (run == nullptr || run->link == kNoIndex) return std::nullopt;
        return chunks_[chunk].read.links[run->link];
    }

    std::optional<std::string> formula_at(float x, float y) const override {
        size_t chunk = 0;
        const LaidRun* const run = run_at(x, y, chunk);
        if (run == nullptr || run->formula == kNoIndex) return std::nullopt;
        return chunks_[chunk].read.formulas[run->formula].latex;
    }

    std::span<const CodeBox> code_boxes() const override { return codes_; }

    std::vector<TextRange> find(std::string_view needle, size_t count_max) const override {
        std::vector<TextRange> found;
        FoldedText folded;
        fold_case(needle, folded);
        if (folded.text.empty()) return found;
        for (LaidChunk& each : chunks_) {
            if (found.size() >= count_max) break;
            read_chunk(each);
            find_in(each.read, folded.text, count_max, found);
        }
        return found;
    }

    std::string copy(TextRange range, CopyAs as) const override {
        range.end = std::min(range.end, source_.size());
        if (range.empty()) return {};
        if (as == CopyAs::kMarkdown) {
            if (marks_ == ChunkMarks::kMarkdown) {
                const TextRange first = extended(range, range.begin),
                                last = extended(range, range.end - 1);
                range = {first.begin, std::max(first.end, last.end)};
            }
            return source_.substr(range.begin, range.end - range.begin);
        }
        std::string out;
        for (size_t i = chunk_of(range.begin);
             i < chunks_.size() && chunks_[i].chunk.begin < range.end; ++i) {
            read_chunk(chunks_[i]);
            std::string part;
            copy_plain(chunks_[i].read, range, part);
            if (part.empty()) continue;
            const MessageChunk& chunk = chunks_[i].chunk;
            if (!out.empty()) out += chunk.in_line ? "" : chunk.continues ? "\n" : "\n\n";
            out += part;
        }
        return out;
    }

private:
    // A boundary depends on this many bytes behind it.
    static constexpr size_t kLookAhead = 8;
    struct Found {
        const TextFlow* flow = nullptr;
        size_t byte = 0;
    };

    TextRange extended(TextRange range, size_t at) const {
        return with_marks(source_, read_at(at), range);
    }
    const MessageBlocks& read_at(size_t position) const {
        LaidChunk& chunk = chunks_[chunk_of(position)];
        read_chunk(chunk);
        return chunk.read;
    }

    void read_chunk(LaidChunk& each) const {
        if (each.was_read) return;
        each.read = read_blocks(source_, each.chunk, each.shown_end);
        each.was_read = true;
    }

    void lay_out_chunk(LaidChunk& each) const {
        read_chunk(each);
        maker_.lay_out(each.read, width_, type_, &each == chunks_.data(), each.layout);
        each.laid_out = true;
        each.height = each.layout.height;
    }

    void ensure_laid_out(size_t index) const {
        LaidChunk& chunk = chunks_[index];
        if (chunk.laid_out || width_ == 0) return;
        const float before = chunk.height;
        lay_out_chunk(chunk);
        if (chunk.height != before) stack(index);
    }

    [[nodiscard]] float guess(const LaidChunk& each) const {
        const float em = type_.body * type_.scale;
        const auto bytes = static_cast<float>(each.chunk.end - each.chunk.begin);
        return std::round(std::max(1.0F, bytes * em * 0.45F / width_) * em * type_.line_height +
                          12 * type_.scale);
    }

    void stack(size_t from) const {
        float top = from == 0 ? 0 : chunks_[from].top;
        for (size_t i = from; i < chunks_.size(); ++i) {
            chunks_[i].top = top;
            top += chunks_[i].height;
        }
        height_ = top;
    }

    void collect_codes() {
        codes_.clear();
        for (const LaidChunk& each : chunks_) {
            if (!each.laid_out) continue;
            for (const CodeBox& code : each.layout.codes) {
                const Box box = {code.box.left, code.box.top + each.top, code.box.right,
                                 code.box.bottom + each.top};
                if (each.chunk.continues && !codes_.empty()) {
                    codes_.back().box.bottom = box.bottom;
                    codes_.back().code.end = code.code.end;
                } else {
                    codes_.push_back({box, code.language, code.code});
                }
            }
        }
    }

    // The first chunk that reaches below y.
    [[nodiscard]] size_t chunk_below(float y) const {
        const auto found = std::partition_point(
            chunks_.begin(), chunks_.end(),
            [&](const LaidChunk& each) { return each.top + each.height <= y; });
        return static_cast<size_t>(found - chunks_.begin());
    }

    [[nodiscard]] size_t chunk_of(size_t position) const {
        const auto after =
            std::partition_point(chunks_.begin(), chunks_.end(),
                                 [&](const LaidChunk& each) { return each.chunk.end <= position; });
        return after == chunks_.end() ? chunks_.size() - 1
                                      : static_cast<size_t>(after - chunks_.begin());
    }

    [[nodiscard]] Found flow_at(size_t position) const {
        Found best;
        if (chunks_.empty()) return best;
        const auto consider = [&](const TextFlow& flow) {
            for (const TextPiece& piece : flow.pieces) {
                if (best.flow != nullptr && piece.source_begin > position) return;
                best = {&flow, piece.begin};
                if (piece.source_begin > position) return;
                const size_t into = std::min(position, piece.source_end) - piece.source_begin;
                best.byte =
                    piece.unit ? piece.begin : std::min<size_t>(piece.begin + into, piece.end - 1);
            }
        };
        for (const Block& block : read_at(position).blocks) {
            consider(block.flow);
            for (const TextFlow& cell : block.cells) consider(cell);
        }
        return best;
    }

    [[nodiscard]] static const LaidLine* nearest_line(const MessageLayout& layout, float x,
                                                      float y) {
        const LaidLine* best = nullptr;
        float best_distance = 0;
        for (const LaidLine& line : layout.lines) {
            const float beside = std::max({line.left - x, x - line.right, 0.0F});
            const float above = std::max({line.top - y, y - line.bottom, 0.0F});
            const float distance = beside + above * 1000;
            if (best != nullptr && distance >= best_distance) continue;
            best = &line;
            best_distance = distance;
        }
        return best;
    }

    [[nodiscard]] static size_t position_in(const MessageLayout& layout, const LaidLine& line,
                                            float x) {
        const LaidGlyph* best = nullptr;
        float best_distance = 0;
        for (uint32_t i = line.glyph_begin; i < line.glyph_end; ++i) {
            const LaidGlyph& glyph = layout.glyphs[i];
            const float distance = std::max({glyph.left - x, x - glyph.right, 0.0F});
            if (best != nullptr && distance >= best_distance) continue;
            best = &glyph;
            best_distance = distance;
        }
        if (best == nullptr) return line.source_begin;
        const bool in_left_half = x < (best->left + best->right) / 2;
        return in_left_half != best->backward ? best->source_begin : best->source_end;
    }

    [[nodiscard]] const LaidGlyph* laid_glyph_at(float x, float y, size_t& index) const {
        index = chunk_below(y);
        if (index >= chunks_.size()) return nullptr;
        ensure_laid_out(index);
        const LaidChunk& chunk = chunks_[index];
        for (const LaidLine& line : chunk.layout.lines) {
            if (y - chunk.top < line.top || y - chunk.top >= line.bottom) continue;
            for (uint32_t i = line.glyph_begin; i < line.glyph_end; ++i) {
                const LaidGlyph& glyph = chunk.layout.glyphs[i];
                if (x >= glyph.left && x < glyph.right) return &glyph;
            }
        }
        return nullptr;
    }

    [[nodiscard]] const LaidRun* run_at(float x, float y, size_t& index) const {
        const LaidGlyph* const glyph = laid_glyph_at(x, y, index);
        return glyph == nullptr ? nullptr : &chunks_[index].layout.runs[glyph->run];
    }

    void draw_chunk(TextPainter& painter, const MessageLayout& layout, float x, float y, float top,
                    float bottom, const TextMarks& marks) const {
        draw_shapes(painter, layout, x, y, top, bottom, false);
        // Lines of a table's row are not sorted by their bottoms, but nearly: none is far above its neighbour.
        for (const LaidLine& line : layout.lines) {
            if (y + line.bottom <= top || y + line.top >= bottom) continue;
            draw_marks(painter, layout, line, x, y, marks);
            for (uint32_t i = line.glyph_begin; i < line.glyph_end; ++i) {
                const LaidGlyph& glyph = layout.glyphs[i];
                if (glyph.font == kNoIndex) continue;
                const LaidRun& run = layout.runs[glyph.run];
                fonts_.draw_glyph(painter, glyph.font, glyph.id, run.size, x + glyph.x,
                                  y + line.baseline - glyph.y, run.ink);
            }
        }
        for (const LaidOrnament& each : layout.ornaments) {
            const float baseline = y + each.baseline;
            if (baseline + each.size < top || baseline - 2 * each.size >= bottom) continue;
            fonts_.draw_glyph(painter, each.font, each.id, each.size, x + each.x, baseline,
                              each.ink);
        }
        draw_shapes(painter, layout, x, y, top, bottom, true);
    }

    static void draw_shapes(TextPainter& painter, const MessageLayout& layout, float x, float y,
                            float top, float bottom, bool above) {
        for (const LaidShape& shape : layout.shapes) {
            if (shape.above != above) continue;
            const Box box = {x + shape.box.left, y + shape.box.top, x + shape.box.right,
                             y + shape.box.bottom};
            if (box.bottom < top || box.top >= bottom) continue;
            switch (shape.kind) {
                case LaidShape::Kind::kFill: painter.fill(box, shape.ink, shape.radius); break;
                case LaidShape::Kind::kOutline:
                    painter.outline(box, shape.ink, shape.radius);
                    break;
                case LaidShape::Kind::kStroke:
                    painter.stroke(box.left, box.top, box.right, box.bottom, shape.thickness,
                                   shape.ink);
                    break;
            }
        }
    }

    static void draw_marks(TextPainter& painter, const MessageLayout& layout, const LaidLine& line,
                           float x, float y, const TextMarks& marks) {
        draw_range(painter, layout, line, x, y, marks.token, Ink::kToken);
        const auto after = std::partition_point(
            marks.found.begin(), marks.found.end(),
            [&](const TextRange& range) { return range.end <= line.source_begin; });
        for (auto at = after; at != marks.found.end() && at->begin < line.source_end; ++at) {
            const bool here = static_cast<size_t>(at - marks.found.begin()) == marks.found_here;
            draw_range(painter, layout, line, x, y, *at, here ? Ink::kFoundHere : Ink::kFound);
        }
        draw_range(painter, layout, line, x, y, marks.selection, Ink::kSelection);
    }

    // Beneath the text: one box for glyphs that stand side by side.
    static void draw_range(TextPainter& painter, const MessageLayout& layout, const LaidLine& line,
                           float x, float y, TextRange range, Ink ink) {
        if (range.begin >= line.source_end || range.end <= line.source_begin) return;
        Box box = {0, y + line.top, 0, y + line.bottom};
        bool open = false;
        for (uint32_t i = line.glyph_begin; i < line.glyph_end; ++i) {
            const LaidGlyph& glyph = layout.glyphs[i];
            const bool inside = glyph.source_begin < range.end && glyph.source_end > range.begin;
            if (inside) {
                if (!open) box.left = x + glyph.left;
                box.right = x + glyph.right;
                open = true;
            } else if (open) {
                painter.fill(box, ink, 0);
                open = false;
            }
        }
        if (open) painter.fill(box, ink, 0);
    }

    FontSet& fonts_;
    mutable LayoutMaker maker_;
    ChunkMarks marks_;
    std::string source_;
    Streaming streaming_ = Streaming::kNo;
    // Laid out when they are first seen, which asking and drawing do too.
    mutable std::vector<LaidChunk> chunks_;
    mutable float height_ = 0;
    std::vector<CodeBox> codes_;
    float width_ = 0;
    TypeScale type_;
    bool changed_ = true;
};

}  // namespace

std::unique_ptr<RichText> RichText::create(FontSet& fonts, Markup markup) {
    return std::make_unique<Message>(fonts, markup);
}

}  // namespace millrace
