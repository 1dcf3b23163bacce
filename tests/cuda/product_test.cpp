// Products on tensor cores: what codes decode to, that sums are right in both shapes, and that they are the same in both.

#include <doctest/doctest.h>

#include <set>

#include "kernels/cuda/device/tile_codes.cuh"
#include "tests/cuda/staged_cuda_ops.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

using cuda::InputFormat;

// Bytes that begin at a multiple of 16: the tensor cores' way in.
struct Aligned {
    explicit Aligned(size_t count) : memory(count + 15), size(count) {}
    [[nodiscard]] std::byte* data() {
        return memory.data() + (16 - reinterpret_cast<uintptr_t>(memory.data()) % 16) % 16;
    }
    template <class T>
    [[nodiscard]] T* as() {
        return reinterpret_cast<T*>(data());
    }
    std::vector<std::byte> memory;
    size_t size;
};

// A weight and rows of numbers of many sizes, so that every addition rounds.
struct Case {
    Case(Random& random, WeightFormat format, ScaleFormat scale_format, int64_t n, int64_t outputs,
         int64_t columns)
        : rows(n),
          cols(columns),
          weight{.format = format, .scale_format = scale_format, .rows = outputs, .cols = columns},
          codes(static_cast<size_t>(weight_codes_bytes(weight))),
          scales(static_cast<size_t>(weight_scales_bytes(weight))),
          x(static_cast<size_t>(2 * n * columns)),
          x_codes(static_cast<size_t>(n * columns)),
          x_scales(static_cast<size_t>(n * ((columns + 127) / 128))) {
        const auto bf16 = [&] {
            const auto sign = static_cast<uint32_t>(random.below(2)) << 15;
            return static_cast<uint16_t>(sign | (115 + random.below(12)) << 7 | random.below(128));
        };
        const auto e4m3 = [&] {
            const auto code = static_cast<uint8_t>(random.below(256));
            return (code & 0x7F) == 0x7F ? uint8_t{0x01} : code;
        };
        for (size_t i = 0; i < codes.size; ++i) codes.as<uint8_t>()[i] = e4m3();
        if (format == WeightFormat::kBf16) {
            for (size_t i = 0; i < codes.size / 2; ++i) codes.as<uint16_t>()[i] = bf16();
        }
        for (size_t i = 0; i < scales.size; ++i)
            scales.as<uint8_t>()[i] = static_cast<uint8_t>(117 + random.below(8));
        // Any step with any book, behind the bases.
        for (auto i = static_cast<size_t>(outputs); weight.low_bit() && i < scales.size; ++i)
            scales.as<uint8_t>()[i] = static_cast<uint8_t>(random.below(256));
        for (size_t i = 0; scale_format == ScaleFormat::kF32 && i < scales.size / 4; ++i)
            scales.as<float>()[i] = to_float(Bf16{bf16()}) * 1.0001F;
        for (size_t i = 0; i < x.size / 2; ++i) x.as<uint16_t>()[i] = bf16();
        for (size_t i = 0; i < x_codes.size; ++i) x_codes.as<uint8_t>()[i] = e4m3();
        for (size_t i = 0; i < x_scales.size; ++i)
            x_scales.as<uint8_t>()[i] = static_cast<uint8_t>(117 + random.below(8));
        weight.codes = codes.data();
        weight.scales = scales.data();
    }
    [[nodiscard]] MatrixView<const Bf16> bf16_rows(int64_t first, int64_t count) {
        return {x.as<Bf16>() + first * cols, count, cols};
    }
    [[nodiscard]] LinearInput input(int64_t first, int64_t count) {
        const int64_t blocks = (cols + 127) / 128;
        return {bf16_rows(first, count),
                {{x_codes.as<uint8_t>() + first * cols, count, cols},
                 {x_scales.as<uint8_t>() + first * blocks, count, blocks}}};
    }
    // Of the rows as `linear` and as `linear_f32` take them.
    [[nodiscard]] double narrow_at(int64_t row, int64_t col) {
        if (!weight.quantised()) return wide_at(row, col);
        const int64_t blocks = (cols + 127) / 128;
        return static_cast<double>(e4m3_value(x_codes.as<uint8_t>()[row * cols + col])) *
               static_cast<double>(e8m0_value(x_scales.as<uint8_t>()[row * blocks + col / 128]));
    }
    [[nodiscard]] double wide_at(int64_t row, int64_t col) {
        return static_cast<double>(to_float(x.as<Bf16>()[row * cols + col]));
    }

