#pragma once
// The values of stored expert weights: the definition of every format that an expert may have, in plain loops. What
// kernels do is held to this. Pure functions; the layout is kRows, shapes that do not fit are bugs.

#include <array>
#include <cstdint>
#include <span>

#include "quant/linear_weight.h"

namespace millrace {

// A block of a low-bit format: 32 neighbouring columns are levels[i] · scale.
struct LevelBlock {
    std::array<int8_t, kLowBitBlock> levels;
    float scale;
};
[[nodiscard]] LevelBlock decode_block(const LinearWeight& weight, int64_t row, int64_t block);

// The same as values, of kFp4 too. Exact unless a value leaves the range of fp32.
using ValueBlock = std::array<float, kLowBitBlock>;
[[nodiscard]] ValueBlock decode_values(const LinearWeight& weight, int64_t row, int64_t block);

// One row of kFp4 or of a low-bit format. out.size() = weight.cols.
void decode_row(const LinearWeight& weight, int64_t row, std::span<float> out);

}  // namespace millrace
