// Messages: streamed, selected, searched, copied, drawn; and hostile ones.

#include "ui/typeset/rich_text.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/support/pixel_painter.h"
#include "tests/support/product_fonts.h"
#include "ui/typeset/message_chunks.h"

namespace millrace {
namespace {

using test::product_fonts;

constexpr std::string_view kSample =
    "# Title with `code`\n\nA **bold** word, a [link](https://example.org/x) and $a_b*c$ in "
    "line.\nSecond line &amp; "
    "\\*escape\\*.\n\n- one\n- two\n  1. nested\n\n- three after a blank line\n\n| A | B "
    "|\n|---|--:|\n| x | 1 |\n| "
    "longer | 22 |\n\n```py\ndef f():\n\treturn 1\n```\nText after code 中文，混排。\n\n> quote\n> "
    "more\n\nمرحبا abc "
    "بالعالم\n\n$$\\sum x$$\n\n---\n\nBefore code\n```\nx\n```\n## Under it\nand "
    "below\n~~~\ny\n~~~\nEnd 😀 text.";

// Counts what is shaped, which is what laying out costs.
class CountingFonts final : public FontSet {
public:
    explicit CountingFonts(FontSet& fonts) : fonts_(fonts) {}
    const ShapedLine& line(std::string_view text, TextStyle style) override {
        return fonts_.line(text, style);
    }
    const ShapedLine& line_within(std::string_view text, TextStyle style, float width) override {
        return fonts_.line_within(text, style, width);
    }
    void draw(TextPainter& painter, const ShapedLine& line, float x, float baseline,
              Ink ink) override {
        fonts_.draw(painter, line, x, baseline, ink);
    }
    void shape(std::string_view text, std::span<const StyleSpan> spans, ShapedText& out) override {
        shaped_bytes += text.size();
        longest = std::max(longest, text.size());
        fonts_.shape(text, spans, out);
    }
    ShapedLine metrics(TextStyle style) override { return fonts_.metrics(style); }
    AtlasGlyph image(uint16_t font, uint32_t id, float size, float fraction) override {
        return fonts_.image(font, id, size, fraction);
    }
    void draw_glyph(TextPainter& painter, uint16_t font, uint32_t id, float size, float x,
                    float baseline, Ink ink) override {
        fonts_.draw_glyph(painter, font, id, size, x, baseline, ink);
    }
    uint16_t first_font(Face face) override { return fonts_.first_font(face); }
    hb_font_t* harfbuzz_font(uint16_t font) override { return fonts_.harfbuzz_font(font); }
    GlyphAtlas& atlas() override { return fonts_.atlas(); }
    std::span<const std::string> notices() const override { return fonts_.notices(); }

    size_t shaped_bytes = 0, longest = 0;

private:
    FontSet& fonts_;
};

class CountingPainter final : public TextPainter {
public:
    void glyph(const AtlasGlyph&, float, float, Ink) override { ++glyphs; }
    void fill(const Box& box, Ink ink, float) override {
        if (ink == Ink::kSelection) selected.push_back(box);
        if (ink == Ink::kFound || ink == Ink::kFoundHere) ++found;
    }
    void outline(const Box&, Ink, float) override {}
    void stroke(float, float, float, float, float, Ink) override {}

