#include "ui/typeset/math.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

using namespace millrace;

namespace {

std::unique_ptr<FontSet> fonts() {
    if (!std::filesystem::exists(
            "/usr/share/texmf/fonts/opentype/public/lm-math/latinmodern-math.otf")) {
        MESSAGE("skipped: Latin Modern Math is not installed (fonts-lmodern)");
        return nullptr;
    }
    return std::move(*FontSet::open("/usr/share/fonts"));
}

constexpr float kSize = 20;

}  // namespace

TEST_CASE("a fraction's parts stand above and below its bar, which is as wide as both") {
    const auto set = fonts();
    if (!set) return;
    const MathLayout layout = lay_out_math(*set, "\\frac{a+b}{c}", MathStyle::kDisplay, kSize);
    CHECK(layout.understood);
    REQUIRE(layout.rules.size() == 1);
    REQUIRE(layout.glyphs.size() == 4);
    const Box bar = layout.rules[0].box;
    for (int i = 0; i < 3; ++i) CHECK(layout.glyphs[static_cast<size_t>(i)].y < bar.top);
    CHECK(layout.glyphs[3].y > bar.bottom);
    CHECK(bar.width() > 2 * kSize * 0.7F);
    CHECK(layout.ascent > kSize * 0.8F);
    CHECK(layout.descent > kSize * 0.35F);
}

TEST_CASE(
    "scripts are smaller, above and below; limits of a sum in a display stand over and under it") {
    const auto set = fonts();
    if (!set) return;
    const MathLayout scripts = lay_out_math(*set, "x_1^2", MathStyle::kInline, kSize);
    REQUIRE(scripts.glyphs.size() == 3);
    CHECK(scripts.glyphs[1].y < 0);
    CHECK(scripts.glyphs[2].y > 0);
    CHECK(scripts.glyphs[1].size < kSize);
    CHECK(scripts.glyphs[1].x > scripts.glyphs[0].x);
    const MathLayout sum = lay_out_math(*set, "\\sum_{i}^{n}", MathStyle::kDisplay, kSize);
    REQUIRE(sum.glyphs.size() == 3);
    CHECK(sum.ascent >
          lay_out_math(*set, "\\sum", MathStyle::kDisplay, kSize).ascent + kSize * 0.3F);
    const MathLayout beside = lay_out_math(*set, "\\sum_{i}^{n}", MathStyle::kInline, kSize);
    CHECK(beside.width > sum.width);
}

TEST_CASE("delimiters and roots grow with what they hold") {
    const auto set = fonts();
    if (!set) return;
    const auto height = [&](const char* source) {
        const MathLayout layout = lay_out_math(*set, source, MathStyle::kDisplay, kSize);
        CHECK(layout.understood);
        return layout.ascent + layout.descent;
    };
    CHECK(height("\\left(\\frac{a}{b}\\right)") > height("\\frac{a}{b}") * 0.9F);
    CHECK(height("(\\,)") < height("\\left(\\frac{a}{b}\\right)") * 0.7F);
    CHECK(height("\\sqrt{\\frac{a}{b}}") > height("\\frac{a}{b}"));
    CHECK(height("\\begin{pmatrix} a & b \\\\ c & d \\\\ e & f \\end{pmatrix}") > 3 * kSize);
}

