#pragma once
// Channels of one compressed entry (spec §4.5): a softmax over its contributors, per channel, weighs what they contribute.
// Contributors are added in order, so a channel's bits do not depend on which others are computed with it.

#include <cstdint>

#include "core/base/types.h"

namespace millrace {

struct PoolShape {
    int contributors = 0;
    int previous = 0;    // so many of them, the first, are of the previous block: channel i at i
    int64_t shift = 0;   // … and those of the current block: channel i at shift + i
    int64_t scores = 0;  // where a contributor's scores begin
};

// out[i] for channels first ≤ i < last.
using CompressorPool = void (*)(const float* const* rows, const PoolShape& shape, int64_t first,
                                int64_t last, Bf16* out);

}  // namespace millrace
