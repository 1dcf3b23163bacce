#pragma once
// What is seen of a message as text: searched, copied, taken word by word.

#include <string>
#include <string_view>
#include <vector>

#include "ui/typeset/message_blocks.h"

namespace millrace {

// Case folded; `places[i]` is the byte of the text that byte i came from, with one more for the end.
struct FoldedText {
    std::string text;
    std::vector<uint32_t> places;
};
void fold_case(std::string_view text, FoldedText& out);

// Appends matches in the flows of `read`, as ranges of the source, until there are `count_max`.
void find_in(const MessageBlocks& read, std::string_view folded_needle, size_t count_max,
             std::vector<TextRange>& found);

// The bytes of the word at `byte`: letters, marks and digits; a sign or a Chinese character alone.
[[nodiscard]] TextRange word_around(std::string_view text, size_t byte);

// Appends what is seen of the range.
void copy_plain(const MessageBlocks& read, TextRange range, std::string& out);

// The range with the marks around it: both stars of a bold word, the signs of a heading that is selected whole.
[[nodiscard]] TextRange with_marks(std::string_view source, const MessageBlocks& read,
                                   TextRange range);

}  // namespace millrace
