// Faces, chains, shaped lines and glyph pictures.

#include "ui/typeset/fonts.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "tests/support/product_fonts.h"
#include "tests/support/temp_directory.h"

namespace millrace {
namespace {

using test::product_fonts;

constexpr TextStyle kBody{.face = Face::kBody, .size = 16};
constexpr TextStyle kMono{.face = Face::kMono, .size = 14.5F};

std::vector<uint32_t> bytes_of(const ShapedLine& line) {
    std::vector<uint32_t> bytes;
    for (const ShapedGlyph& glyph : line.glyphs) bytes.push_back(glyph.byte);
    return bytes;
}

TEST_CASE("a line is as wide as its glyphs, each with the byte where it begins") {
    const ShapedLine line = product_fonts().line("aé中b", kBody);
    CHECK(bytes_of(line) == std::vector<uint32_t>{0, 1, 3, 6});
    float width = 0;
    for (const ShapedGlyph& glyph : line.glyphs) width += glyph.advance;
    CHECK(line.width == doctest::Approx(width));
    CHECK(line.ascent > 10);
    CHECK(line.glyphs[2].advance == doctest::Approx(16));
    CHECK(line.glyphs[2].font != line.glyphs[0].font);
}

TEST_CASE("digits are equally wide, signs of code stay the signs that were written") {
    FontSet& fonts = product_fonts();
    for (const Face face : {Face::kBody, Face::kSemibold, Face::kMono}) {
        const float one = fonts.line("1111", {face, 16}).width;
        CHECK(fonts.line("0000", {face, 16}).width == doctest::Approx(one));
        // Inter kerns 4 and 7 by a sixtieth of a pixel.
        CHECK(fonts.line("4789", {face, 16}).width == doctest::Approx(one).epsilon(0.001));
    }
    const ShapedLine arrow = fonts.line("->", kBody);
    REQUIRE(arrow.glyphs.size() == 2);
    CHECK(arrow.glyphs[0].id == fonts.line("-", kBody).glyphs[0].id);
    const ShapedLine unequal = fonts.line("!=", kMono);
    CHECK(unequal.glyphs[0].id == fonts.line("!", kMono).glyphs[0].id);
}

TEST_CASE("Arabic runs right to left and is joined, Latin within it left to right") {
    FontSet& fonts = product_fonts();
    const ShapedLine line = fonts.line("سلام ab", kBody);
    const std::vector<uint32_t> bytes = bytes_of(line);
    CHECK(bytes.front() == 9);  // "a" stands at the left end
    CHECK(std::is_sorted(bytes.begin() + 3, bytes.end(), std::greater<>()));
    // The letter's form depends on its neighbours.
    CHECK(fonts.line("س", kBody).glyphs[0].id != line.glyphs.back().id);
}

TEST_CASE("what would reorder or hide text is shown") {
    FontSet& fonts = product_fonts();
    const ShapedLine line = fonts.line("a\u202Eb", kBody);
    CHECK(bytes_of(line) == std::vector<uint32_t>{0, 1, 1, 1, 1, 1, 4});  // a ‹ R L O › b
    CHECK(fonts.line("a\u2066b", kBody).glyphs.size() == 7);
    CHECK(fonts.line("a\x01z", kBody).glyphs.size() == 3);
    CHECK(fonts.line(std::string_view("a\0z", 3), kBody).glyphs.size() == 3);
    CHECK(fonts.line("a\nb", kBody).width == doctest::Approx(fonts.line("a b", kBody).width));
    CHECK(fonts.line("a\xFFz", kBody).width ==
          doctest::Approx(fonts.line("a\uFFFDz", kBody).width));
    CHECK(fonts.line("x\U000E0041", kBody).glyphs.size() == 5);  // a tag without a flag: x ‹ T A ›
}

TEST_CASE("an emoji of several characters is one picture with colours") {
    FontSet& fonts = product_fonts();
    const ShapedLine line = fonts.line("👩‍👩‍👧", kBody);
    REQUIRE(line.glyphs.size() == 1);
    const AtlasGlyph glyph = fonts.image(line.glyphs[0].font, line.glyphs[0].id, 16, 0);
    CHECK(glyph.coloured);
    CHECK(static_cast<float>(glyph.width) * glyph.scale == doctest::Approx(20).epsilon(0.1));
    CHECK(fonts.line("🇩🇪", kBody).glyphs.size() == 1);
    CHECK(fonts.line("❤\uFE0F", kBody).glyphs[0].font == line.glyphs[0].font);
    CHECK(fonts.line("❤", kBody).glyphs[0].font != line.glyphs[0].font);
}

TEST_CASE("a picture holds the glyph, at a quarter of a pixel") {
    FontSet& fonts = product_fonts();
    const uint32_t id = fonts.line("l", kBody).glyphs[0].id;
    const AtlasGlyph at_pixel = fonts.image(0, id, 16, 0), shifted = fonts.image(0, id, 16, 0.5F);
    CHECK((at_pixel.x != shifted.x || at_pixel.page != shifted.page));
    CHECK(at_pixel.height >= 11);
    CHECK(fonts.image(0, id, 16, 0).x == at_pixel.x);
    uint64_t coverage = 0;
    const GlyphAtlas::Page& page = fonts.atlas().pages()[at_pixel.page];
    for (int y = 0; y < at_pixel.height; ++y) {
        for (int x = 0; x < at_pixel.width; ++x) {
            const int at = (at_pixel.y + y) * GlyphAtlas::kPageSize + at_pixel.x + x;
            coverage += page.pixels[4 * static_cast<size_t>(at) + 3];
        }
    }
    CHECK(coverage > 255 * 8);
    CHECK(fonts.image(0, id, 16, 0).scale == 1);
    CHECK(fonts.image(0, id, 800, 0).scale == 4);
}

TEST_CASE("a line is cut with an ellipsis, and an endless word costs only what fits") {
    FontSet& fonts = product_fonts();
    const std::string text = "The quick brown fox jumps over the lazy dog";
    const ShapedLine whole = fonts.line(text, kBody);
    CHECK(fonts.line_within(text, kBody, whole.width + 1).glyphs.size() == whole.glyphs.size());
    for (float width = 0; width < whole.width; width += 7) {
        CHECK(fonts.line_within(text, kBody, width).width <= width);
    }
    CHECK(fonts.line_within(text, kBody, 100).glyphs.size() > 8);
    const std::string endless(1 << 20, 'w');
    CHECK(fonts.line(endless, kBody).glyphs.size() <= 4097);
    CHECK(fonts.line_within(endless, kBody, 200).width <= 200);
    CHECK(fonts.line_within(endless, kBody, 200).width > 180);
}

TEST_CASE("the cache gives the same line again, also after thousands of others") {
    FontSet& fonts = product_fonts();
    const float width = fonts.line("kept", kBody).width;
    for (int i = 0; i < 5000; ++i) (void)fonts.line(std::to_string(i), kBody);
    CHECK(fonts.line("kept", kBody).width == width);
    CHECK(fonts.line("kept", {.face = Face::kBody, .size = 32}).width ==
          doctest::Approx(2 * width));
}

TEST_CASE("missing and damaged files are named with their package, and the next font serves") {
    namespace fs = std::filesystem;
    (void)product_fonts();
    const test::TempDirectory directory;
    CHECK(!FontSet::open(directory.path()).ok());
    fs::create_directories(directory.path() / "truetype/noto");
    fs::create_directories(directory.path() / "opentype/inter");
    REQUIRE(
        write_file(directory.path() / "opentype/inter/Inter-Regular.otf", "OTTO nonsense").ok());
    CHECK(!FontSet::open(directory.path()).ok());
    fs::create_symlink("/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
                       directory.path() / "truetype/noto/NotoSans-Regular.ttf");
    auto fonts = FontSet::open(directory.path());
    REQUIRE(fonts.ok());
    CHECK((*fonts)->line("abc", kBody).width > 20);
    CHECK((*fonts)->line("中", kBody).glyphs.size() == 1);
    CHECK((*fonts)->line("abc", kMono).width > 20);
    const auto notices = (*fonts)->notices();
    const auto names = [&](std::string_view word) {
        return std::any_of(notices.begin(), notices.end(), [&](const std::string& notice) {
            return notice.find(word) != std::string::npos;
        });
    };
    CHECK(names("damaged"));
    CHECK(names("fonts-noto-cjk"));
    CHECK(names("fonts-jetbrains-mono"));
}

}  // namespace
}  // namespace millrace