    int64_t rows, cols;
    LinearWeight weight;
    Aligned codes, scales, x, x_codes, x_scales;
};

struct Results {
    Results(Ops& ops, Case& c, int64_t first, int64_t count)
        : narrow(count, c.weight.rows), wide(count, c.weight.rows) {
        ops.linear(c.input(first, count), c.weight, narrow.view);
        ops.linear_f32(c.bf16_rows(first, count), c.weight, wide.view);
    }
    Rows<Bf16> narrow;
    Rows<float> wide;
};

// How many of the rows from `first` on are not those of `all`.
int64_t differing(Results& some, int64_t first, Results& all) {
    int64_t out = 0;
    for (int64_t r = 0; r < some.wide.view.rows; ++r) {
        const auto wide = some.wide.view.row(r), all_wide = all.wide.view.row(first + r);
        const auto narrow = some.narrow.view.row(r), all_narrow = all.narrow.view.row(first + r);
        const bool same = std::memcmp(wide.data(), all_wide.data(), wide.size_bytes()) == 0 &&
                          std::memcmp(narrow.data(), all_narrow.data(), narrow.size_bytes()) == 0;
        out += same ? 0 : 1;
    }
    return out;
}

// How many results are not the exact sums, up to what tensor cores cut off (by every eight columns nine units of 2⁻²⁴ of the
// largest term, and two in fp32) and what rounding the result takes.
int64_t wrong_sums(Case& c, Results& results) {
    std::vector<double> weights;
    for (int64_t o = 0; o < c.weight.rows; ++o)
        for (int64_t k = 0; k < c.cols; ++k) weights.push_back(weight_at(c.weight, o, k));
    int64_t out = 0;
    for (int64_t r = 0; r < results.wide.view.rows; ++r) {
        for (int64_t o = 0; o < c.weight.rows; ++o) {
            double narrow = 0, wide = 0, narrow_size = 0, wide_size = 0;
            for (int64_t k = 0; k < c.cols; ++k) {
                const double w = weights[static_cast<size_t>(o * c.cols + k)];
                narrow += w * c.narrow_at(r, k);
                wide += w * c.wide_at(r, k);
                narrow_size += std::fabs(w * c.narrow_at(r, k));
                wide_size += std::fabs(w * c.wide_at(r, k));
            }
            const auto at = static_cast<size_t>(o);
            const double unit = (1.5 * static_cast<double>(c.cols) + 40) * 0x1p-24;
            const double n = static_cast<double>(to_float(results.narrow.view.row(r)[at]));
            const double f = static_cast<double>(results.wide.view.row(r)[at]);
            out += std::fabs(n - narrow) <= narrow_size * unit + std::fabs(narrow) * 0x1p-8 ? 0 : 1;
            out += std::fabs(f - wide) <= wide_size * unit ? 0 : 1;
        }
    }
    return out;
}

double f16_value(uint32_t bits) {
    const uint32_t exponent = bits >> 10 & 31u, mantissa = bits & 1023u;
    if (exponent == 31) return NAN;
    const double size = exponent == 0
                            ? std::ldexp(mantissa, -24)
                            : std::ldexp(mantissa + 1024, static_cast<int>(exponent) - 25);
    return (bits & 0x8000u) != 0 ? -size : size;
}

// The eight numbers in the order of their columns.
template <InputFormat kInput>
std::vector<double> values_of(const cuda::Eight& eight, cuda::Pairs pairs, int shift) {
    static constexpr int kOrders[3][8] = {
        {0, 1, 2, 3, 4, 5, 6, 7}, {0, 2, 1, 3, 4, 6, 5, 7}, {0, 4, 1, 5, 2, 6, 3, 7}};
    std::vector<double> out(8);
    for (size_t i = 0; i < 8; ++i) {
        const uint32_t bits = eight.at[i / 2] >> (16 * (i % 2)) & 0xFFFFu;
        const double value = kInput == InputFormat::kFp8
                                 ? f16_value(bits)
                                 : static_cast<double>(std::bit_cast<float>(bits << 16));
        out[static_cast<size_t>(kOrders[static_cast<size_t>(pairs)][i])] = std::ldexp(value, shift);
    }
    return out;
}

