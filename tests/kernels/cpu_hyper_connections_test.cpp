// Hyper-connections of every ISA against the reference.

#include <doctest/doctest.h>

#include "kernels/cpu/kernel_table.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

bool close(std::span<const float> computed, std::span<const float> wanted, float relative) {
    bool out = computed.size() == wanted.size();
    for (size_t i = 0; out && i < wanted.size(); ++i)
        out = std::fabs(computed[i] - wanted[i]) <= std::fabs(wanted[i]) * relative;
    return out;
}
template <class T>
bool close(const Rows<T>& computed, const Rows<T>& wanted, float relative) {
    bool out = true;
    for (int64_t r = 0; r < wanted.view.rows; ++r)
        out = out && close(computed.view.row(r), wanted.view.row(r), relative);
    return out;
}

}  // namespace

TEST_CASE_FIXTURE(Properties, "mixes are split as the reference splits them, in fp32") {
    for (const Isa isa : available_isas()) {
        const std::string name(isa_name(isa));
        CAPTURE(name);
        for (int round = 0; round < 100; ++round) {
            auto mixes = in.floats(kMixes), base = in.floats(kMixes), scale = in.floats(3);
            for (float& m : mixes) m *= 8;
            const HyperConnectionSite site{.fn = {}, .base = base, .scale = scale};
            float wanted[24], computed[24];
            reference::split_mixes(mixes.data(), site, wanted, wanted + 4, wanted + 8);
            kernels_of(isa).hyper_connections.split(mixes.data(), base.data(), scale.data(),
                                                    site.eps, site.rounds, computed, computed + 4,
                                                    computed + 8);
            // A logit, at most 34, is rounded to 2⁻¹⁹; the exponential adds 2 units, sum and quotient one each.
            CHECK(close(std::span(computed).first(8), std::span(wanted).first(8), 0x1p-18F));
            // Two logits, and 39 quotients by sums of four.
            CHECK(close(std::span(computed).last(16), std::span(wanted).last(16), 0x1p-16F));
        }
    }
}

TEST_CASE_FIXTURE(Properties, "hc_reduce and hc_head are the reference's up to rounding") {
    // Widths around the vectors and around the pieces that the columns are cut into.
    for (const int64_t d : {1, 4, 33, 255, 256, 257, 700}) {
        CAPTURE(d);
        Rows<Bf16> x(6, 4 * d), y(6, d), computed(6, d, Bf16{0x7FC1});
        in.bf16(x);
        Rows<float> post(6, 4), comb(6, 16), computed_post(6, 4, 77), computed_comb(6, 16, 77);
        // Products are multiples of 2⁻¹² and their sums exact in fp32; logits are a few units.
        const auto fn = in.floats(kMixes * 4 * d), base = in.floats(kMixes);
        const float size = 1.0F / std::sqrt(static_cast<float>(4 * d));
        const std::vector<float> scale = {size, -size, 1.5F * size};
        const auto head_base = in.floats(4);
        const std::vector<float> head_fn(fn.begin(), fn.begin() + 16 * d), head_scale = {2 * size};
        ops->hc_reduce(x.view, site_of(fn, base, scale), y.view, post.view, comb.view);
        for_every_isa(pool, [&](Ops& cpu) {
            cpu.hc_reduce(x.view, site_of(fn, base, scale), computed.view, computed_post.view,
                          computed_comb.view);
            // inv_rms and the logits that it makes, of at most 16: 2⁻²¹ of each, and what splitting adds.
            CHECK(close(computed_post, post, 0x1p-16F));
            CHECK(close(computed_comb, comb, 0x1p-15F));
            // Four products, each below 2, with weights as exact as those.
            CHECK(near(computed, y, 1, 8 * 0x1p-16F));
            CHECK(computed.gaps_are(Bf16{0x7FC1}));
            CHECK(computed_post.gaps_are(77));
            CHECK(computed_comb.gaps_are(77));
        });
        ops->hc_head(x.view, site_of(head_fn, head_base, head_scale), y.view);
        for_every_isa(pool, [&](Ops& cpu) {
            cpu.hc_head(x.view, site_of(head_fn, head_base, head_scale), computed.view);
            CHECK(near(computed, y, 1, 8 * 0x1p-16F));
            CHECK(computed.gaps_are(Bf16{0x7FC1}));
        });
    }
}

TEST_CASE_FIXTURE(Properties, "hc_expand is the reference's up to one bf16 rounding") {
    for (const int64_t d : {1, 16, 33, 500}) {
        CAPTURE(d);
        const Bf16 mark{0x7FC1};
        Rows<Bf16> x(6, 4 * d), y(6, d), expected(6, 4 * d), computed(6, 4 * d, mark);
        Rows<float> post(6, 4), comb(6, 16);
        in.bf16(x);
        in.bf16(y);
        for (int64_t r = 0; r < 6; ++r) {
            for (float& v : post.view.row(r)) v = in.real() * 1.1F;
            for (float& v : comb.view.row(r)) v = in.real() * 0.7F;
            std::ranges::copy(x.view.row(r), expected.view.row(r).begin());
        }
        ops->hc_expand(y.view, post.view, comb.view, expected.view);
        for_every_isa(pool, [&](Ops& cpu) {
            for (int64_t r = 0; r < 6; ++r)
                std::ranges::copy(x.view.row(r), computed.view.row(r).begin());
            cpu.hc_expand(y.view, post.view, comb.view, computed.view);
            // Five products below 5, rounded nine times at most.
            CHECK(near(computed, expected, 1, 25 * 9 * 0x1p-24F));
            CHECK(computed.gaps_are(mark));
        });
    }
}

TEST_CASE_FIXTURE(Properties, "a row's hyper-connections do not depend on its company") {
    // More than one piece of columns, an odd last piece, more rows than share a piece.
    constexpr int64_t kWidth = 521;
    Rows<Bf16> streams(kRows, 4 * kWidth);
    in.bf16(streams);
    auto fn = in.floats(kMixes * 4 * kWidth);
    // No exact sums here: their order would not show.
    for (float& v : fn) v *= 1.0F + in.real() / 777;
    const auto base = in.floats(kMixes), scale = in.floats(3), head_scale = in.floats(1);
    const std::vector<float> head_fn(fn.begin(), fn.begin() + 16 * kWidth),
        head_base(base.begin(), base.begin() + 4);
    check_company("hc_reduce, hc_head", [&](Ops& o, int64_t first, int64_t count) {
        Rows<Bf16> reduced(count, kWidth), z(count, kWidth);
        Rows<float> post(count, 4), comb(count, 16);
        o.hc_reduce(streams.at(first, count), site_of(fn, base, scale), reduced.view, post.view,
                    comb.view);
        o.hc_head(streams.at(first, count), site_of(head_fn, head_base, head_scale), z.view);
        std::string out;
        for (int64_t r = 0; r < count; ++r) {
            add_bytes(out, reduced.at(r, 1));
            add_bytes(out, post.at(r, 1));
            add_bytes(out, comb.at(r, 1));
            add_bytes(out, z.at(r, 1));
        }
        return out;
    });
}

}  // namespace millrace
