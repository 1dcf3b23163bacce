#pragma once
// The Unicode classes that the tokenizer's patterns ask for, one byte a code point. utf8proc
// (Unicode 15) is the source.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace {

// Bits; a character may have several (CR is a space and a newline).
enum CharClass : uint8_t {
    kLetter = 1,       // \p{L}
    kMark = 2,         // \p{M}
    kNumber = 4,       // \p{N}: Nd, Nl, No
    kPunctuation = 8,  // \p{P}
    kSymbol = 16,      // \p{S}
    kSpace = 32,       // \s: the property White_Space
    kNewline = 64,     // CR and LF
    kIdeograph = 128,  // [一-龥぀-ゟ゠-ヿ]: U+4E00–9FA5, U+3040–30FF
};

// A two-stage table, immutable once built (some milliseconds, 60 KiB); any thread may read it.
class UnicodeClasses {
public:
    UnicodeClasses();

    // `code` is at most U+10FFFF.
    [[nodiscard]] uint8_t of(char32_t code) const {
        return blocks_[(size_t{block_of_[code >> 8]} << 8) | (code & 0xFFu)];
    }

private:
    std::array<uint16_t, 0x1100> block_of_{};
    std::vector<uint8_t> blocks_;
};

}  // namespace millrace
