// Row kernels of every ISA against the reference.

#include <doctest/doctest.h>

#include "tests/kernels/cpu_fixture.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

constexpr Bf16 kMark{0x7FC1};

void copy(const Rows<Bf16>& from, Rows<Bf16>& to) {
    for (int64_t r = 0; r < from.view.rows; ++r)
        std::ranges::copy(from.view.row(r), to.view.row(r).begin());
}

}  // namespace

TEST_CASE_FIXTURE(Properties, "rms_norm is the reference's up to one bf16 rounding") {
    for (const int64_t cols : {1, 15, 16, 17, 63, 64, 128, 4096}) {
        CAPTURE(cols);
        Rows<Bf16> x(5, cols), expected(5, cols), computed(5, cols, kMark);
        in.bf16(x, 3);
        const std::vector<Bf16> weight = in.bf16(cols);
        ops->rms_norm(x.view, weight, 1e-6F, expected.view);
        for_every_isa(pool, [&](Ops& cpu) {
            cpu.rms_norm(x.view, weight, 1e-6F, computed.view);
            CHECK(near(computed, expected, 1));
            CHECK(computed.gaps_are(kMark));
        });
    }
}

TEST_CASE_FIXTURE(Properties, "head_norm is the reference's up to two bf16 roundings") {
    Rows<Bf16> x(5, 3 * kHeadDim), expected(5, 3 * kHeadDim), computed(5, 3 * kHeadDim, kMark);
    in.bf16(x, 3);
    std::ranges::fill(x.view.row(1), Bf16{});
    copy(x, expected);
    ops->head_norm(expected.view, 1e-6F);
    for_every_isa(pool, [&](Ops& cpu) {
        copy(x, computed);
        cpu.head_norm(computed.view, 1e-6F);
        // The factor of a head is bf16: a sum in fp32 can move it by a step, and each product by one more.
        CHECK(near(computed, expected, 2));
        CHECK(computed.gaps_are(kMark));
    });
}

TEST_CASE_FIXTURE(Properties, "head_norm rounds every square") {
    Rows<Bf16> x(5, 8 * kHeadDim), expected(5, 8 * kHeadDim), computed(5, 8 * kHeadDim);
    // Squares that bf16 rounds down by a third of a step, all of one power of two: their sums are exact in fp32, and means
    // of squares that were not rounded would often be a step higher.
    const Bf16 values[] = {to_bf16(1 + 7.0F / 128), to_bf16(1 + 13.0F / 128),
                           to_bf16(1 + 21.0F / 128)};
    for (int64_t r = 0; r < 5; ++r)
        for (Bf16& v : x.view.row(r)) v = values[in.random.below(3)];
    copy(x, expected);
    ops->head_norm(expected.view, 1e-6F);
    for_every_isa(pool, [&](Ops& cpu) {
        copy(x, computed);
        cpu.head_norm(computed.view, 1e-6F);
        CHECK(computed.values == expected.values);
    });
}

TEST_CASE_FIXTURE(Properties, "rope is the reference's up to one bf16 rounding") {
    const RopeTable tables[] = {RopeTable::plain(10000), RopeTable::yarn(160000, 16, 32, 1, 65536)};
    const std::vector<int32_t> positions = {0, 1, 127, 65537, 1048575};
    for (const int64_t width : {64, 128, 512}) {
        CAPTURE(width);
        Rows<Bf16> x(5, 3 * width), expected(5, 3 * width), computed(5, 3 * width, kMark);
        in.bf16(x, 3);
        for (const RopeTable& table : tables) {
            for (const Rotation rotation : {Rotation::kForward, Rotation::kInverse}) {
                copy(x, expected);
                ops->rope(expected.view, width, positions, table, rotation);
                for_every_isa(pool, [&](Ops& cpu) {
                    copy(x, computed);
                    cpu.rope(computed.view, width, positions, table, rotation);
                    // Without FMA the two products, each below 6, are rounded to 2⁻²⁴ of themselves.
                    CHECK(near(computed, expected, 1, 0x1p-20F));
                    CHECK(computed.gaps_are(kMark));
                });
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "embed, add and index_weights are the reference's bit for bit") {
    for (const int64_t cols : {1, 16, 24, 40, 1000}) {
        CAPTURE(cols);
        Bytes bytes;
        const LinearWeight table =
            in.weight(WeightFormat::kBf16, ScaleFormat::kNone, 50, cols, bytes, 1);
        const std::vector<TokenId> tokens = {{49}, {0}, {7}};
        Rows<Bf16> a(3, cols), b(3, 4 * cols), expected(3, 4 * cols), computed(3, 4 * cols, kMark);
        in.bf16(a, 3);
        in.bf16(b);
        const auto same = [&] {
            bool out = computed.gaps_are(kMark);
            for (int64_t r = 0; r < 3; ++r)
                out = out && std::ranges::equal(computed.view.row(r), expected.view.row(r));
            return out;
        };
        for_every_isa(pool, [&](Ops& cpu) {
            ops->embed(table, tokens, expected.view);
            cpu.embed(table, tokens, computed.view);
            CHECK(same());
            ops->add(a.view, b.view, 4, expected.view);
            cpu.add(a.view, b.view, 4, computed.view);
            CHECK(same());
            copy(b, expected);
            copy(b, computed);
            ops->index_weights(expected.view);
            cpu.index_weights(computed.view);
            CHECK(same());
        });
    }
}

TEST_CASE_FIXTURE(Properties, "stream_mean is the reference's up to one bf16 rounding") {
    for (const int64_t cols : {1, 16, 40, 1000}) {
        CAPTURE(cols);
        Rows<Bf16> x(3, 4 * cols), expected(3, cols), computed(3, cols, kMark);
        in.bf16(x, 3);
        ops->stream_mean(x.view, expected.view);
        for_every_isa(pool, [&](Ops& cpu) {
            cpu.stream_mean(x.view, computed.view);
            // Three sums of fp32 below 24.
            CHECK(near(computed, expected, 1, 24 * 0x1p-22F));
            CHECK(computed.gaps_are(kMark));
        });
    }
}

}  // namespace millrace
