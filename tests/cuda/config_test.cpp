// Shapes of launches: everything is covered, limits are kept, and nothing that orders a sum follows from rows.

#include "kernels/cuda/config.h"

#include <doctest/doctest.h>

#include <cstddef>

namespace millrace::cuda {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::kFp8, WeightFormat::kFp4, WeightFormat::kBf16,
                                     WeightFormat::kF32};

}  // namespace

TEST_CASE("blocks cover every element, and no block is beyond the last") {
    for (const int64_t cols : {1, 511, 512, 513, 4096, 28672}) {
        for (const int64_t rows : {1, 2, 8, 9, 4096}) {
            const LaunchConfig e = elementwise_config(rows, cols);
            CHECK(e.blocks.x == rows);
            CHECK(int64_t{e.blocks.y} * e.threads * kChunk >= cols);
            CHECK((int64_t{e.blocks.y} - 1) * e.threads * kChunk < cols);
            const LaunchConfig m = mix_config(rows, cols);
            CHECK(int64_t{m.blocks.x} * kMixColumns >= cols);
            CHECK((int64_t{m.blocks.y} - 1) * kMixRows < rows);
            CHECK(int64_t{m.blocks.y} * kMixRows >= rows);
            const LaunchConfig w = warp_config(rows * cols);
            CHECK(int64_t{w.blocks.x} * kWarpsTogether >= rows * cols);
            CHECK(w.threads == kWarpsTogether * kWarp);
        }
    }
}

TEST_CASE("what orders a product's sum follows from columns and format alone") {
    for (const WeightFormat format : kFormats) {
        for (const int64_t cols : {32, 512, 1024, 1536, 4096, 7168, 16384}) {
            const uint32_t threads = product_config({format, 1, cols, 64}).launch.threads;
            CHECK(threads % kWarp == 0);
            CHECK(threads <= kSplitsMax * kWarp);
            CHECK(threads >= kOutputs * kRowsAtOnce);  // who puts the sums
            for (const int64_t rows : {2, 5, 500})
                CHECK(product_config({format, rows, cols, 64}).launch.threads == threads);
            CHECK(product_config({format, 1, cols, 2048, 8}).launch.threads == threads);
        }
    }
}

TEST_CASE("products cover outputs, rows and groups") {
    const ProductConfig one = product_config({WeightFormat::kFp8, 1, 4096, 33, 3});
    CHECK(one.rows == 1);
    CHECK(one.launch.blocks.x == 9);
    CHECK(one.launch.blocks.y == 1);
    CHECK(one.launch.blocks.z == 3);
    const ProductConfig many = product_config({WeightFormat::kFp8, 9, 4096, 32});
    CHECK(many.rows == kRowsAtOnce);
    CHECK(many.launch.blocks.x == 8);
    CHECK(many.launch.blocks.y == 3);
    CHECK(product_config({WeightFormat::kFp8, 9, 4096, 32, 1, Alignment::kBytes}).rows == 1);
    // Flash's largest weights on a GPU of 128 processors: warps for all of them.
    CHECK(product_config({WeightFormat::kFp8, 1, 4096, 1024}).launch.threads == 4 * kWarp);
}

TEST_CASE("vectors need addresses and distances that are multiples of 16") {
    alignas(16) static const std::byte memory[32] = {};
    CHECK(fits_vectors({memory, memory + 16}, {32, 48}));
    CHECK_FALSE(fits_vectors({memory + 8}, {32}));
    CHECK_FALSE(fits_vectors({memory}, {32, 40}));
    CHECK(fits_vectors({}, {}));
}

}  // namespace millrace::cuda
