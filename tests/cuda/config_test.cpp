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
        for (const Alignment alignment : {Alignment::kVectors, Alignment::kBytes}) {
            for (const int64_t cols : {32, 512, 1024, 1536, 4096, 7168, 16384}) {
                const ProductConfig one = product_config({format, 1, cols, 64, 1, alignment});
                CHECK(one.launch.threads == static_cast<uint32_t>(one.splits * kWarp));
                CHECK(one.splits >= 1);
                CHECK(one.splits <= kSplitsMax);
                CHECK(one.launch.threads >= kOutputs * kRowsAtOnce);  // who puts the sums
                for (const int64_t rows : {2, 5, 32, 33, 500}) {
                    const ProductConfig some =
                        product_config({format, rows, cols, 64, 1, alignment});
                    CHECK(some.splits == one.splits);
                    // The same arithmetic, too.
                    CHECK((some.shape == ProductShape::kNoTiles) ==
                          (one.shape == ProductShape::kNoTiles));
                }
                CHECK(product_config({format, 1, cols, 2048, 8, alignment}).splits == one.splits);
            }
        }
    }
}

TEST_CASE("products cover outputs, rows and groups") {
    const ProductConfig few = product_config({WeightFormat::kFp8, 9, 4096, 33, 3});
    CHECK(few.shape == ProductShape::kFewRows);
    CHECK(few.rows == kTileRows);
    CHECK(few.launch.blocks.x == 2);
    CHECK(few.launch.blocks.y == 3);
    CHECK(few.launch.blocks.z == 3);
    CHECK(product_config({WeightFormat::kFp8, kFewRowsMax, 4096, 33}).shape ==
          ProductShape::kFewRows);
    const ProductConfig many = product_config({WeightFormat::kFp8, kFewRowsMax + 1, 4096, 129, 2});
    CHECK(many.shape == ProductShape::kManyRows);
    CHECK(many.rows == kBlockRows);
    CHECK(many.launch.blocks.x == 2);
    CHECK(many.launch.blocks.y == 1);
    CHECK(many.launch.blocks.z == 2);
    CHECK(product_config({WeightFormat::kFp8, 65, 4096, 128}).launch.blocks.y == 2);
    const ProductConfig bytes =
        product_config({WeightFormat::kFp8, 9, 4096, 33, 1, Alignment::kBytes});
    CHECK(bytes.shape == ProductShape::kNoTiles);
    CHECK(bytes.rows == 1);
    CHECK(bytes.launch.blocks.x == 9);
    CHECK(bytes.launch.blocks.y == 9);
    const ProductConfig floats = product_config({WeightFormat::kF32, 9, 4096, 32});
    CHECK(floats.shape == ProductShape::kNoTiles);
    CHECK(floats.rows == kRowsAtOnce);
    CHECK(floats.launch.blocks.y == 3);
}

TEST_CASE("shared memory of tiles: few rows need no leave, many fit twice into a processor") {
    for (const WeightFormat format :
         {WeightFormat::kFp8, WeightFormat::kFp4, WeightFormat::kBf16}) {
        CHECK(product_config({format, 1, 16384, 64}).launch.shared_bytes <= 48 * 1024);
        CHECK(product_config({format, 500, 16384, 64}).launch.shared_bytes <= 82 * 1024);
        // A warp has a ring of its own.
        CHECK(product_config({format, 1, 32, 64}).launch.shared_bytes == kRing * kStageBytes);
    }
}

TEST_CASE("vectors need addresses and distances that are multiples of 16") {
    alignas(16) static const std::byte memory[32] = {};
    CHECK(fits_vectors({memory, memory + 16}, {32, 48}));
    CHECK_FALSE(fits_vectors({memory + 8}, {32}));
    CHECK_FALSE(fits_vectors({memory}, {32, 40}));
    CHECK(fits_vectors({}, {}));
}

}  // namespace millrace::cuda
