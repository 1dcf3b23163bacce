#pragma once
// Where a person's caret may stand: between grapheme clusters, and for words between runs of one kind.

#include <cstddef>
#include <string_view>

namespace millrace {

// The edge after / before `at`, which must be one itself; the text's ends are edges.
[[nodiscard]] size_t next_cluster(std::string_view text, size_t at);
[[nodiscard]] size_t previous_cluster(std::string_view text, size_t at);
// The nearest edge at or before `at`.
[[nodiscard]] size_t cluster_at(std::string_view text, size_t at);

// The end of the word after `at`, the beginning of the word before it. An ideograph is a word of its own.
[[nodiscard]] size_t next_word(std::string_view text, size_t at);
[[nodiscard]] size_t previous_word(std::string_view text, size_t at);

}  // namespace millrace
