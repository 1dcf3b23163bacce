#pragma once
// How the blocks of the low-bit formats lie in memory (quant/linear_weight.h draws them), and how a scale byte is read.
// Pure functions.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "quant/linear_weight.h"

namespace millrace {

// What a block is made of: for kQ3s and kQ2s the level of every column, for kQ2v the point of every two columns (16).
using BlockIndices = std::array<uint8_t, kLowBitBlock>;

[[nodiscard]] constexpr int64_t block_bytes(WeightFormat format) {
    return format == WeightFormat::kQ3s ? 12 : 8;
}
void pack_block(WeightFormat format, const BlockIndices& indices, std::byte* out);
[[nodiscard]] BlockIndices unpack_block(WeightFormat format, const std::byte* block);

// Step s as a factor: 2^(s/2), where an odd step is half as much again as the one before it. Exact for any s that fp32
// holds.
[[nodiscard]] constexpr float step_value(int step) {
    const int octave = step >= 0 ? step / 2 : (step - 1) / 2;
    const float whole = std::bit_cast<float>(static_cast<uint32_t>(octave + 127) << 23);
    return step % 2 == 0 ? whole : whole * 1.5F;
}

struct BlockScale {
    int book = 0;
    int step = 0;
};
[[nodiscard]] constexpr BlockScale block_scale(uint8_t byte) { return {byte >> 4, byte & 15}; }
[[nodiscard]] constexpr uint8_t block_scale_byte(BlockScale scale) {
    return static_cast<uint8_t>(scale.book << 4 | scale.step);
}

// Where the bytes of a matrix's row lie, in bytes from the beginning of its scales.
[[nodiscard]] constexpr int64_t base_offset(int64_t row) { return row; }
[[nodiscard]] constexpr int64_t block_scales_offset(const LinearWeight& weight, int64_t row) {
    return weight.rows + row * (weight.cols / kLowBitBlock);
}

}  // namespace millrace
