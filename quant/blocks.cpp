#include "quant/blocks.h"

#include <cstring>

namespace millrace {
namespace {

// Bit of a kQ3s block's last four bytes that belongs to a column.
[[nodiscard]] constexpr int third_bit(int column) {
    return column % 16 / 4 * 8 + column / 16 * 4 + column % 4;
}

}  // namespace

void pack_block(WeightFormat format, const BlockIndices& indices, std::byte* out) {
    const int bits = format == WeightFormat::kQ2v ? 4 : 2;
    uint64_t lower = 0;
    for (int i = 0; i < 64 / bits; ++i) {
        const uint64_t index = indices[static_cast<size_t>(i)];
        lower |= (index & ((uint64_t{1} << bits) - 1)) << (bits * i);
    }
    std::memcpy(out, &lower, sizeof lower);
    if (format != WeightFormat::kQ3s) return;
    uint32_t third = 0;
    for (int i = 0; i < kLowBitBlock; ++i) {
        third |= static_cast<uint32_t>(indices[static_cast<size_t>(i)] >> 2) << third_bit(i);
    }
    std::memcpy(out + sizeof lower, &third, sizeof third);
}

BlockIndices unpack_block(WeightFormat format, const std::byte* block) {
    const int bits = format == WeightFormat::kQ2v ? 4 : 2;
    BlockIndices out{};
    uint64_t lower = 0;
    std::memcpy(&lower, block, sizeof lower);
    for (int i = 0; i < 64 / bits; ++i) {
        out[static_cast<size_t>(i)] =
            static_cast<uint8_t>((lower >> (bits * i)) & ((uint64_t{1} << bits) - 1));
    }
    if (format != WeightFormat::kQ3s) return out;
    uint32_t third = 0;
    std::memcpy(&third, block + sizeof lower, sizeof third);
    for (int i = 0; i < kLowBitBlock; ++i) {
        out[static_cast<size_t>(i)] |= static_cast<uint8_t>((third >> third_bit(i) & 1U) << 2);
    }
    return out;
}

}  // namespace millrace
