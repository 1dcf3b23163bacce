#include "ui/typeset/fonts.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <list>
#include <unordered_map>

#include "ui/typeset/font_chain.h"
#include "ui/typeset/shaper.h"

namespace millrace {
namespace {

constexpr size_t kLinesMax = 2000;
constexpr size_t kLineBytesMax = 4096;  // a line that stays one line; what is longer ends in "…"
constexpr std::string_view kEllipsis = "…";

struct LineKey {
    std::string text;
    TextStyle style;
    float width;  // negative: not cut
    bool operator==(const LineKey&) const = default;
};

uint64_t mixed(uint64_t value) {
    value *= 0x9E3779B97F4A7C15U;
    return value ^ (value >> 29);
}

uint64_t hash_of(std::string_view text, TextStyle style, float width) {
    uint64_t hash = std::hash<std::string_view>()(text);
    hash = mixed(hash ^ std::bit_cast<uint32_t>(style.size));
    hash = mixed(hash ^ std::bit_cast<uint32_t>(width));
    return mixed(hash ^ static_cast<uint64_t>(style.face));
}

struct KeyHash {
    size_t operator()(uint64_t key) const { return mixed(key); }
};

// The longest beginning of at most `bytes` that ends between characters.
std::string_view whole_prefix(std::string_view text, size_t bytes) {
    if (text.size() <= bytes) return text;
    while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
    return text.substr(0, bytes);
}

class Fonts final : public FontSet {
public:
    explicit Fonts(std::unique_ptr<FontChain> chain) : chain_(std::move(chain)), shaper_(*chain_) {}

    const ShapedLine& line(std::string_view text, TextStyle style) override {
        return cached(text, style, -1);
    }

    const ShapedLine& line_within(std::string_view text, TextStyle style, float width) override {
        return cached(text, style, std::max(width, 0.0F));
    }

    void draw(TextPainter& painter, const ShapedLine& line, float x, float baseline,
              Ink ink) override {
        for (const ShapedGlyph& glyph : line.glyphs) {
            draw_glyph(painter, glyph.font, glyph.id, line.style.size, x + glyph.x,
                       baseline - glyph.y, ink);
        }
    }

    void shape(std::string_view text, std::span<const StyleSpan> spans, ShapedText& out) override {
        shaper_.shape(text, spans, out);
    }

    ShapedLine metrics(TextStyle style) override {
        const FontFile& font = chain_->font(chain_->first(style.face));
        ShapedLine line;
        line.style = style;
        line.ascent = font.ascent() * style.size;
        line.descent = font.descent() * style.size;
        return line;
    }

    AtlasGlyph image(uint16_t font, uint32_t id, float size, float fraction) override {
        if (atlas_.generation() != generation_) {
            images_.clear();
            generation_ = atlas_.generation();
        }
        const auto steps = static_cast<uint64_t>(fraction * 4) & 3;
        const auto units = static_cast<uint64_t>(std::clamp(size, 1.0F, 2000.0F) * 64);
        const uint64_t key =
            (units << 40) | (steps << 38) | (uint64_t{font} << 24) | (id & 0xFFFFFF);
        const auto found = images_.find(key);
        if (found != images_.end()) return found->second;
        const AtlasGlyph made = rasterise(font, id, static_cast<float>(units) / 64, fraction);
        if (atlas_.generation() != generation_) {
            images_.clear();
            generation_ = atlas_.generation();
        }
        images_.emplace(key, made);
        return made;
    }

    void draw_glyph(TextPainter& painter, uint16_t font, uint32_t id, float size, float x,
                    float baseline, Ink ink) override {
        const float quarters = std::floor(x * 4 + 0.5F);
        const float pixel = std::floor(quarters / 4);
        const AtlasGlyph glyph = image(font, id, size, quarters / 4 - pixel);
        if (glyph.width != 0) painter.glyph(glyph, pixel, std::floor(baseline + 0.5F), ink);
    }

    uint16_t first_font(Face face) override { return chain_->first(face); }
    hb_font_t* harfbuzz_font(uint16_t font) override { return chain_->font(font).harfbuzz(); }
    GlyphAtlas& atlas() override { return atlas_; }
    std::span<const std::string> notices() const override { return chain_->notices(); }

private:
    struct Entry {
        LineKey key;
        uint64_t hash;
        ShapedLine line;
    };

    AtlasGlyph rasterise(uint16_t font, uint32_t id, float size, float fraction) {
        chain_->font(font).picture(id, size, fraction, picture_);
        AtlasGlyph glyph;
        if (picture_.width == 0 || picture_.height == 0) return glyph;
        const auto place = atlas_.add(picture_.width, picture_.height);
        if (!place) return glyph;
        atlas_.write(*place, picture_.width, picture_.height, picture_.rgba);
        glyph = {.page = place->page,
                 .x = place->x,
                 .y = place->y,
                 .width = static_cast<uint16_t>(picture_.width),
                 .height = static_cast<uint16_t>(picture_.height),
                 .left = picture_.coloured ? picture_.left : picture_.left * picture_.scale,
                 .top = picture_.coloured ? picture_.top : picture_.top * picture_.scale,
                 .scale = picture_.scale,
                 .coloured = picture_.coloured};
        return glyph;
    }

