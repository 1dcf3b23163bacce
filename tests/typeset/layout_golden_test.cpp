// Golden layouts: tests/golden/typeset/NAME.txt says where every run of glyphs stands, at scale 1 and 2, for NAME.md.
//   line TOP BASELINE LEFT..RIGHT
//     FONT X TEXT        one run of glyphs of one font, in the order in which they stand
//   shape KIND INK BOX
// Fonts are numbered as in ui/typeset/font_chain.cpp. Positions are whole pixels.

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/strings.h"
#include "tests/support/golden.h"
#include "tests/support/product_fonts.h"
#include "ui/typeset/message_chunks.h"
#include "ui/typeset/message_layout.h"

namespace millrace {
namespace {

long whole(float value) { return std::lround(value); }

void dump_line(std::string_view source, const MessageLayout& layout, const LaidLine& line,
               float top, std::string& out) {
    out += cat("line ", whole(top + line.top), " ", whole(top + line.baseline), " ",
               whole(line.left), "..", whole(line.right), "\n");
    for (uint32_t i = line.glyph_begin; i < line.glyph_end;) {
        const LaidGlyph& first = layout.glyphs[i];
        std::string text;
        size_t before = static_cast<size_t>(-1);
        for (; i < line.glyph_end && layout.glyphs[i].font == first.font; ++i) {
            const LaidGlyph& glyph = layout.glyphs[i];
            if (glyph.source_begin == before) continue;
            before = glyph.source_begin;
            text += source.substr(glyph.source_begin, glyph.source_end - glyph.source_begin);
        }
        for (char& c : text) c = c == '\n' ? '~' : c;
        if (first.font != kNoIndex)
            out += cat("  ", first.font, " ", whole(first.x), " ", text, "\n");
    }
}

std::string dump(std::string_view source, float scale) {
    std::vector<MessageChunk> chunks;
    split_message(source, ChunkMarks::kMarkdown, chunks);
    LayoutMaker maker(test::product_fonts());
    MessageLayout layout;
    std::string out = cat("scale ", whole(scale), "\n");
    float top = 0;
    for (const MessageChunk& chunk : chunks) {
        const MessageBlocks read = read_blocks(source, chunk, chunk.end);
        maker.lay_out(read, 400 * scale, {.scale = scale}, chunk.begin == 0, layout);
        for (const LaidLine& line : layout.lines) dump_line(source, layout, line, top, out);
        for (const LaidShape& shape : layout.shapes) {
            const Box& box = shape.box;
            out += cat("shape ", static_cast<int>(shape.kind), " ", static_cast<int>(shape.ink),
                       " ", whole(box.left), ",", whole(top + box.top), " ", whole(box.right), ",",
                       whole(top + box.bottom), "\n");
        }
        top += layout.height;
    }
    return out + cat("height ", whole(top), "\n");
}

TEST_CASE("layouts are those of tests/golden/typeset") {
    (void)test::product_fonts();
    for (const std::string_view name :
         {"paragraph", "cjk", "emoji", "arabic", "list", "code", "table"}) {
        CAPTURE(name);
        const std::string source = test::read_golden(cat("typeset/", name, ".md"));
        const std::string wanted = test::read_golden(cat("typeset/", name, ".txt"));
        const std::string found = dump(source, 1) + dump(source, 2);
        if (found != wanted) MESSAGE("laid out now:\n", found);
        CHECK((found == wanted));
    }
}

}  // namespace
}  // namespace millrace
