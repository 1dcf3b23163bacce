#include "quant/decode.h"
#include "kernels/reference/canonical.h"

namespace millrace::reference {
namespace {

template <class Value>
constexpr std::array<double, 256> table_of(Value value_of) {
    std::array<double, 256> table{};
    for (size_t i = 0; i < 256; ++i)
        table[i] = static_cast<double>(value_of(static_cast<uint8_t>(i)));
    return table;
}

constexpr std::array<double, 256> kE4m3 = table_of(e4m3_value);
constexpr std::array<double, 256> kE8m0 = table_of(e8m0_value);

[[nodiscard]] size_t code_of(std::byte b) { return std::to_integer<size_t>(b); }

[[nodiscard]] double scale_at(const LinearWeight& weight, int64_t index) {
    if (weight.scale_format == ScaleFormat::kE8m0) return kE8m0[code_of(weight.scales[index])];
    return load<float>(weight.scales + 4 * index);
}

}  // namespace

void decode_weights(const LinearWeight& weight, int64_t row, int64_t first, int64_t count,
                    double* out) {
    const int64_t at = row * weight.cols + first;
    switch (weight.format) {
        case WeightFormat::kBf16:
            for (int64_t i = 0; i < count; ++i)
                out[i] = value(load<Bf16>(weight.codes + 2 * (at + i)));
            return;
        case WeightFormat::kF32:
            for (int64_t i = 0; i < count; ++i) out[i] = load<float>(weight.codes + 4 * (at + i));
            return;
        case WeightFormat::kFp8: {
            const int64_t blocks = (weight.cols + 127) / 128;
            const double scale = scale_at(weight, row / 128 * blocks + first / 128);
            for (int64_t i = 0; i < count; ++i)
                out[i] = kE4m3[code_of(weight.codes[at + i])] * scale;
            return;
        }
        case WeightFormat::kFp4: {
            for (int64_t group = 0; group < count; group += 32) {
                const double scale = scale_at(weight, (at + group) / 32);
                for (int64_t i = group; i < group + 32; i += 2) {
                    const size_t pair = code_of(weight.codes[(at + i) / 2]);
                    out[i] = static_cast<double>(kE2m1Values[pair & 15]) * scale;
                    out[i + 1] = static_cast<double>(kE2m1Values[pair >> 4]) * scale;
                }
            }
            return;
        }
        case WeightFormat::kQ3s:
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v: {
            for (int64_t group = 0; group < count; group += kLowBitBlock) {
                const LevelBlock block = decode_block(weight, row, (first + group) / kLowBitBlock);
                for (size_t i = 0; i < block.levels.size(); ++i) {
                    out[group + static_cast<int64_t>(i)] =
                        static_cast<double>(block.levels[i]) * static_cast<double>(block.scale);
                }
            }
            return;
        }
    }
}

void decode_row(const KvRow& row, double* out) {
    for (size_t i = 0; i < kLatentDim; ++i)
        out[i] = kE4m3[row.codes[i]] * kE8m0[row.scales[i / kKvGroup]];
    for (size_t i = 0; i < kRopeDim; ++i) out[kLatentDim + i] = value(row.rope[i]);
}

void decode_row(const IndexRow& row, double* out) {
    for (size_t i = 0; i < kIndexDim; i += 2) {
        const double scale = kE8m0[row.scales[i / kIndexGroup]];
        out[i] = static_cast<double>(kE2m1Values[row.codes[i / 2] & 15]) * scale;
        out[i + 1] = static_cast<double>(kE2m1Values[row.codes[i / 2] >> 4]) * scale;
    }
}

}  // namespace millrace::reference