    const ShapedLine& cached(std::string_view text, TextStyle style, float width) {
        // No more is looked at than could be seen: a sixteenth of an em for each byte.
        size_t bytes = kLineBytesMax;
        if (width >= 0) {
            const float fitting = 64 + 16 * width / std::max(style.size, 1.0F);
            bytes = std::min(bytes, static_cast<size_t>(fitting));
        }
        const std::string_view seen = whole_prefix(text, bytes);
        const bool more = seen.size() < text.size();
        const uint64_t hash = hash_of(seen, style, width) ^ (more ? 1 : 0);
        const auto found = index_.find(hash);
        if (found != index_.end()) {
            const Entry& entry = *found->second;
            if (entry.key.text.size() == seen.size() + (more ? 1 : 0) &&
                seen == std::string_view(entry.key.text).substr(0, seen.size()) &&
                entry.key.style == style && entry.key.width == width) {
                entries_.splice(entries_.begin(), entries_, found->second);
                return entries_.front().line;
            }
            entries_.erase(found->second);
            index_.erase(found);
        }
        if (entries_.size() == kLinesMax) {
            index_.erase(entries_.back().hash);
            entries_.pop_back();
        }
        std::string key(seen);
        if (more) key += '\n';
        entries_.push_front({.key = {std::move(key), style, width}, .hash = hash, .line = {}});
        index_.emplace(hash, entries_.begin());
        entries_.front().line = make_line(seen, more, style, width);
        return entries_.front().line;
    }

    ShapedLine make_line(std::string_view text, bool more, TextStyle style, float width) {
        ShapedLine whole =
            one_line(more ? std::string(text).append(kEllipsis) : std::string(text), style);
        if (width < 0 || whole.width <= width) return whole;
        const float room = width - one_line(kEllipsis, style).width;
        // Logical order: what is read first stays.
        const StyleSpan span = {
            .begin = 0, .end = static_cast<uint32_t>(text.size()), .style = style};
        shaper_.shape(text, {&span, 1}, shaped_);
        float used = 0;
        size_t keep = 0;
        for (const ShapedText::Cluster& cluster : shaped_.clusters) {
            if (used + cluster.advance > room) break;
            used += cluster.advance;
            keep = cluster.end;
        }
        while (keep > 0 && text[keep - 1] == ' ') --keep;
        ShapedLine cut = one_line(std::string(text.substr(0, keep)).append(kEllipsis), style);
        if (cut.width > width) cut = one_line("", style);  // not even "…" fits
        return cut;
    }

    ShapedLine one_line(std::string_view text, TextStyle style) {
        ShapedLine line = metrics(style);
        const StyleSpan span = {
            .begin = 0, .end = static_cast<uint32_t>(text.size()), .style = style};
        shaper_.shape(text, {&span, 1}, shaped_);
        order_visually(shaped_, 0, static_cast<uint32_t>(shaped_.clusters.size()), order_);
        line.glyphs.reserve(shaped_.glyphs.size());
        for (const uint32_t at : order_) {
            const ShapedText::Cluster& cluster = shaped_.clusters[at];
            for (uint32_t i = cluster.glyph; i < cluster.glyph + cluster.glyphs; ++i) {
                const ShapedText::Glyph& glyph = shaped_.glyphs[i];
                line.glyphs.push_back({.font = glyph.font,
                                       .id = glyph.id,
                                       .x = line.width + glyph.x,
                                       .y = glyph.y,
                                       .advance = glyph.advance,
                                       .byte = cluster.begin});
                line.width += glyph.advance;
            }
        }
        return line;
    }

    std::unique_ptr<FontChain> chain_;
    Shaper shaper_;
    GlyphAtlas atlas_;
    uint64_t generation_ = 0;
    std::unordered_map<uint64_t, AtlasGlyph, KeyHash> images_;
    std::list<Entry> entries_;  // the most recent first
    std::unordered_map<uint64_t, std::list<Entry>::iterator, KeyHash> index_;
    GlyphPicture picture_;
    ShapedText shaped_;
    std::vector<uint32_t> order_;
};

}  // namespace

// Rules L1 and L2 of Unicode's bidirectional algorithm; levels of spaces at the end of a line are those of the paragraph
// when the caller leaves them out of it.
void order_visually(const ShapedText& text, uint32_t begin, uint32_t end,
                    std::vector<uint32_t>& order) {
    order.clear();
    uint8_t highest = 0, lowest_odd = 255;
    for (uint32_t i = begin; i < end; ++i) {
        order.push_back(i);
        const uint8_t level = text.clusters[i].level;
        highest = std::max(highest, level);
        if ((level & 1) != 0) lowest_odd = std::min(lowest_odd, level);
    }
    for (int level = highest; level >= lowest_odd; --level) {
        for (size_t i = 0; i < order.size();) {
            if (text.clusters[order[i]].level < level) {
                ++i;
                continue;
            }
            size_t last = i;
            while (last < order.size() && text.clusters[order[last]].level >= level) ++last;
            std::reverse(order.begin() + static_cast<std::ptrdiff_t>(i),
                         order.begin() + static_cast<std::ptrdiff_t>(last));
            i = last;
        }
    }
}

Result<std::unique_ptr<FontSet>> FontSet::open(const Path& directory) {
    std::unique_ptr<FontChain> chain = TRY(FontChain::open(directory));
    std::unique_ptr<FontSet> set = std::make_unique<Fonts>(std::move(chain));
    return set;
}

}  // namespace millrace
