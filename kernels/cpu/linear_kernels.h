#pragma once
// y = x·Wᵀ for weights as they lie in the file: row-major, FP4, FP8, BF16 or F32, with their scales.
//
// A strip is 16 outputs (weight rows), one lane each. Columns go in groups of 32: inside a group the products of column
// pairs are added to a lane one pair after the other, beginning at 0; then the lane's total += group · scale. That is the
// order of every sum, for one row and for many, whatever the format; it is also how the official kernel adds FP4 blocks.
// F32 weights are three bf16 parts (8 bits of mantissa each), added part by part.
//
// One row: weights are decoded in registers and used at once (memory-bound: 0.53, 1, 2 bytes a weight). Many rows: 32
// outputs × 512 columns are decoded to bf16 into a panel in the L1 cache, exactly, and a register tile of rows × outputs
// runs over it (bound by dot products).

#include <cstddef>
#include <cstdint>

#include "core/base/types.h"
#include "quant/linear_weight.h"

namespace millrace {

inline constexpr int64_t kStrip = 16;         // outputs that one vector holds
inline constexpr int64_t kTask = 2 * kStrip;  // outputs of one task
inline constexpr int64_t kLinearGroup = 32;   // columns added together before they are scaled
// Rows of one call: whole tiles of 7 and of 4 rows, at least a chunk of 512.
inline constexpr int64_t kLinearRowsMax = 532;

// The rows of x as a kernel reads them: group by group of 32 columns (the last one filled with zeros), and in a group the
// rows of a tile side by side, so that a register tile finds all of them at fixed distances: [tile][group][row of the
// tile][32]. Inside a group the columns lie in the order in which decoding a format's bytes brings them.
struct RowTiles {
    int64_t rows = 0;    // at most kLinearRowsMax
    int64_t groups = 0;  // ⌈cols / 32⌉
    int64_t tile_rows =
        1;  // LinearKernels::tile_rows, or `rows` if there are fewer; the last tile may be partly empty

    // Of group 0 of a row, in groups; the next group is tile_rows further.
    [[nodiscard]] constexpr int64_t place(int64_t row) const {
        return row / tile_rows * groups * tile_rows + row % tile_rows;
    }
    // Groups in all, empty rows of the last tile included.
    [[nodiscard]] constexpr int64_t size() const {
        return (rows + tile_rows - 1) / tile_rows * tile_rows * groups;
    }
};

struct LinearTask {
    const LinearWeight* weight = nullptr;
    int64_t first_row =
        0;  // weight rows [first_row, first_row + outputs) make y's columns [0, outputs)
    int64_t outputs = 0;
    RowTiles tiles;
    const Bf16* x = nullptr;
    Bf16* y_bf16 = nullptr;  // one of the two; row r at r·y_stride
    float* y_f32 = nullptr;
    int64_t y_stride = 0;
};

// The same with int8 activations: of every group the codes, −127 … 127 times the scale, and where its integer sum starts:
// minus the sum of codes times what a panel's bytes are shifted by.
struct Int8Rows {
    const int8_t* codes = nullptr;    // [tile][group][row of the tile][32]
    const float* scales = nullptr;    // [tile][group][row of the tile]
    const int32_t* starts = nullptr;  // the same
};

struct LinearKernels {
    // Tasks [first, last) of ⌈outputs / kTask⌉.
    void (*multiply)(const LinearTask& task, int64_t first, int64_t last);
    int64_t tile_rows;
    // One row of x in a weight format's order: group g goes to out + 32·step·g. From bf16, or from aq128's codes and scales.
    void (*order_bf16)(const Bf16* x, int64_t cols, WeightFormat format, Bf16* out, int64_t step);
    void (*order_fp8)(const uint8_t* codes, const uint8_t* scales, int64_t cols,
                      WeightFormat format, Bf16* out, int64_t step);
    // 16 rows of a weight from kRows to kStrips, in place: dword d of row r goes to place 16·d + r. Scales of FP4 the
    // same, byte by byte. `copy` is room for 16 · row_bytes.
    void (*arrange_strip)(std::byte* codes, int64_t row_bytes, std::byte* copy);
    void (*arrange_scales)(std::byte* scales, int64_t row_bytes, std::byte* copy);
    // FP4 and FP8 weights times int8 rows, instead of task.x. FP4 codes are exact; FP8 weights become int8 too, 32 columns
    // of a row at a time. Integer sums of a group are exact; then as above.
    void (*multiply_int8)(const LinearTask& task, const Int8Rows& x, int64_t first, int64_t last);
    // One row of x: scale = largest magnitude / 127 of each group; group g goes to place step·g. 32 divides cols.
    void (*order_int8)(const Bf16* x, int64_t cols, WeightFormat format, int8_t* codes,
                       float* scales, int32_t* starts, int64_t step);
};

}  // namespace millrace
