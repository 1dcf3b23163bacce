#pragma once
// Cuts text into the pieces that byte-pair merges never cross: the three patterns of DeepSeek's
// tokenizer.json, applied one after another, each seeing one piece of the one before.
//
//   R1  \p{N}{1,3}
//   R2  [一-龥぀-ゟ゠-ヿ]+
//   R3  [!-/:-@\[-`{-~][A-Za-z]+ | [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+ | ?[\p{P}\p{S}]+[\r\n]*
//       | \s*[\r\n]+ | \s+(?!\S) | \s+
//
// Matches and the gaps between them are pieces alike, so the pieces add up to the text. Digits and
// ideographs are walls for R3: its look-ahead sees the end of a piece there. Linear time; no regex
// engine.

#include <cstddef>
#include <string_view>

#include "core/text/unicode_classes.h"

namespace millrace {

// The patterns as they stand in tokenizer.json; a file with others is not ours to cut.
extern const std::string_view kSplitPatterns[3];

// Walks over `text`, which must be valid UTF-8 and outlive the cursor.
class PieceCursor {
public:
    PieceCursor(const UnicodeClasses& classes, std::string_view text)
        : classes_(classes), text_(text) {}

    // The next piece; empty at the end.
    [[nodiscard]] std::string_view next();

private:
    struct Char {
        uint8_t bits;    // CharClass
        uint32_t bytes;  // 1…4
    };
    [[nodiscard]] Char at(size_t position) const;
    // The end of the run of characters from `position` on that have one of `bits`, at most `wall_`.
    [[nodiscard]] size_t run_end(size_t position, uint32_t bits) const;
    [[nodiscard]] size_t digits_end(size_t position) const;
    [[nodiscard]] size_t find_wall(size_t position, bool ideographs) const;
    // The end of R3's match at `position`, or `position` if there is none.
    [[nodiscard]] size_t match(size_t position) const;
    [[nodiscard]] size_t match_spaces(size_t position) const;
    [[nodiscard]] std::string_view take(size_t end);

    const UnicodeClasses& classes_;
    std::string_view text_;
    size_t at_ = 0;
    size_t wall_ = 0;  // R3 sees [at_, wall_) only
};

}  // namespace millrace
