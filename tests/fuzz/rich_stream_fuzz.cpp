// Any bytes as a message that streams, in parts of random sizes, with the real highlighter and the real formulas: what is
// settled never moves, all of it is drawn at the end as if it had come at once, everything selected copies the source,
// and where one points lies in it. The first two bytes choose the parts and the width. Does nothing without fonts.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "ui/typeset/message_chunks.h"
#include "ui/typeset/rich_text.h"

namespace millrace {
namespace {

// All that is drawn, as one number.
class HashingPainter final : public TextPainter {
public:
    void glyph(const AtlasGlyph& glyph, float x, float baseline, Ink ink) override {
        add({x, baseline, glyph.left, glyph.top, static_cast<float>(glyph.width),
             static_cast<float>(ink)});
    }
    void fill(const Box& box, Ink ink, float radius) override {
        add({box.left, box.top, box.right, box.bottom, radius, static_cast<float>(ink)});
    }
    void outline(const Box& box, Ink ink, float radius) override { fill(box, ink, -radius); }
    void stroke(float x0, float y0, float x1, float y1, float thickness, Ink ink) override {
        add({x0, y0, x1, y1, thickness, static_cast<float>(ink)});
    }
    uint64_t hash = 14695981039346656037U;

private:
    void add(std::initializer_list<float> values) {
        for (const float value : values)
            hash = (hash ^ std::bit_cast<uint32_t>(value)) * 1099511628211U;
    }
};

FontSet* fonts() {
    static const std::unique_ptr<FontSet> opened = [] {
        auto set = FontSet::open("/usr/share/fonts");
        return set.ok() ? std::move(*set) : nullptr;
    }();
    return opened.get();
}

struct Parts {
    uint64_t state;
    size_t next() {
        state = state * 6364136223846793005U + 1442695040888963407U;
        const uint64_t r = state >> 33;
        // Mostly what a token gives, now and then a lot.
        return r % 5 == 0 ? 1 + (r >> 3) % 300 : 1 + (r >> 3) % 7;
    }
};

// What follows from a message's whole layout, at places that have settled.
struct Settled {
    size_t position = 0;
    Box box;
};

bool same(const Box& a, const Box& b) {
    return a.left == b.left && a.top == b.top && a.right == b.right && a.bottom == b.bottom;
}

// Chunks never move but for the last, and what a boundary depends on may yet come.
void note_settled(const RichText& text, std::vector<Settled>& settled) {
    constexpr size_t kLookAhead = 8;
    std::vector<MessageChunk> chunks;
    split_message(text.source(), ChunkMarks::kMarkdown, chunks);
    settled.clear();
    for (size_t i = 0; i + 1 < chunks.size(); ++i) {
        const MessageChunk& chunk = chunks[i];
        if (chunk.end + kLookAhead > text.source().size()) break;
        for (const size_t position : {chunk.begin, (chunk.begin + chunk.end) / 2, chunk.end - 1})
            settled.push_back({position, text.box_of(position)});
    }
}

void point(const RichText& text, float width) {
    const size_t size = text.source().size();
    for (float y = 1; y < std::min(text.height(), 400.F); y += 9) {
        for (float x = 1; x < width; x += 41) {
            ENSURE(text.position_at(x, y) <= size);
            const auto glyph = text.glyph_at(x, y);
            if (!glyph) continue;
            ENSURE(glyph->bytes.begin <= glyph->bytes.end && glyph->bytes.end <= size);
            ENSURE(glyph->along >= 0 && glyph->along <= 1);
        }
    }
}

uint64_t drawing(const RichText& text, TextRange marked) {
    HashingPainter painter;
    text.draw(painter, 0, 0, 0, 1e9F, {.selection = marked, .found = {}, .token = marked});
    return painter.hash;
}

void stream(std::string_view source, Parts parts, float width) {
    const auto text = RichText::create(*fonts(), Markup::kMarkdown);
    std::vector<Settled> settled;
    constexpr size_t kStepsMax = 16;
    for (size_t told = 0; told < source.size();) {
        told = std::min(source.size(), told + parts.next() + source.size() / kStepsMax);
        text->set(source.substr(0, told), Streaming::kYes);
        text->lay_out(width, {});
        for (const Settled& each : settled) ENSURE(same(each.box, text->box_of(each.position)));
        ENSURE(text->copy({0, told}, CopyAs::kMarkdown) == source.substr(0, told));
        (void)drawing(*text, {told / 2, told});
        note_settled(*text, settled);
    }
    text->set(source, Streaming::kNo);
    text->lay_out(width, {});
    for (const Settled& each : settled) ENSURE(same(each.box, text->box_of(each.position)));
    const auto whole = RichText::create(*fonts(), Markup::kMarkdown);
    whole->set(source, Streaming::kNo);
    whole->lay_out(width, {});
    const TextRange third = {source.size() / 3, source.size() / 3 * 2};
    ENSURE(drawing(*text, third) == drawing(*whole, third));
    ENSURE(text->height() == whole->height());
    ENSURE(text->copy({0, source.size()}, CopyAs::kPlain) ==
           whole->copy({0, source.size()}, CopyAs::kPlain));
    point(*text, width);
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    // What is longer is laid out in several calls, which rich_text_fuzz has.
    constexpr size_t kSizeMax = 32 << 10;
    if (size < 3 || size > kSizeMax || fonts() == nullptr) return 0;
    const std::string_view source(reinterpret_cast<const char*>(data) + 2, size - 2);
    stream(source, {data[0] * 977U + 1U}, 120 + 3 * static_cast<float>(data[1]));
    return 0;
}
