#include "ui/theme.h"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr Colour rgb(uint32_t hex) {
    return {static_cast<uint8_t>(hex >> 16), static_cast<uint8_t>(hex >> 8),
            static_cast<uint8_t>(hex), 255};
}

struct Palette {
    // In the order of Tone, without kShade.
    std::array<uint32_t, kTones - 1> tones;
    // keyword, string, comment, number, type, function
    std::array<uint32_t, 6> code;
    uint32_t code_panel, selection, found, found_here, token;
    std::array<uint32_t, 6> series;
    uint8_t shade_alpha;
};

constexpr Palette kDark = {.tones = {0x16181D, 0x111317, 0x22252C, 0x2A2E37, 0x323742, 0x343A45,
                                     0xE6E8EC, 0x9AA1AD, 0x6EA8FE, 0x0B1220, 0x263245, 0x8FE3B0,
                                     0x1D3A2A, 0xF5C77E, 0x3A2F1A, 0xFF9B9B, 0x3D2022, 0x6EA8FE},
                           .code = {0xC3A6FF, 0xA5D6A7, 0x8B93A1, 0xF2B880, 0x7FD1DE, 0x8AB8FF},
                           .code_panel = 0x1D2027,
                           .selection = 0x2F4A75,
                           .found = 0x4A4423,
                           .found_here = 0x7A5C14,
                           .token = 0x1F4A45,
                           .series = {0x6EA8FE, 0xF2A65A, 0x4FC1B0, 0xE58BC0, 0xA7AFBC, 0xD9CF6B},
                           .shade_alpha = 150};

constexpr Palette kLight = {.tones = {0xFBFBFC, 0xF1F2F5, 0xFFFFFF, 0xE9EBF0, 0xDFE2E9, 0xDADDE3,
                                      0x1B1E24, 0x5A616D, 0x1F5FBF, 0xFFFFFF, 0xE6EEFB, 0x145C36,
                                      0xDFF5E8, 0x6B4700, 0xFDF0D5, 0x8F1D1D, 0xFBE3E3, 0x1F5FBF},
                            .code = {0x6B2FB3, 0x1B6B3A, 0x646B77, 0x9A4A00, 0x0B6472, 0x1D4F9E},
                            .code_panel = 0xF4F5F8,
                            .selection = 0xC5DAFA,
                            .found = 0xFBEFB8,
                            .found_here = 0xF5CE62,
                            .token = 0xBFEBDD,
                            .series = {0x1F5FBF, 0xB85C00, 0x0F7F72, 0xA83A82, 0x6A7280, 0x7D7200},
                            .shade_alpha = 90};

constexpr Palette kContrast = {
    .tones = {0x000000, 0x000000, 0x000000, 0x262626, 0x404040, 0xFFFFFF, 0xFFFFFF, 0xE0E0E0,
              0xFFFF00, 0x000000, 0x00204A, 0x7CFFB0, 0x000000, 0xFFD75E, 0x000000, 0xFF9E9E,
              0x000000, 0xFFFF00},
    .code = {0xE0C8FF, 0xB8FFC0, 0xD0D0D0, 0xFFD08A, 0x9CF0FF, 0xB8D8FF},
    .code_panel = 0x0A0A0A,
    .selection = 0x004C99,
    .found = 0x4D4400,
    .found_here = 0x5C4A00,
    .token = 0x006450,
    .series = {0x66B2FF, 0xFFB347, 0x4FE0C8, 0xFF99D6, 0xE0E0E0, 0xFFF27A},
    .shade_alpha = 190};

