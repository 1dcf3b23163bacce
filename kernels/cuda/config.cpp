#include "kernels/cuda/config.h"

#include <algorithm>

#include "core/base/check.h"

namespace millrace::cuda {
namespace {

uint32_t pieces(int64_t count, int64_t size) {
    const int64_t n = (count + size - 1) / size;
    ENSURE(n <= INT32_MAX);
    return static_cast<uint32_t>(n);
}

}  // namespace

bool fits_vectors(std::initializer_list<const void*> addresses,
                  std::initializer_list<int64_t> bytes) {
    return std::ranges::all_of(
               addresses,
               [](const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; }) &&
           std::ranges::all_of(bytes, [](int64_t n) { return n % 16 == 0; });
}

LaunchConfig elementwise_config(int64_t rows, int64_t cols) {
    // Small blocks: one row of a decode step spreads over several processors.
    constexpr uint32_t kThreads = 64;
    return {{pieces(rows, 1), pieces(cols, int64_t{kThreads} * kChunk)}, kThreads};
}

LaunchConfig channel_config(int64_t rows, int64_t channels) {
    constexpr uint32_t kThreads = 64;
    return {{pieces(rows, 1), pieces(channels, kThreads)}, kThreads};
}

LaunchConfig row_config(int64_t rows, uint32_t shared_bytes) {
    return {{pieces(rows, 1)}, kRowThreads, shared_bytes};
}

LaunchConfig warp_config(int64_t items) {
    return {{pieces(items, kWarpsTogether)}, kWarpsTogether * kWarp};
}

LaunchConfig mix_config(int64_t rows, int64_t cols) {
    return {{pieces(cols, kMixColumns), pieces(rows, kMixRows)}, kRowThreads};
}

LaunchConfig reduce_config(int64_t rows, int64_t hidden) {
    return {{pieces(rows, 1), pieces(hidden, kReduceColumns)}, kRowThreads};
}

ProductConfig product_config(const ProductProblem& problem) {
    ProductConfig config;
    const bool tiles =
        problem.alignment == Alignment::kVectors && problem.weight != WeightFormat::kF32;
    // A warp alone would take long over many columns; with less than two steps for each, more warps would only wait.
    const int64_t step =
        tiles ? stage_columns(problem.weight) : int64_t{kWarp} * lane_columns(problem.weight);
    config.splits =
        static_cast<int>(std::clamp<int64_t>(pieces(problem.cols, step) / 2, 1, kSplitsMax));
    const auto threads = static_cast<uint32_t>(config.splits * kWarp);
    const uint32_t groups = pieces(problem.groups, 1);
    if (!tiles) {
        config.shape = ProductShape::kNoTiles;
        config.rows = problem.rows == 1 || problem.alignment == Alignment::kBytes ? 1 : kRowsAtOnce;
        config.launch = {
            {pieces(problem.outputs, kOutputs), pieces(problem.rows, config.rows), groups},
            threads};
        return config;
    }
    if (problem.rows <= kFewRowsMax) {
        config.rows = kTileRows;
        // All rows of some outputs one after the other: the weight comes from memory once.
        config.launch = {
            {pieces(problem.rows, kTileRows), pieces(problem.outputs, kTileOutputs), groups},
            threads,
            static_cast<uint32_t>(config.splits * kRing * kStageBytes)};
        return config;
    }
    config.shape = ProductShape::kManyRows;
    config.rows = kBlockRows;
    const int rows_bytes = 2 * kBlockRows * (2 * rows_columns(problem.weight) + 4);
    config.launch = {
        {pieces(problem.outputs, kBlockOutputs), pieces(problem.rows, kBlockRows), groups},
        kSplitsMax * kWarp,
        static_cast<uint32_t>(kSplitsMax * kRing * kStageBytes + rows_bytes)};
    return config;
}

}  // namespace millrace::cuda
