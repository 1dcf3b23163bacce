#include "ui/theme.h"

#include <doctest/doctest.h>

using namespace millrace;

TEST_CASE("every text stands out from its ground as WCAG asks for") {
    CHECK(contrast({0, 0, 0, 255}, {255, 255, 255, 255}) == doctest::Approx(21));
    for (const ThemeName name : {ThemeName::kDark, ThemeName::kLight, ThemeName::kContrast}) {
        for (const ContrastPair& pair : contrast_pairs(theme_named(name))) {
            CAPTURE(kThemeNames[static_cast<size_t>(name)]);
            CAPTURE(pair.what);
            CHECK(contrast(pair.text, pair.ground) >= pair.wanted);
        }
    }
}

TEST_CASE("in the theme of high contrast, text has 7 at least") {
    for (const ContrastPair& pair : contrast_pairs(theme_named(ThemeName::kContrast))) {
        CAPTURE(pair.what);
        CHECK(contrast(pair.text, pair.ground) >= 7);
    }
}

TEST_CASE("the heat ramp grows lighter from nothing to much") {
    const Theme& theme = theme_named(ThemeName::kDark);
    double before = 0;
    for (int i = 0; i <= 20; ++i) {
        const double now = contrast(theme.heat(static_cast<float>(i) / 20), {0, 0, 0, 255});
        CHECK(now >= before);
        before = now;
    }
}
