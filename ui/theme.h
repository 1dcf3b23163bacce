#pragma once
// The colours of the product (architecture of looks: quiet, dense at the sides, roomy in the middle). Every pair of text
// and ground that is used stands in `contrast_pairs`; a test holds each to the contrast that WCAG asks for.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "ui/typeset/paint.h"

namespace millrace {

struct Colour {
    uint8_t red = 0, green = 0, blue = 0, alpha = 255;
    bool operator==(const Colour&) const = default;
    [[nodiscard]] Colour faded(float by) const {
        return {red, green, blue, static_cast<uint8_t>(static_cast<float>(alpha) * by)};
    }
};

enum class ThemeName : uint8_t { kDark, kLight, kContrast };
inline constexpr std::array<std::string_view, 3> kThemeNames = {"dark", "light", "high contrast"};

enum class Tone : uint8_t {
    kGround,  // behind the conversation
    kSide,    // behind rails and panes
    kRaised,  // cards, fields, menus
    kHover,
    kPressed,
    kBorder,
    kText,
    kMuted,
    kAccent,
    kOnAccent,  // text on accent
    kBubble,    // behind a person's message
    kGood,
    kGoodGround,
    kCaution,
    kCautionGround,
    kBad,
    kBadGround,
    kFocus,  // the ring around what has the keyboard
    kShade,  // over everything, behind a dialogue
};
inline constexpr int kTones = 19;

struct Theme {
    ThemeName name = ThemeName::kDark;
    std::array<Colour, kTones> tones;
    std::array<Colour, kInks> inks;
    // Lines and areas of plots, told apart also by the colour-blind.
    std::array<Colour, 6> series;

    [[nodiscard]] Colour tone(Tone t) const { return tones[static_cast<size_t>(t)]; }
    [[nodiscard]] Colour ink(Ink i) const { return inks[static_cast<size_t>(i)]; }
    // A ramp from nothing (0) to much (1), even in lightness, for heatmaps.
    [[nodiscard]] Colour heat(float share) const;
};

[[nodiscard]] const Theme& theme_named(ThemeName name);

struct ContrastPair {
    std::string_view what;
    Colour text, ground;
    double wanted = 4.5;
};
[[nodiscard]] std::array<ContrastPair, 23> contrast_pairs(const Theme& theme);
// WCAG 2.1: 1 … 21.
[[nodiscard]] double contrast(Colour a, Colour b);

}  // namespace millrace
