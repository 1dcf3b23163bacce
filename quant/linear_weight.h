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
    // What the quantizer makes of FP4 experts; below.
    kQ3s,  // 3.25 bits a weight: one of 8 levels
    kQ2s,  // 2.25 bits a weight: one of 4 levels
    kQ2v,  // 2.25 bits a weight: two weights together are one of 16 points
};

// The low-bit formats. A block is 32 neighbouring columns of a row. It names one of 16 books of levels (quant/codebook.h:
// integers −127 … 127, the same for every tensor) and one of 16 scale steps; a weight is
//
//     level · step · 2^(base − 127)        step = 1, 1½, 2, 3, 4, 6, 8, … 128, 192;  base: one byte of the row
//
// so that a product is Σ over blocks of (sum of input · level) · scale, as with FP4, and every part of it is exact in
// bf16 (level, step) and in fp32 (scale). Steps of exactly √2 were no better and take more arithmetic to make.
//
//   codes   [rows][cols/32][12 or 8 bytes], little end first:
//             kQ2s  8 bytes: byte n holds columns 4n … 4n+3, two bits each, the first column lowest
//             kQ3s  the lower two bits of every level like kQ2s, then 4 bytes with the third: bit k of byte b
//                   (k < 4) is that of column 4b + k, bit 4 + k that of column 16 + 4b + k
//             kQ2v  8 bytes: byte n holds two points: columns 4n, 4n+1 the lower four bits, 4n+2, 4n+3 the upper
//   scales  [rows] bytes: base, then [rows][cols/32] bytes: step in the lower four bits, book in the upper
//
//      a kQ3s block, highest bit first (cN: of column N)
//      byte 0                   …  byte 7                       byte 8                       …  byte 11
//      c3 c2 c1 c0, two each       c31 c30 c29 c28, two each    c19 c18 c17 c16 c3 c2 c1 c0     c31 … c28 c15 … c12
//
// Base 255 is NaN: the row of a source with such a scale. Blocks more than 16 steps below the largest of their row take
// the lowest step, where at worst they become zero: every format has a book with the level 0.
inline constexpr int64_t kLowBitBlock = 32;
inline constexpr int kLowBitBooks = 16;
inline constexpr int kLowBitSteps = 16;

enum class ScaleFormat : uint8_t {
    kNone,
    kE8m0,  // 1 byte: 2^(byte − 127); what low-bit formats say too, of their bases
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
        return format != WeightFormat::kBf16 && format != WeightFormat::kF32;
    }
    [[nodiscard]] bool low_bit() const {
        return format == WeightFormat::kQ3s || format == WeightFormat::kQ2s ||
               format == WeightFormat::kQ2v;
    }
};

// Bytes of the codes of one row.
[[nodiscard]] constexpr int64_t weight_row_bytes(const LinearWeight& weight) {
    switch (weight.format) {
        case WeightFormat::kBf16: return 2 * weight.cols;
        case WeightFormat::kF32: return 4 * weight.cols;
        case WeightFormat::kFp8: return weight.cols;
        case WeightFormat::kFp4: return weight.cols / 2;
        case WeightFormat::kQ3s: return weight.cols / kLowBitBlock * 12;
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v: return weight.cols / kLowBitBlock * 8;
    }
    return 0;
}

// Bytes of all codes, of all scales.
[[nodiscard]] constexpr int64_t weight_codes_bytes(const LinearWeight& weight) {
    return weight.rows * weight_row_bytes(weight);
}
[[nodiscard]] constexpr int64_t weight_scales_bytes(const LinearWeight& weight) {
    const int64_t one = weight.scale_format == ScaleFormat::kF32 ? 4 : 1;
    switch (weight.format) {
        case WeightFormat::kBf16:
        case WeightFormat::kF32: return 0;
        case WeightFormat::kFp8:
            return (weight.rows + 127) / 128 * ((weight.cols + 127) / 128) * one;
        case WeightFormat::kFp4: return weight.rows * (weight.cols / 32) * one;
        case WeightFormat::kQ3s:
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v: return weight.rows * (1 + weight.cols / kLowBitBlock);
    }
    return 0;
}

// The three matrices of an expert: w1 = gate [inner, d], w3 = up [inner, d], w2 = down [d, inner].
struct ExpertWeights {
    LinearWeight w1, w2, w3;
};

}  // namespace millrace
