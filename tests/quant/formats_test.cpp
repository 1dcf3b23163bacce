// Names, sizes and bytes of the weight formats.

#include "quant/format.h"

#include <doctest/doctest.h>

#include <cstring>
#include <tuple>
#include <utility>

#include "quant/blocks.h"
#include "quant/codebook.h"
#include "quant/decode.h"
#include "tests/quant/fp4_matrix.h"

namespace millrace {

TEST_CASE("every format has a name that leads back to it") {
    for (const WeightFormat format :
         {WeightFormat::kBf16, WeightFormat::kF32, WeightFormat::kFp8, WeightFormat::kFp4,
          WeightFormat::kQ3s, WeightFormat::kQ2s, WeightFormat::kQ2v}) {
        CHECK(format_from_name(format_name(format)) == format);
    }
    CHECK(format_name(WeightFormat::kFp4) == "f4");
    CHECK(format_name(WeightFormat::kQ2v) == "q2v");
    CHECK_FALSE(format_from_name("q4s"));
    CHECK_FALSE(format_from_name(""));
    CHECK_FALSE(format_from_name("F4"));
}

TEST_CASE("bytes of codes and scales") {
    const auto bytes = [](WeightFormat format, ScaleFormat scales, int64_t rows, int64_t cols) {
        const LinearWeight weight{
            .format = format, .scale_format = scales, .rows = rows, .cols = cols};
        return std::pair(weight_codes_bytes(weight), weight_scales_bytes(weight));
    };
    CHECK(bytes(WeightFormat::kBf16, ScaleFormat::kNone, 3, 5) ==
          std::pair<int64_t, int64_t>(30, 0));
    CHECK(bytes(WeightFormat::kF32, ScaleFormat::kNone, 3, 5) ==
          std::pair<int64_t, int64_t>(60, 0));
    CHECK(bytes(WeightFormat::kFp8, ScaleFormat::kE8m0, 130, 256) ==
          std::pair<int64_t, int64_t>(130 * 256, 4));
    CHECK(bytes(WeightFormat::kFp8, ScaleFormat::kF32, 130, 256) ==
          std::pair<int64_t, int64_t>(130 * 256, 16));
    CHECK(bytes(WeightFormat::kFp4, ScaleFormat::kE8m0, 2048, 4096) ==
          std::pair<int64_t, int64_t>(4 << 20, 256 << 10));
    CHECK(bytes(WeightFormat::kQ3s, ScaleFormat::kE8m0, 2048, 4096) ==
          std::pair<int64_t, int64_t>(3 << 20, (256 << 10) + 2048));
    CHECK(bytes(WeightFormat::kQ2s, ScaleFormat::kE8m0, 2048, 4096) ==
          std::pair<int64_t, int64_t>(2 << 20, (256 << 10) + 2048));
    CHECK(bytes(WeightFormat::kQ2v, ScaleFormat::kE8m0, 2048, 4096) ==
          std::pair<int64_t, int64_t>(2 << 20, (256 << 10) + 2048));
}

TEST_CASE("blocks lie as they are drawn, and come back") {
    BlockIndices indices{};
    std::byte block[12] = {};
    indices[6] = 5;  // 01 in the lower plane, byte 1 bits 4 and 5; third bit: byte 1, bit 2
    indices[29] = 7;
    pack_block(WeightFormat::kQ3s, indices, block);
    std::byte wanted[12] = {};
    wanted[1] = std::byte{0x10};
    wanted[7] = std::byte{0x0C};
    wanted[8 + 1] = std::byte{0x04};
    wanted[8 + 3] = std::byte{0x20};
    CHECK(std::memcmp(block, wanted, 12) == 0);

    indices = {};
    indices[3] = 9;  // columns 6 and 7
    pack_block(WeightFormat::kQ2v, indices, block);
    CHECK(block[1] == std::byte{0x90});

    Random random(3);
    for (const auto& [format, most, count] :
         {std::tuple(WeightFormat::kQ3s, 8, 32), std::tuple(WeightFormat::kQ2s, 4, 32),
          std::tuple(WeightFormat::kQ2v, 16, 16)}) {
        for (int round = 0; round < 100; ++round) {
            indices = {};
            for (int i = 0; i < count; ++i) {
                indices[static_cast<size_t>(i)] =
                    static_cast<uint8_t>(random.below(static_cast<uint64_t>(most)));
            }
            pack_block(format, indices, block);
            CHECK(unpack_block(format, block) == indices);
        }
    }
}

TEST_CASE("a weight is its level times its step times the row's base") {
    for (const WeightFormat format : {WeightFormat::kQ3s, WeightFormat::kQ2s, WeightFormat::kQ2v}) {
        Matrix matrix(format, 2, 64);
        matrix.scales[1] = std::byte{125};              // 2⁻² for the second row
        matrix.scales[2 + 3] = std::byte{11 << 4 | 5};  // its second block: book 11, step 2² · 1½
        BlockIndices indices{};
        indices[4] = 3;
        pack_block(format, indices, &matrix.codes[static_cast<size_t>(3 * block_bytes(format))]);
        std::vector<float> row(64);
        decode_row(matrix.weight, 1, row);
        const float scale = 6.0F / 4;
        switch (format) {
            case WeightFormat::kQ3s:
                CHECK(row[36] == static_cast<float>(kQ3sBooks[11][3]) * scale);
                break;
            case WeightFormat::kQ2s:
                CHECK(row[36] == static_cast<float>(kQ2sBooks[11][3]) * scale);
                break;
            default:
                CHECK(row[40] == static_cast<float>(kQ2vBooks[11][3][0]) * scale);
                CHECK(row[41] == static_cast<float>(kQ2vBooks[11][3][1]) * scale);
        }
    }
    CHECK(step_value(0) == 1.0F);
    CHECK(step_value(1) == 1.5F);
    CHECK(step_value(15) == 192.0F);
    CHECK(step_value(-3) == 0.375F);
}

TEST_CASE("rows of FP4") {
    Matrix matrix(WeightFormat::kFp4, 2, 64);
    matrix.scales[3] = std::byte{128};
    matrix.codes[16 * 3 + 5] = std::byte{0xE3};  // columns 42 and 43: 1½ and −4
    std::vector<float> row(64);
    decode_row(matrix.weight, 1, row);
    CHECK(row[42] == 3.0F);
    CHECK(row[43] == -8.0F);
    CHECK(row[0] == 0.0F);
}

}  // namespace millrace
