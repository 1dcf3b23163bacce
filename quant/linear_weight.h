#pragma once
// A stored weight matrix [rows = outputs, cols = inputs], row-major, with its scales (spec §2.1, §2.5, §3.2).

#include <cstddef>
#include <cstdint>

namespace millrace {

enum class WeightFormat : uint8_t {
    kBf16,  // 2 bytes a weight, no scales
    kF32,   // 4 bytes a weight, no scales
    kFp8,   // e4m3 codes; one scale per 128×128 block: scales [⌈rows/128⌉, ⌈cols/128⌉]
    kFp4,  // e2m1 codes, two a byte, low nibble = even column; one scale per 32 columns: scales [rows, cols/32]
};

enum class ScaleFormat : uint8_t {
    kNone,
    kE8m0,  // 1 byte: 2^(byte − 127)
    kF32,   // 4 bytes, little-endian
};

// Where a weight's bytes lie inside its memory.
enum class WeightLayout : uint8_t {
    kRows,    // as in the file
    kStrips,  // in strips of 16 rows, for vectors whose lanes are rows: kernels/ops.h, arrange
};

// A view: owns nothing. The bytes need not be aligned, neither codes nor scales: expert bytes lie as the drive gave them.
struct LinearWeight {
    WeightFormat format = WeightFormat::kBf16;
    ScaleFormat scale_format = ScaleFormat::kNone;
    WeightLayout layout = WeightLayout::kRows;
    int64_t rows = 0;
    int64_t cols = 0;
    const std::byte* codes = nullptr;
    const std::byte* scales = nullptr;

    [[nodiscard]] bool present() const { return codes != nullptr; }
    [[nodiscard]] bool quantised() const {
        return format == WeightFormat::kFp8 || format == WeightFormat::kFp4;
    }
};

// Bytes of the codes of one row.
[[nodiscard]] constexpr int64_t weight_row_bytes(const LinearWeight& weight) {
    switch (weight.format) {
        case WeightFormat::kBf16: return 2 * weight.cols;
        case WeightFormat::kF32: return 4 * weight.cols;
        case WeightFormat::kFp8: return weight.cols;
        case WeightFormat::kFp4: return weight.cols / 2;
    }
    return 0;
}

// The three matrices of an expert: w1 = gate [inner, d], w3 = up [inner, d], w2 = down [d, inner].
struct ExpertWeights {
    LinearWeight w1, w2, w3;
};

}  // namespace millrace
