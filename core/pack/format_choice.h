#pragma once
// Which format each expert of a new store gets.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/pack/pack_source.h"

namespace millrace {

struct FormatWish {
    std::string experts;                 // "released", the name of a format, or "auto"
    std::optional<uint64_t> size_bytes;  // of the whole store: with "auto", and only there
    size_t parts = 1;                    // directories
    int lanes = 1;                       // threads for measuring
};

// [layers][experts]. kInvalid or kUnsupported when the wish makes no sense for this source, kCapacity when the size is too
// small: says the least.
[[nodiscard]] Result<std::vector<ExpertFormat>> choose_formats(PackSource& source,
                                                               const FormatWish& wish);

}  // namespace millrace