template <InputFormat kInput>
void check_decoding() {
    using Fp8 = cuda::Codes<WeightFormat::kFp8>;
    using Fp4 = cuda::Codes<WeightFormat::kFp4>;
    for (uint32_t code = 0; code < 256; ++code) {
        const auto spread = code * 0x01010101u;
        const auto all = values_of<kInput>(Fp8::decode<kInput>({spread, spread}), Fp8::kPairs,
                                           Fp8::kShift<kInput>);
        const auto want = static_cast<double>(e4m3_value(static_cast<uint8_t>(code)));
        CHECK(std::isnan(all[0]) == std::isnan(want));
        const auto one = values_of<kInput>(Fp8::decode<kInput>({code << 24, 0}), Fp8::kPairs,
                                           Fp8::kShift<kInput>);
        if (!std::isnan(want)) {
            for (const double value : all) CHECK(value == want);
            for (size_t i = 0; i < 8; ++i) CHECK(one[i] == (i == 3 ? want : 0));
        } else {
            CHECK(std::isnan(one[0]));
        }
        for (size_t byte = 0; byte < 4; ++byte) {
            const auto four = values_of<kInput>(Fp4::decode<kInput>(code << (8 * byte)),
                                                Fp4::kPairs, Fp4::kShift<kInput>);
            for (size_t i = 0; i < 8; ++i) {
                const double of_code =
                    static_cast<double>(kE2m1Values[i == 2 * byte       ? code & 15
                                                    : i == 2 * byte + 1 ? code >> 4
                                                                        : 0]);
                CHECK(four[i] == of_code);
            }
        }
    }
}

constexpr WeightKind kTileKinds[] = {
    {WeightFormat::kFp8, ScaleFormat::kE8m0}, {WeightFormat::kFp8, ScaleFormat::kF32},
    {WeightFormat::kFp4, ScaleFormat::kE8m0}, {WeightFormat::kQ3s, ScaleFormat::kE8m0},
    {WeightFormat::kQ2s, ScaleFormat::kE8m0}, {WeightFormat::kQ2v, ScaleFormat::kE8m0},
    {WeightFormat::kBf16, ScaleFormat::kNone}};

// Columns in several shares, the last stage not full: of FP4 it lacks one of two blocks of row scales.
int64_t awkward_columns(WeightFormat format) {
    switch (format) {
        case WeightFormat::kFp4: return 1120;
        case WeightFormat::kBf16: return 328;
        case WeightFormat::kFp8: return 528;
        default: return 640;  // rows of blocks begin at multiples of 16 bytes
    }
}

}  // namespace

TEST_CASE("codes decode to their values times a power of two, in the order of their pairs") {
    check_decoding<InputFormat::kFp8>();
    check_decoding<InputFormat::kBf16>();
}

// As GPUs with an instruction for it do, and those without.
TEST_CASE("e4m3 becomes f16 in two ways that agree, and scales need no branch") {
    using cuda::Pairs;
    for (uint32_t code = 0; code < 256; ++code) {
        const auto want = static_cast<double>(e4m3_value(static_cast<uint8_t>(code)));
        uint32_t low = 0, high = 0;
        cuda::convert_e4m3(code << 8, low, high);
        CHECK(high == 0);
        const double converted = f16_value(low >> 16);
        CHECK(std::isnan(converted) == std::isnan(want));
        if (!std::isnan(want)) CHECK(converted == want);
    }
    for (uint32_t byte = 0; byte < 256; ++byte) {
        CHECK(std::bit_cast<uint32_t>(cuda::e8m0_of(byte)) ==
              std::bit_cast<uint32_t>(e8m0_value(static_cast<uint8_t>(byte))));
    }
    const uint2 codes{0x8B0A3938u, 0x013E003Cu};
    const auto check = [&]<Pairs kPairs>() {
        const auto placed = values_of<InputFormat::kFp8>(
            cuda::decode_e4m3_eight<InputFormat::kFp8, kPairs, false>(codes), kPairs, 8);
        const auto converted = values_of<InputFormat::kFp8>(
            cuda::decode_e4m3_eight<InputFormat::kFp8, kPairs, true>(codes), kPairs, 0);
        CHECK(placed == converted);
        for (uint32_t i = 0; i < 8; ++i) {
            const uint32_t word = i < 4 ? codes.x : codes.y;
            CHECK(placed[i] ==
                  static_cast<double>(e4m3_value(static_cast<uint8_t>(word >> (i % 4 * 8)))));
        }
    };
    check.operator()<Pairs::kNeighbours>();
    check.operator()<Pairs::kAlternate>();
    check.operator()<Pairs::kHalves>();
}

