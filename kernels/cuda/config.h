#pragma once
// From the description of a problem to the shape of its launch: pure functions, tested on the CPU. What decides the order
// of a sum (threads, splits, chunks) follows from columns and formats only, never from the number of rows: a row's bits
// are the same in any company.

#include <cstdint>
#include <initializer_list>

#include "quant/linear_weight.h"

namespace millrace::cuda {

inline constexpr int kWarp = 32;

struct Blocks {
    uint32_t x = 1, y = 1, z = 1;
};
struct LaunchConfig {
    Blocks blocks;
    uint32_t threads = kWarp;
    uint32_t shared_bytes = 0;  // dynamic
};

// Whether all of these addresses and distances in bytes are multiples of 16: then rows are read 16 bytes a lane.
[[nodiscard]] bool fits_vectors(std::initializer_list<const void*> addresses,
                                std::initializer_list<int64_t> bytes);

// Kernels that compute each column alone, 8 columns a thread: blocks.x rows, blocks.y pieces of columns.
inline constexpr int kChunk = 8;
[[nodiscard]] LaunchConfig elementwise_config(int64_t rows, int64_t cols);

// The same with one column a thread.
[[nodiscard]] LaunchConfig channel_config(int64_t rows, int64_t channels);

// One block a row: norms, router, combine.
inline constexpr int kRowThreads = 256;
[[nodiscard]] LaunchConfig row_config(int64_t rows, uint32_t shared_bytes = 0);

// One warp an item, kWarpsTogether items a block.
inline constexpr int kWarpsTogether = 4;
[[nodiscard]] LaunchConfig warp_config(int64_t items);

// Hyper-connections: partial products of kMixColumns columns, then rows in pieces of kReduceColumns.
inline constexpr int kMixColumns = 128;
inline constexpr int kMixRows = 8;
inline constexpr int kReduceColumns = 2 * kRowThreads;
[[nodiscard]] LaunchConfig mix_config(int64_t rows, int64_t cols);
[[nodiscard]] LaunchConfig reduce_config(int64_t rows, int64_t hidden);

// Products of rows with a weight: on tensor cores where addresses allow vectors, with a warp for 16 outputs whose columns
// the warps of a block share (few rows), or with a block for 128 outputs by 64 rows, which takes one share of the columns
// after another (many); one number at a time elsewhere, and with fp32 weights.
enum class InputFormat : uint8_t { kFp8, kBf16 };  // what aq128 left of the rows, or the rows
enum class Alignment : uint8_t { kVectors, kBytes };
struct ProductProblem {
    WeightFormat weight = WeightFormat::kFp8;
    int64_t rows = 0;
    int64_t cols = 0;
    int64_t outputs = 0;  // of one group
    int64_t groups = 1;
    Alignment alignment = Alignment::kVectors;
};
enum class ProductShape : uint8_t { kFewRows, kManyRows, kNoTiles };
inline constexpr int kOutputs = 4;     // of a warp without tiles
inline constexpr int kRowsAtOnce = 4;  // there, of vectors
inline constexpr int kSplitsMax = 8;
inline constexpr int kUnit = 32;                   // columns of two steps of tensor cores
inline constexpr int kTileOutputs = 16;            // of a warp
inline constexpr int kTileRows = 8;                // of one product of tensor cores
inline constexpr int kFewRowsMax = 4 * kTileRows;  // more take the shape for many
inline constexpr int kBlockOutputs = kSplitsMax * kTileOutputs;  // of many rows
inline constexpr int kBlockTiles = 8;
inline constexpr int kBlockRows = kBlockTiles * kTileRows;
inline constexpr int kRing = 3;  // stages of a warp: one that is multiplied, two under way
inline constexpr int kStageRowBytes = 128;
inline constexpr int kStageBytes = kTileOutputs * kStageRowBytes;
struct ProductConfig {
    LaunchConfig launch;
    ProductShape shape = ProductShape::kFewRows;
    // In one pass over the weight; of bytes, which only odd files have, always 1.
    int rows = 1;
    int splits = 1;  // of the columns; of format and columns alone
};
[[nodiscard]] ProductConfig product_config(const ProductProblem& problem);
// Columns of a weight that a lane takes at once: 16 bytes of codes, or a block.
[[nodiscard]] constexpr int lane_columns(WeightFormat format) {
    switch (format) {
        case WeightFormat::kF32: return 4;
        case WeightFormat::kBf16: return 8;
        case WeightFormat::kFp8: return 16;
        default: return 32;
    }
}

// Columns that a warp of tiles stages at once: at most 128 bytes of codes of each output.
[[nodiscard]] constexpr int stage_columns(WeightFormat format) {
    switch (format) {
        case WeightFormat::kBf16: return 64;
        case WeightFormat::kFp4:
        case WeightFormat::kQ3s:
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v: return 256;
        default: return 128;
    }
}
// Of many rows, two buffers of as many columns of rows.
inline constexpr int kRowsColumns = 128;
[[nodiscard]] constexpr int rows_columns(WeightFormat format) {
    return stage_columns(format) < kRowsColumns ? stage_columns(format) : kRowsColumns;
}

}  // namespace millrace::cuda
