#pragma once
// Which experts get more bits when the bytes are counted. Pure arithmetic.
//
// A layer's loss is the relative error of what its experts put out, measured for each format and weighed by how much each
// expert puts out. Everybody begins with the smallest format. Then whole layers go a step up, the one first that gains
// most for a byte, as long as it fits; what is left goes to classes of experts within layers (a quarter of a layer, those
// that matter most first), so that a layer has few sizes of records and slots stay interchangeable.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/result.h"

namespace millrace {

struct LayerDemand {
    double weight = 1;                 // of the layer's loss
    std::vector<double> error;         // by level, falling
    std::vector<double> expert_share;  // of the layer's output; they add up to 1
};

struct Allocation {
    std::vector<std::vector<uint8_t>> levels;  // [layers][experts]
    uint64_t bytes = 0;
    double loss = 0;
};

// `level_bytes`: of one expert, rising. Every layer has as many experts. kCapacity when even the lowest level everywhere
// takes more than `budget`.
[[nodiscard]] Result<Allocation> allocate(const std::vector<uint64_t>& level_bytes,
                                          const std::vector<LayerDemand>& layers, uint64_t budget);

}  // namespace millrace