TEST_CASE("rows are paired as each weight wants them") {
    const uint2 codes{0x3B3A3938u, 0x3F3E3D3Cu};
    const uint4 bf16{0x3F813F80u, 0x3F833F82u, 0x3F853F84u, 0x3F873F86u};
    const auto check = [](const std::vector<double>& of_codes, const std::vector<double>& of_bf16) {
        for (size_t i = 0; i < 8; ++i) {
            CHECK(of_codes[i] == 1 + static_cast<double>(i) / 8);
            CHECK(of_bf16[i] == 1 + static_cast<double>(i) / 128);
        }
    };
    using cuda::Pairs;
    check(values_of<InputFormat::kFp8>(cuda::pairs_of<Pairs::kNeighbours>(codes),
                                       Pairs::kNeighbours, 8),
          values_of<InputFormat::kBf16>(cuda::pairs_of<Pairs::kNeighbours>(bf16),
                                        Pairs::kNeighbours, 0));
    check(values_of<InputFormat::kFp8>(cuda::pairs_of<Pairs::kAlternate>(codes), Pairs::kAlternate,
                                       8),
          values_of<InputFormat::kBf16>(cuda::pairs_of<Pairs::kAlternate>(bf16), Pairs::kAlternate,
                                        0));
    check(values_of<InputFormat::kFp8>(cuda::pairs_of<Pairs::kHalves>(codes), Pairs::kHalves, 8),
          values_of<InputFormat::kBf16>(cuda::pairs_of<Pairs::kHalves>(bf16), Pairs::kHalves, 0));
}

