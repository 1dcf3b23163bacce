// Low-bit blocks on the device: every level and step as quant/decode has them, bit for bit.

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "core/base/random.h"
#include "kernels/cuda/device/half.cuh"
#include "quant/blocks.h"
#include "quant/decode.h"
#include "quant/float_codes.h"
#include "tests/cuda/low_bit_kernels.h"
#include "tests/cuda/stage.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/support/cuda_sim/simulator.h"

namespace millrace {
namespace {

std::vector<std::byte> random_bytes(Random& random, int64_t count) {
    std::vector<std::byte> out(static_cast<size_t>(count));
    for (std::byte& byte : out) byte = static_cast<std::byte>(random.below(256));
    return out;
}

}  // namespace

TEST_CASE("blocks of low-bit weights decode to their levels and values, all books and steps") {
    Random random(8);
    constexpr int64_t kBlocks = 64;
    for (const WeightFormat format : {WeightFormat::kQ3s, WeightFormat::kQ2s, WeightFormat::kQ2v}) {
        CAPTURE(static_cast<int>(format));
        LinearWeight w{.format = format,
                       .scale_format = ScaleFormat::kE8m0,
                       .rows = 4,
                       .cols = kBlocks * kLowBitBlock};
        const auto codes = random_bytes(random, weight_codes_bytes(w));
        auto scales = random_bytes(random, weight_scales_bytes(w));
        for (int64_t r = 0; r < w.rows; ++r) scales[static_cast<size_t>(r)] = std::byte{129};
        // Every scale byte is there once.
        for (int64_t i = 0; i < w.rows * kBlocks; ++i)
            scales[static_cast<size_t>(w.rows + i)] = static_cast<std::byte>(i);
        w.codes = codes.data();
        w.scales = scales.data();
        constexpr size_t kColumns = 4 * kBlocks * kLowBitBlock;
        std::vector<float> levels(kColumns), steps(4 * kBlocks);
        std::vector<uint32_t> halves(kColumns / 2), bf16s(kColumns / 2);
        test::Stage stage;
        const LinearWeight on_gpu = stage.in(w);
        cuda_sim::decode_low_bit(
            format, {reinterpret_cast<const uint8_t*>(on_gpu.codes),
                     reinterpret_cast<const uint8_t*>(on_gpu.scales) + w.rows, 4 * kBlocks,
                     stage.out(std::span(steps)).data(), stage.out(std::span(levels)).data(),
                     stage.out(std::span(halves)).data(), stage.out(std::span(bf16s)).data()});
        test::expect_no_violations();
        stage.back();
        int64_t wrong = 0;
        for (int64_t row = 0; row < w.rows; ++row) {
            for (int64_t block = 0; block < kBlocks; ++block) {
                const LevelBlock want = decode_block(w, row, block);
                const auto number = static_cast<size_t>(row * kBlocks + block);
                wrong += steps[number] * e8m0_value(129) != want.scale ? 1 : 0;
                for (size_t i = 0; i < kLowBitBlock; ++i) {
                    const size_t at = number * kLowBitBlock + i;
                    const auto level = static_cast<float>(want.levels[i]);
                    // Columns i and i + 4 of eight share a word.
                    const size_t word = at / 8 * 4 + at % 4, shift = at % 8 / 4 * 16;
                    const uint32_t half = halves[word] >> shift & 0xFFFFu;
                    const Bf16 narrow{static_cast<uint16_t>(bf16s[word] >> shift)};
                    wrong += levels[at] != level || cuda::half_value(half) != level ||
                                     to_float(narrow) != level
                                 ? 1
                                 : 0;
                }
            }
        }
        CHECK(wrong == 0);
    }
}

}  // namespace millrace