TEST_CASE("a delimiter of many rows is put together of parts, as high as they are, beside them") {
    const auto set = fonts();
    if (!set) return;
    for (const char* kind : {"pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "cases"}) {
        CAPTURE(std::string(kind));
        std::string source = std::string("\\begin{") + kind + "}";
        for (int row = 0; row < 20; ++row) source += "a\\\\";
        source += std::string("\\end{") + kind + "}";
        const MathLayout layout = lay_out_math(*set, source, MathStyle::kDisplay, kSize);
        CHECK(layout.understood);
        CHECK(layout.ascent + layout.descent > 20 * kSize * 0.9F);
        CHECK(layout.ascent + layout.descent < 20 * kSize * 1.6F);
        const uint32_t letter = lay_out_math(*set, "a", MathStyle::kDisplay, kSize).glyphs[0].id;
        float content = 0, parts_end = 0, lowest = 0, highest = 0;
        int parts = 0;
        for (const MathLayout::Glyph& glyph : layout.glyphs) {
            CHECK(glyph.size == kSize);  // nothing is blown up
            if (glyph.id == letter) {
                content = glyph.x;
            } else if (content == 0) {
                ++parts;
                parts_end = std::max(parts_end, glyph.x);
                lowest = std::max(lowest, glyph.y);
                highest = std::min(highest, glyph.y);
            }
        }
        CHECK(parts > 3);
        CHECK(lowest - highest > 15 * kSize * 0.9F);
        CHECK(content > parts_end + kSize * 0.2F);
    }
}

TEST_CASE("a brace over and under is as wide as what it embraces") {
    const auto set = fonts();
    if (!set) return;
    for (const std::string name : {"\\overbrace", "\\underbrace"}) {
        const std::string inner = "{a+b+c+d+e+f+g+h}";
        const MathLayout bare = lay_out_math(*set, inner, MathStyle::kDisplay, kSize);
        const MathLayout braced = lay_out_math(*set, name + inner, MathStyle::kDisplay, kSize);
        CHECK(braced.width >= bare.width);
        CHECK(braced.width < bare.width + kSize * 0.2F);
        CHECK(braced.glyphs.size() > bare.glyphs.size());
        CHECK((name == "\\overbrace" ? braced.ascent > bare.ascent + kSize * 0.2F
                                     : braced.descent > bare.descent + kSize * 0.2F));
    }
}

TEST_CASE("marks over and under, middle delimiters, lines under a sum, primes, bold Greek") {
    const auto set = fonts();
    if (!set) return;
    const auto lay = [&](const char* source) {
        return lay_out_math(*set, source, MathStyle::kDisplay, kSize);
    };
    const MathLayout over = lay("\\overset{a}{b}"), under = lay("\\underset{a}{b}");
    REQUIRE(over.glyphs.size() == 2);
    REQUIRE(under.glyphs.size() == 2);
    CHECK(over.glyphs[1].y < -kSize * 0.5F);
    CHECK(under.glyphs[1].y > kSize * 0.2F);
    CHECK(lay("\\xrightarrow{abcdefgh}").width > lay("\\xrightarrow{a}").width + kSize);
    const MathLayout tall = lay("\\left(\\frac{a}{b}\\middle|c\\right)");
    CHECK(tall.understood);
    CHECK(tall.ascent + tall.descent > kSize * 1.6F);
    CHECK(lay("\\sum_{\\substack{a\\\\b}}").descent > lay("\\sum_{a}").descent + kSize * 0.4F);
    // A prime stands on the line of its letter, with a subscript below it and not behind it.
    const MathLayout prime = lay("x'_i");
    REQUIRE(prime.glyphs.size() == 3);
    CHECK(prime.ascent < kSize);
    CHECK(prime.width < lay("x'").width + kSize * 0.2F);
    CHECK(lay("\\bm{\\theta}").glyphs[0].id != lay("\\theta").glyphs[0].id);
    CHECK(lay("\\mathbf{\\Gamma}").glyphs[0].id != lay("\\Gamma").glyphs[0].id);
}

TEST_CASE("what people write is understood") {
    const auto set = fonts();
    if (!set) return;
    for (const char* source :
         {"e^{i\\pi} + 1 = 0",
          "\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}",
          "\\lim_{n \\to \\infty} \\left(1 + \\frac{1}{n}\\right)^n",
          "\\hat{x}, \\bar{y}, \\vec{v}",
          "A = \\begin{bmatrix} 1 & 0 \\\\ 0 & 1 \\end{bmatrix}",
          "f(x) = \\begin{cases} 1 & x > 0 \\\\ 0 & \\text{otherwise} \\end{cases}",
          "\\mathbb{R}^n \\subseteq \\mathcal{X}",
          "\\sqrt[3]{x}",
          "\\binom{n}{k}",
          "x' = y''",
          "\\overline{ab} \\neq \\boxed{c}",
          "\\begin{aligned} a &= b \\\\ &= c \\end{aligned}",
          "\\operatorname{softmax}(x)_i",
          "\\big( x \\big)",
          "\\not= \\leq \\Rightarrow",
          "\\underset{\\theta}{\\operatorname{argmin}} L \\overset{!}{=} 0",
          "a \\equiv b \\pmod{n}, a \\bmod n",
          "A \\xrightarrow{f} B",
          "x'_i{}^2",
          "\\left( a \\middle| b \\right)",
          "\\sum_{\\substack{i<n \\\\ j<m}} a_{ij}",
          "a \\rightleftharpoons b \\Longrightarrow \\varsigma \\preceq \\bm{\\theta}",
          "a \\\\ b",
          "\\mathbf{A}\\mathrm{d}x",
          "P(A \\mid B) = \\frac{P(B \\mid A) P(A)}{P(B)}"}) {
        CAPTURE(source);
        const MathLayout layout = lay_out_math(*set, source, MathStyle::kDisplay, kSize);
        CHECK(layout.understood);
        CHECK(layout.width > 0);
    }
}

TEST_CASE("what is not understood is shown as it is written") {
    const auto set = fonts();
    if (!set) return;
    const MathLayout layout = lay_out_math(*set, "\\frobnicate x", MathStyle::kInline, kSize);
    CHECK_FALSE(layout.understood);
    CHECK(layout.glyphs.size() == 12);
    for (const char* source : {"}", "\\end{x}", "\\right)", "{", "\\frac", "x^", "_",
                               "\\begin{matrix} a", "\\left", "\\", "&", "\\\\\\\\"}) {
        CAPTURE(source);
        const MathLayout odd = lay_out_math(*set, source, MathStyle::kDisplay, kSize);
        CHECK(std::isfinite(odd.width));
    }
}

TEST_CASE("any text ends in a layout of bounded size, whatever its depth") {
    const auto set = fonts();
    if (!set) return;
    uint64_t state = 7;
    const auto random = [&](uint64_t below) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        return (state >> 33) % below;
    };
    const std::vector<std::string> words = {"{",
                                            "}",
                                            "\\frac",
                                            "^",
                                            "_",
                                            "\\left(",
                                            "\\right)",
                                            "\\sqrt",
                                            "[",
                                            "]",
                                            "x",
                                            "&",
                                            "\\\\",
                                            "\\begin{cases}",
                                            "\\end{cases}",
                                            "\\sum",
                                            "\xff",
                                            "\\",
                                            "'",
                                            "\\middle|",
                                            "\\substack{",
                                            "\\overset",
                                            "\\xrightarrow",
                                            "\\underbrace",
                                            "\\text{",
                                            " "};
    for (int round = 0; round < 400; ++round) {
        std::string source;
        const uint64_t count = random(60);
        for (uint64_t i = 0; i < count; ++i) source += words[random(words.size())];
        CAPTURE(source);
        const MathLayout layout = lay_out_math(*set, source, MathStyle::kDisplay, kSize);
        CHECK(std::isfinite(layout.width));
        CHECK(std::isfinite(layout.ascent));
        CHECK(layout.glyphs.size() <= 4 * source.size() + 64);
    }
    for (const std::string part : {"{", "\\frac{", "\\left(", "\\sqrt{", "x^{", "\\begin{matrix}",
                                   "\\sqrt", "\\sqrt[", "\\frac", "\\hat", "\\not", "\\bm"}) {
        CAPTURE(part);
        std::string deep;
        while (deep.size() < 9000) deep += part;
        const MathLayout layout = lay_out_math(*set, deep, MathStyle::kDisplay, kSize);
        CHECK(std::isfinite(layout.width));
        // Deeper than anybody writes: shown as source, not followed as far as the stack goes.
        CHECK_FALSE(layout.understood);
    }
    CHECK_FALSE(lay_out_math(*set, std::string(20000, 'x'), MathStyle::kInline, kSize).understood);
}