    size_t glyphs = 0, found = 0;
    std::vector<Box> selected;
};

std::unique_ptr<RichText> message(std::string_view source, float width = 600) {
    auto text = RichText::create(product_fonts(), Markup::kMarkdown);
    text->set(source, Streaming::kNo);
    text->lay_out(width, {});
    return text;
}

bool same(const Box& a, const Box& b) {
    return a.left == b.left && a.top == b.top && a.right == b.right && a.bottom == b.bottom;
}

std::string repeated(std::string_view part, size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) out += part;
    return out;
}

std::string copied(std::string_view source, std::string_view from, CopyAs as) {
    const size_t begin = source.find(from);
    REQUIRE(begin != std::string_view::npos);
    return message(source)->copy({begin, begin + from.size()}, as);
}

TEST_CASE("a streamed message ends as the whole one, and what stands settled never moves") {
    const auto whole = message(kSample);
    std::mt19937 random(7);
    auto streamed = RichText::create(product_fonts(), Markup::kMarkdown);
    int moved = 0, wrong = 0;
    for (int trial = 0; trial < 1000; ++trial) {
        streamed->set("", Streaming::kYes);
        for (size_t size = 0; size < kSample.size();) {
            size = std::min(kSample.size(), size + 1 + random() % 400);
            streamed->set(kSample.substr(0, size), Streaming::kYes);
            streamed->lay_out(600, {});
            std::vector<MessageChunk> chunks;
            split_message(kSample.substr(0, size), ChunkMarks::kMarkdown, chunks);
            const size_t settled = chunks.back().begin;
            for (int probe = 0; probe < 6 && settled > 0; ++probe) {
                const size_t position = random() % settled;
                moved += same(streamed->box_of(position), whole->box_of(position)) ? 0 : 1;
            }
        }
        streamed->set(kSample, Streaming::kNo);
        streamed->lay_out(600, {});
        wrong += streamed->height() == whole->height() ? 0 : 1;
        for (size_t position = 0; position < kSample.size(); position += 37) {
            wrong += same(streamed->box_of(position), whole->box_of(position)) ? 0 : 1;
        }
    }
    CHECK(moved == 0);
    CHECK(wrong == 0);
}

TEST_CASE("streaming reads only the last chunk again") {
    CountingFonts fonts(product_fonts());
    const std::string source = repeated("A paragraph of some words, as they come.\n\n", 500);
    auto text = RichText::create(fonts, Markup::kMarkdown);
    for (size_t size = 20; size <= source.size(); size += 20) {
        text->set(source.substr(0, size), Streaming::kYes);
        text->lay_out(600, {});
    }
    CHECK(fonts.shaped_bytes < 3 * source.size());
    const size_t before = fonts.shaped_bytes;
    text->lay_out(600, {});
    CHECK(fonts.shaped_bytes == before);
    text->lay_out(500, {});
    CHECK(fonts.shaped_bytes > before);
}

TEST_CASE("what is unfinished waits or looks as it will") {
    auto text = RichText::create(product_fonts(), Markup::kMarkdown);
    const auto height = [&](std::string_view source) {
        text->set(source, Streaming::kYes);
        text->lay_out(600, {});
        return text->height();
    };
    const float one = height("Some text");
    CHECK(height("Some text\n-") == one);        // could become a heading, a rule or a list
    CHECK(height("Some text\n\n| a |") == one);  // a row of a table
    CHECK(height("Some text\n\n| a | b |\n|--") == one);
    CHECK(height("Some text\n\n| a | b |\n|---|---|\n") > one);
    const float open = height("```py\nx = 1\n");
    CHECK(text->code_boxes().size() == 1);
    CHECK(height("```py\nx = 1\n``") == open);
    CHECK(height("```py\nx = 1\n```\n") == open);
    CHECK(text->copy({0, 100}, CopyAs::kPlain) == "x = 1");
    CHECK(height("half **bo") > 0);
    CHECK(text->copy({0, 100}, CopyAs::kPlain) == "half **bo");
}

TEST_CASE("everything selected copies as the exact source; ranges take their marks along") {
    for (const std::string_view source :
         {kSample, std::string_view("* \n\n"), std::string_view("a\r\nb\xff\n\n\n")}) {
        CHECK(message(source)->copy({0, source.size()}, CopyAs::kMarkdown) == source);
    }
    CHECK(copied(kSample, "bold", CopyAs::kMarkdown) == "**bold**");
    CHECK(copied(kSample, "link", CopyAs::kMarkdown) == "[link](https://example.org/x)");
    CHECK(copied(kSample, "a_b", CopyAs::kMarkdown) == "$a_b*c$");
    CHECK(copied(kSample, "word", CopyAs::kMarkdown) == "word");
    CHECK(copied(kSample, "Title with `code`", CopyAs::kMarkdown) == "# Title with `code`");
    CHECK(copied(kSample, "bold** word", CopyAs::kMarkdown) == "bold** word");
}

TEST_CASE("plain copies are what is seen") {
    CHECK(copied(kSample, kSample.substr(0, 60), CopyAs::kPlain) ==
          "Title with code\n\nA bold word, a link");
    CHECK(copied(kSample, "&amp; \\*esc", CopyAs::kPlain) == "& *esc");
    CHECK(copied(kSample, "| A | B |\n|---|--:|\n| x | 1 |\n| longer | 22 |", CopyAs::kPlain) ==
          "A\tB\nx\t1\nlonger\t22");
    CHECK(copied(kSample, "- one\n- two\n  1. nested", CopyAs::kPlain) ==
          "• one\n• two\n  1. nested");
    CHECK(copied(kSample, "$$\\sum x$$", CopyAs::kPlain) == "$$\\sum x$$");
    CHECK(copied(kSample, "def f():\n\tret", CopyAs::kPlain) == "def f():\n\tret");
    CHECK(message("- [x] done\n- [ ] open")->copy({0, 99}, CopyAs::kPlain) == "[x] done\n[ ] open");
}

TEST_CASE("a point gives the position whose box it lies in, in both directions of writing") {
    const auto text = message(kSample);
    int checked = 0;
    for (const std::string_view letters :
         {"bold", "Second", "nested", "longer", "return", "abc", "中文", "مرحبا", "End"}) {
        const size_t position = kSample.find(letters);
        const Box box = text->box_of(position);
        REQUIRE(box.width() > 0);
        const bool backward = letters == "مرحبا";
        const float near = backward ? box.right - 0.5F : box.left + 0.5F;
        const float far = backward ? box.left + 0.5F : box.right - 0.5F;
        const float y = (box.top + box.bottom) / 2;
        CHECK(text->position_at(near, y) == position);
        CHECK(text->position_at(far, y) > position);
        ++checked;
    }
    CHECK(checked == 9);
    CHECK(text->position_at(-100, -100) == kSample.find("Title"));
    CHECK(text->position_at(9999, 9999) == kSample.size());
}

TEST_CASE("words and paragraphs around a position") {
    const auto text = message(kSample);
    const auto word = [&](std::string_view at) {
        const TextRange range = text->word_at(kSample.find(at));
        return std::string(kSample.substr(range.begin, range.end - range.begin));
    };
    CHECK(word("old**") == "bold");
    CHECK(word("cond line") == "Second");
    CHECK(word("文，") == "文");
    CHECK(word("a_b*c") == "$a_b*c$");
    const TextRange cell = text->paragraph_at(kSample.find("onger"));
    CHECK(kSample.substr(cell.begin, cell.end - cell.begin) == "longer");
    const TextRange paragraph = text->paragraph_at(kSample.find("word"));
    CHECK(kSample.substr(paragraph.begin, 8) == "A **bold");
    CHECK(kSample.substr(0, paragraph.end).ends_with("\\*."));
}

TEST_CASE("links open only what a browser or a mailer opens") {
    const std::string source =
        "[good](https://a.b/c) [bad](javascript:alert(1)) [file](file:///etc) <mailto:a@b.c>";
    const auto text = message(source);
    const auto link = [&](std::string_view at) {
        const Box box = text->box_of(source.find(at));
        return text->link_at(box.left + 1, box.top + 5).value_or("none");
    };
    CHECK(link("good") == "https://a.b/c");
    CHECK(link("bad") == "none");
    CHECK(link("file") == "none");
    CHECK(link("mailto") == "mailto:a@b.c");
}

TEST_CASE("formulas keep their LaTeX, prices stay prices") {
    const std::string source =
        "Costs $5 and $6, but $x_1$ and \\(y*z*\\) and\n\\[ a_b \\]\nand `$c$`.";
    const auto text = message(source);
    const auto formula = [&](std::string_view at) {
        const Box box = text->box_of(source.find(at));
        return text->formula_at((box.left + box.right) / 2, (box.top + box.bottom) / 2)
            .value_or("none");
    };
    CHECK(formula("$5") == "none");
    CHECK(formula("$x_1") == "x_1");
    CHECK(formula("\\(y") == "y*z*");
    CHECK(formula("\\[") == " a_b ");
    CHECK(formula("$c$") == "none");
    const std::string many = repeated("$x$ ", 1001) + "end";
    CHECK(message(many)->copy({0, many.size()}, CopyAs::kPlain).ends_with("$x$ end"));
    CHECK(message(many)->copy({0, many.size()}, CopyAs::kPlain).size() == many.size());
}

TEST_CASE("stars beside Chinese signs mark words, and code and addresses have no formulas") {
    const auto plain = [](std::string_view source) {
        return message(source)->copy({0, source.size()}, CopyAs::kPlain);
    };
    CHECK(plain("这是**“重点”**内容，**注意：**后面") == "这是“重点”内容，注意：后面");
    CHECK(plain("- x\n\n  ~~~sh\n  echo $a$b\n  ~~~\n") == "• x\n\necho $a$b");
    const auto text = message("[a](https://x.y/?q=$b$&c=1)");
    CHECK(text->link_at(2, 10).value_or("none") == "https://x.y/?q=$b$&c=1");
}

TEST_CASE("a search folds case, looks at what is seen, and marks it") {
    const std::string source = "Straße and **STRASSE**, amp &amp; `Tag` ΣΊΣΥΦΟΣ";
    const auto text = message(source);
    CHECK(text->find("strasse", 10).size() == 2);
    CHECK(text->find("strasse", 1).size() == 1);
    CHECK(text->find("amp", 10).size() == 1);
    CHECK(text->find("**", 10).empty());
    CHECK(text->find("σίσυφος", 10).size() == 1);
    CHECK(text->find("", 10).empty());
    const auto found = text->find("strasse", 10);
    CHECK(source.substr(found[0].begin, found[0].end - found[0].begin) == "Straße");
    CountingPainter painter;
    text->draw(painter, 0, 0, 0, 1000,
               {.selection = {0, source.size()}, .found = found, .found_here = 1});
    CHECK(painter.found == 2);
    CHECK(painter.selected.size() == 1);
    CHECK(painter.glyphs > 30);
}

TEST_CASE("code has its box, its language, and is wrapped where it is too wide") {
    const std::string source =
        "a\n\n```c++ title\nint a = " + repeated("1 + ", 100) + "2;\n```\n\n    indented\n";
    const auto text = message(source);
    REQUIRE(text->code_boxes().size() == 2);
    const CodeBox& code = text->code_boxes()[0];
    CHECK(code.language == "c++");
    CHECK(source.substr(code.code.begin, 5) == "int a");
    CHECK(code.box.right == 600);
    CHECK(code.box.height() > 100);
    for (size_t at = code.code.begin; at + 1 < code.code.end; ++at)
        CHECK(text->box_of(at).right < 600);
}

TEST_CASE("only what touches the screen is drawn") {
    const auto text = message(repeated("word word word\n\n", 300));
    CountingPainter all, some, none;
    text->draw(all, 0, 0, 0, 1e6F, {});
    text->draw(some, 0, -3000, 0, 500, {});
    text->draw(none, 0, 600, 0, 500, {});
    CHECK(all.glyphs == size_t{300} * 12);
    CHECK(some.glyphs > 100);
    CHECK(some.glyphs < 300);
    CHECK(none.glyphs == 0);
}

TEST_CASE("a person's own words are shown as they were typed") {
    const std::string source = "# not a heading\n* star **two**\n\n```\ncode\n```\n";
    auto text = RichText::create(product_fonts(), Markup::kPlain);
    text->set(source, Streaming::kNo);
    text->lay_out(600, {});
    CHECK(text->copy({0, source.size()}, CopyAs::kPlain) ==
          "# not a heading\n* star **two**\n\ncode");
    CHECK(text->code_boxes().size() == 1);
    CHECK(text->box_of(source.find("star")).top > text->box_of(0).top);
}

TEST_CASE("hostile messages are shown, bounded, and copied exactly") {
    const std::string bombs[] = {
        repeated(">", 10000) + "x",
        repeated("- ", 10000) + "x",
        repeated("> ", 40) + "x",
        repeated("*", 100000),
        repeated("[", 100000),
        repeated("![", 50000),
        repeated("`", 100000),
        repeated("`a", 50000),
        repeated("$a", 50000),
        std::string(300000, '\0'),
        std::string(100000, '\xff'),
        std::string(1 << 20, 'w'),
        "|" + repeated("a|", 5000) + "\n|" + repeated("-|", 5000) + "\n" + repeated("|a\n", 5000)};
    for (const std::string& bomb : bombs) {
        CountingFonts fonts(product_fonts());
        auto text = RichText::create(fonts, Markup::kMarkdown);
        text->set(bomb, Streaming::kNo);
        text->lay_out(600, {});
        CHECK(fonts.shaped_bytes <= 2 * (96 << 10));
        CHECK(fonts.longest <= kChunkBytesMax);
        CHECK(text->height() > 0);
        CHECK(text->copy({0, bomb.size()}, CopyAs::kMarkdown) == bomb);
        CountingPainter painter;
        text->draw(painter, 0, 0, 0, 500, {});
        CHECK(text->position_at(10, 10) <= bomb.size());
    }
}

TEST_CASE("a huge message is laid out piece by piece, and its end at once when it is looked at") {
    CountingFonts fonts(product_fonts());
    const std::string source = repeated("Ordinary words in a paragraph of a long text.\n\n", 22000);
    auto text = RichText::create(fonts, Markup::kMarkdown);
    text->set(source, Streaming::kNo);
    text->lay_out(600, {});
    CHECK(fonts.shaped_bytes < 100 << 10);
    const float guessed = text->height();
    CountingPainter painter;
    text->draw(painter, 0, 1000 - guessed, 0, 1000, {});
    CHECK(painter.glyphs > 500);
    CHECK(fonts.shaped_bytes < 110 << 10);
    for (int i = 0; i < 30; ++i) text->lay_out(600, {});
    CHECK(fonts.shaped_bytes > source.size() * 9 / 10);
    CHECK(text->height() == doctest::Approx(22000 * 36 - 12));
}

TEST_CASE("text becomes pixels") {
    const auto text = message("Hello 😀\n\n```\ncode\n```");
    test::PixelPainter painter(product_fonts().atlas(), 600, 200);
    const auto empty = painter.rgb();
    text->draw(painter, 0, 0, 0, 200, {});
    size_t changed = 0, yellow = 0;
    for (size_t i = 0; i < empty.size(); i += 3) {
        const auto& rgb = painter.rgb();
        changed += rgb[i] != empty[i] ? 1U : 0U;
        yellow += rgb[i] > 200 && rgb[i + 2] < 120 ? 1U : 0U;
    }
    CHECK(changed > 10000);  // the panel behind the code is most of it
    CHECK(yellow > 50);
}

}  // namespace
}  // namespace millrace
