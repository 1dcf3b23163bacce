#pragma once
// Markdown (GitHub's dialect, without HTML) through md4c.

#include <string_view>

#include "ui/typeset/message_blocks.h"

namespace millrace {

// Between blocks, at scale 1.
inline constexpr float kBlockGap = 12, kItemGap = 6, kHeadingGap = 20;
inline constexpr float kQuoteIndent = 16, kListIndent = 24;

// `offset`: where the text begins in the message.
[[nodiscard]] MessageBlocks read_markdown(std::string_view text, size_t offset);

}  // namespace millrace
