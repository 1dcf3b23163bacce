#include "ui/input.h"

#include <array>
#include <string_view>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr std::array<std::string_view, 27> kKeyNames = {
    "",   "Enter", "Esc",  "Tab", "Space",  "Backspace", "Delete", "Left", "Right",
    "Up", "Down",  "Home", "End", "PageUp", "PageDown",  "F1",     "F2",   "F3",
    "F4", "F5",    "F6",   "F7",  "F8",     "F9",        "F10",    "F11",  "F12"};

bool take(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

}  // namespace

std::string name_of(const Chord& chord) {
    if (chord.key == Key::kNone) return "";
    std::string name;
    if (chord.control) name += "Ctrl+";
    if (chord.alt) name += "Alt+";
    if (chord.shift) name += "Shift+";
    if (chord.key == Key::kCharacter) {
        name += chord.character;
    } else {
        name += kKeyNames[static_cast<size_t>(chord.key)];
    }
    return name;
}

Chord chord_named(std::string_view name) {
    Chord chord;
    while (true) {
        if (take(name, "Ctrl+")) {
            chord.control = true;
        } else if (take(name, "Alt+")) {
            chord.alt = true;
        } else if (take(name, "Shift+")) {
            chord.shift = true;
        } else {
            break;
        }
    }
    if (name.size() == 1) {
        chord.key = Key::kCharacter;
        chord.character = name[0];
        return chord;
    }
    for (size_t i = 1; i < kKeyNames.size(); ++i) {
        if (kKeyNames[i] == name) {
            chord.key = static_cast<Key>(i);
            return chord;
        }
    }
    return {};
}

}  // namespace millrace