Theme make(ThemeName name, const Palette& palette) {
    Theme theme;
    theme.name = name;
    for (size_t i = 0; i < palette.tones.size(); ++i) theme.tones[i] = rgb(palette.tones[i]);
    theme.tones[static_cast<size_t>(Tone::kShade)] = {0, 0, 0, palette.shade_alpha};
    for (size_t i = 0; i < palette.series.size(); ++i) theme.series[i] = rgb(palette.series[i]);
    const auto set = [&](Ink ink, Colour colour) { theme.inks[static_cast<size_t>(ink)] = colour; };
    set(Ink::kText, theme.tone(Tone::kText));
    set(Ink::kMuted, theme.tone(Tone::kMuted));
    set(Ink::kAccent, theme.tone(Tone::kAccent));
    set(Ink::kLink, theme.tone(Tone::kAccent));
    set(Ink::kCode, theme.tone(Tone::kText));
    set(Ink::kCodeKeyword, rgb(palette.code[0]));
    set(Ink::kCodeString, rgb(palette.code[1]));
    set(Ink::kCodeComment, rgb(palette.code[2]));
    set(Ink::kCodeNumber, rgb(palette.code[3]));
    set(Ink::kCodeType, rgb(palette.code[4]));
    set(Ink::kCodeFunction, rgb(palette.code[5]));
    set(Ink::kCodePanel, rgb(palette.code_panel));
    set(Ink::kTableHead, theme.tone(Tone::kRaised));
    set(Ink::kBorder, theme.tone(Tone::kBorder));
    set(Ink::kQuoteBar, theme.tone(Tone::kBorder));
    set(Ink::kSelection, rgb(palette.selection));
    set(Ink::kFound, rgb(palette.found));
    set(Ink::kFoundHere, rgb(palette.found_here));
    set(Ink::kToken, rgb(palette.token));
    set(Ink::kCaret, theme.tone(Tone::kText));
    set(Ink::kComposition, theme.tone(Tone::kMuted));
    set(Ink::kError, theme.tone(Tone::kBad));
    return theme;
}

double linear(uint8_t channel) {
    const double c = channel / 255.0;
    return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

double luminance(Colour c) {
    return 0.2126 * linear(c.red) + 0.7152 * linear(c.green) + 0.0722 * linear(c.blue);
}

}  // namespace

const Theme& theme_named(ThemeName name) {
    static const std::array<Theme, 3> themes = {make(ThemeName::kDark, kDark),
                                                make(ThemeName::kLight, kLight),
                                                make(ThemeName::kContrast, kContrast)};
    return themes[static_cast<size_t>(name)];
}

Colour Theme::heat(float share) const {
    // Dark violet over teal to yellow; on light grounds the same ramp, so that numbers mean the same colours.
    constexpr std::array<std::array<float, 3>, 5> stops = {
        {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}}};
    const float at = std::clamp(share, 0.F, 1.F) * (stops.size() - 1);
    const auto low = std::min<size_t>(static_cast<size_t>(at), stops.size() - 2);
    const float part = at - static_cast<float>(low);
    const auto mix = [&](size_t channel) {
        return static_cast<uint8_t>(
            std::lround(stops[low][channel] * (1 - part) + stops[low + 1][channel] * part));
    };
    return {mix(0), mix(1), mix(2), 255};
}

double contrast(Colour a, Colour b) {
    const double x = luminance(a), y = luminance(b);
    return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

std::array<ContrastPair, 23> contrast_pairs(const Theme& theme) {
    const auto tone = [&](Tone t) { return theme.tone(t); };
    const auto ink = [&](Ink i) { return theme.ink(i); };
    const Colour panel = ink(Ink::kCodePanel);
    return {{
        {"text on ground", tone(Tone::kText), tone(Tone::kGround)},
        {"text on side", tone(Tone::kText), tone(Tone::kSide)},
        {"text on raised", tone(Tone::kText), tone(Tone::kRaised)},
        {"text on hover", tone(Tone::kText), tone(Tone::kHover)},
        {"text on bubble", tone(Tone::kText), tone(Tone::kBubble)},
        {"text on selection", tone(Tone::kText), ink(Ink::kSelection)},
        {"text on found", tone(Tone::kText), ink(Ink::kFound)},
        {"text on found here", tone(Tone::kText), ink(Ink::kFoundHere)},
        {"text on token", tone(Tone::kText), ink(Ink::kToken)},
        {"muted on ground", tone(Tone::kMuted), tone(Tone::kGround)},
        {"muted on side", tone(Tone::kMuted), tone(Tone::kSide)},
        {"muted on raised", tone(Tone::kMuted), tone(Tone::kRaised)},
        {"accent on ground", tone(Tone::kAccent), tone(Tone::kGround)},
        {"accent on raised", tone(Tone::kAccent), tone(Tone::kRaised)},
        {"text on accent", tone(Tone::kOnAccent), tone(Tone::kAccent)},
        {"good", tone(Tone::kGood), tone(Tone::kGoodGround)},
        {"caution", tone(Tone::kCaution), tone(Tone::kCautionGround)},
        {"bad", tone(Tone::kBad), tone(Tone::kBadGround)},
        {"code keyword", ink(Ink::kCodeKeyword), panel},
        {"code string", ink(Ink::kCodeString), panel},
        {"code comment", ink(Ink::kCodeComment), panel},
        {"code number", ink(Ink::kCodeNumber), panel},
        {"code function", ink(Ink::kCodeFunction), panel},
    }};
}

}  // namespace millrace
