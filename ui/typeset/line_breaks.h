#pragma once
// Where a line may end: after spaces and hyphens, anywhere between Chinese and Japanese characters but not before closing or
// after opening signs (kinsoku), after the slashes of long addresses.

#include <cstdint>
#include <string_view>
#include <vector>

#include "ui/typeset/fonts.h"

namespace millrace {

enum class BreakBefore : uint8_t { kNo, kMay, kMust };

// One entry a cluster. kMust stands at what follows a "\n".
void find_breaks(std::string_view text, const ShapedText& shaped, std::vector<BreakBefore>& breaks);

}  // namespace millrace
