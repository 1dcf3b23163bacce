#pragma once
// What the person did since the last frame, whoever saw it: the window, or a test.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

enum class Key : uint8_t {
    kNone,
    kEnter,
    kEscape,
    kTab,
    kSpace,
    kBackspace,
    kDelete,
    kLeft,
    kRight,
    kUp,
    kDown,
    kHome,
    kEnd,
    kPageUp,
    kPageDown,
    kF1,
    kF2,
    kF3,
    kF4,
    kF5,
    kF6,
    kF7,
    kF8,
    kF9,
    kF10,
    kF11,
    kF12,
    kCharacter,  // Chord::character says which
};

struct Chord {
    Key key = Key::kNone;
    char character = 0;  // upper case letter, digit or one of , . / - = [ ] ; ' `
    bool control = false, shift = false, alt = false;
    bool operator==(const Chord&) const = default;
};

// "Ctrl+Shift+K"; and back, kNone for what is no chord.
[[nodiscard]] std::string name_of(const Chord& chord);
[[nodiscard]] Chord chord_named(std::string_view name);

struct PointerButton {
    bool down = false, pressed = false,
         released = false;  // pressed, released: since the last frame
};

struct PersonInput {
    float x = -1, y = -1;  // pointer, device pixels; negative: not over the window
    PointerButton left, right, middle;
    int clicks = 0;      // 1, 2, 3 with left.pressed
    float wheel = 0;     // lines, up is positive
    bool shift = false;  // held
    bool control = false;
    std::vector<Chord> keys;           // pressed or repeated, in order
    std::string text;                  // typed, UTF-8
    std::vector<std::string> dropped;  // paths of files
    bool close_wanted = false;
    bool focused = true;
    double now_s = 0;  // of a steady clock
};

}  // namespace millrace