TEST_CASE_FIXTURE(Properties,
                  "sums on tensor cores are right, and a row's the same in any company") {
    constexpr int64_t kMany = 200;
    for (const WeightKind& kind : kTileKinds) {
        CAPTURE(static_cast<int>(kind.format));
        CAPTURE(static_cast<int>(kind.scales));
        Case c(in.random, kind.format, kind.scales, kMany, 21, awkward_columns(kind.format));
        const auto shuffled = test::make_staged_cuda_ops(pool, {.seed = 2});
        Results all(*shuffled, c, 0, kMany);
        CHECK(wrong_sums(c, all) == 0);
        for (const uint64_t seed : {uint64_t{0}, uint64_t{5}}) {
            const auto cuda = test::make_staged_cuda_ops(pool, {.seed = seed});
            struct Part {
                int64_t first, count;
            };
            for (const Part& part : {Part{0, 1}, {199, 1}, {60, 3}, {101, 8}, {7, 9}, {130, 64}}) {
                if ((seed == 5 || c.weight.low_bit()) && part.count > 9) continue;
                CAPTURE(part.count);
                Results some(*cuda, c, part.first, part.count);
                CHECK(differing(some, part.first, all) == 0);
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "groups and compressors of many rows are those of few") {
    constexpr int64_t kMany = 70;
    const auto cuda = test::make_staged_cuda_ops(pool, {.seed = 4});
    for (const WeightKind& kind : kTileKinds) {
        CAPTURE(static_cast<int>(kind.format));
        Case c(in.random, kind.format, kind.scales, kMany, 3 * 9, 192);
        Aligned memory(static_cast<size_t>(2 * kMany * 3 * 192));
        for (int64_t i = 0; i < kMany * 3 * 192; ++i) memory.as<Bf16>()[i] = to_bf16(in.real());
        const MatrixView<const Bf16> x(memory.as<Bf16>(), kMany, 3 * 192);
        Rows<Bf16> many(kMany, 27), few(9, 27), expected(kMany, 27);
        cuda->linear_bf16(x, c.weight, 3, many.view);
        ops->linear_bf16(x, c.weight, 3, expected.view);
        cuda->linear_bf16(x.slice_rows(61, 9), c.weight, 3, few.view);
        CHECK(near(many, expected, 1, 0x1p-4F));
        CHECK(std::memcmp(few.values.data(), many.at(61, 9).data,
                          sizeof(Bf16) * few.values.size()) == 0);
        if (kind.format != WeightFormat::kBf16) continue;
        const auto ape = in.floats(4 * 27);
        std::vector<int32_t> positions(kMany);
        for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(3 * i);
        Rows<float> contributed(kMany, 54), wanted(kMany, 54);
        const MatrixView<const Bf16> narrow = c.bf16_rows(0, kMany);
        cuda->compressor_rows(narrow, c.weight, c.weight, ape, 4, positions, contributed.view);
        ops->compressor_rows(narrow, c.weight, c.weight, ape, 4, positions, wanted.view);
        int64_t wrong = 0;
        for (size_t i = 0; i < wanted.values.size(); ++i)
            wrong += std::fabs(contributed.values[i] - wanted.values[i]) <= 1e-3F ? 0 : 1;
        CHECK(wrong == 0);
    }
}

TEST_CASE_FIXTURE(Properties, "NaN goes through tensor cores to its own sums, in both shapes") {
    constexpr int64_t kMany = 40;
    const auto cuda = test::make_staged_cuda_ops(pool, {.seed = 0});
    Case c(in.random, WeightFormat::kFp8, ScaleFormat::kE8m0, kMany, 9, 256);
    c.codes.as<uint8_t>()[4 * 256 + 77] = 0xFF;
    c.x_codes.as<uint8_t>()[1 * 256 + 131] = 0x7F;
    c.x.as<Bf16>()[1 * 256 + 5] = Bf16{0x7FC0};
    for (const int64_t count : {int64_t{2}, kMany}) {
        Results results(*cuda, c, 0, count);
        for (int64_t r = 0; r < count; ++r) {
            for (size_t o = 0; o < 9; ++o) {
                const bool nan = r == 1 || o == 4;
                CHECK(std::isnan(to_float(results.narrow.view.row(r)[o])) == nan);
                CHECK(std::isnan(results.wide.view.row(r)[o]) == nan);
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "scales at the ends of their range, on tensor cores") {
    const auto cuda = test::make_staged_cuda_ops(pool, {.seed = 0});
    for (const WeightFormat format : {WeightFormat::kFp8, WeightFormat::kFp4}) {
        for (const int scale : {0, 1, 240, 255}) {
            CAPTURE(scale);
            Case c(in.random, format, ScaleFormat::kE8m0, 1, 20, 128);
            std::memset(c.scales.data(), scale, c.scales.size);
            Rows<float> expected(1, 20), y(1, 20);
            ops->linear_f32(c.bf16_rows(0, 1), c.weight, expected.view);
            cuda->linear_f32(c.bf16_rows(0, 1), c.weight, y.view);
            for (size_t o = 0; o < 20; ++o) {
                const float want = expected.view.row(0)[o], got = y.view.row(0)[o];
                CHECK(std::isnan(got) == std::isnan(want));
                if (std::isfinite(want))
                    CHECK(std::fabs(got - want) <= std::fabs(want) * 1e-3F + 1e-37F);
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "tiles are read without bank conflicts, and both shapes are taken") {
    const auto cuda = test::make_staged_cuda_ops(pool, {.seed = 0, .statistics = true});
    for (const WeightKind& kind : kTileKinds) {
        Case c(in.random, kind.format, kind.scales, 64, 64, 512);
        const Results few(*cuda, c, 0, 8), many(*cuda, c, 0, 64);
    }
    cuda_sim::set_options({});
    int found = 0;
    for (const cuda_sim::KernelReport& kernel : cuda_sim::kernels()) {
        const bool many = kernel.name.find("many_rows_kernel") != std::string::npos;
        if (!many && kernel.name.find("few_rows_kernel") == std::string::npos) continue;
        found += 1;
        const std::string line = kernel.name + ": sectors " + std::to_string(kernel.global.mean()) +
                                 ", bank conflicts " + std::to_string(kernel.shared.worst);
        MESSAGE(line);
        CHECK_MESSAGE(kernel.launches > 0, line);
        CHECK_MESSAGE(kernel.shared.worst <= 1, line);
        CHECK_MESSAGE(kernel.global.mean() < 2, line);
    }
    CHECK(found == 22);
}

}  // namespace millrace
