#include "quant/decode.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "quant/blocks.h"
#include "quant/codebook.h"
#include "quant/float_codes.h"

namespace millrace {
namespace {

[[nodiscard]] uint8_t byte_at(const std::byte* bytes, int64_t index) {
    return std::to_integer<uint8_t>(bytes[index]);
}

[[nodiscard]] ValueBlock decode_fp4(const LinearWeight& weight, int64_t row, int64_t block) {
    const int64_t at = row * (weight.cols / 32) + block;
    float scale = 0;
    if (weight.scale_format == ScaleFormat::kE8m0) {
        scale = e8m0_value(byte_at(weight.scales, at));
    } else {
        std::memcpy(&scale, weight.scales + 4 * at, sizeof scale);
    }
    ValueBlock out{};
    for (size_t i = 0; i < out.size(); i += 2) {
        const uint8_t pair = byte_at(weight.codes, at * 16 + static_cast<int64_t>(i / 2));
        out[i] = kE2m1Values[pair & 15] * scale;
        out[i + 1] = kE2m1Values[pair >> 4] * scale;
    }
    return out;
}

}  // namespace

LevelBlock decode_block(const LinearWeight& weight, int64_t row, int64_t block) {
    ENSURE(weight.low_bit() && weight.layout == WeightLayout::kRows &&
           weight.cols % kLowBitBlock == 0);
    const uint8_t base = byte_at(weight.scales, base_offset(row));
    const auto [book, step] =
        block_scale(byte_at(weight.scales, block_scales_offset(weight, row) + block));
    const BlockIndices indices =
        unpack_block(weight.format, weight.codes + row * weight_row_bytes(weight) +
                                        block * block_bytes(weight.format));
    LevelBlock out{.levels = {}, .scale = step_value(step) * e8m0_value(base)};
    const auto b = static_cast<size_t>(book);
    for (size_t i = 0; i < out.levels.size(); ++i) {
        switch (weight.format) {
            case WeightFormat::kQ3s: out.levels[i] = kQ3sBooks[b][indices[i]]; break;
            case WeightFormat::kQ2s: out.levels[i] = kQ2sBooks[b][indices[i]]; break;
            default: out.levels[i] = kQ2vBooks[b][indices[i / 2]][i % 2]; break;
        }
    }
    return out;
}

ValueBlock decode_values(const LinearWeight& weight, int64_t row, int64_t block) {
    ENSURE(weight.layout == WeightLayout::kRows && weight.cols % kLowBitBlock == 0);
    if (!weight.low_bit()) {
        ENSURE(weight.format == WeightFormat::kFp4);
        return decode_fp4(weight, row, block);
    }
    const LevelBlock levels = decode_block(weight, row, block);
    ValueBlock out{};
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>(levels.levels[i]) * levels.scale;
    return out;
}

void decode_row(const LinearWeight& weight, int64_t row, std::span<float> out) {
    ENSURE(static_cast<int64_t>(out.size()) == weight.cols && row < weight.rows);
    for (int64_t block = 0; block < weight.cols / kLowBitBlock; ++block) {
        std::ranges::copy(decode_values(weight, row, block), out.begin() + block * kLowBitBlock);
    }
}

}  // namespace millrace
