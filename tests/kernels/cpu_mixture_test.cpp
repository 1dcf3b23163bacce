// Router, SwiGLU, the sum over experts and compressed entries of every ISA against the reference.

#include <doctest/doctest.h>

#include "tests/kernels/cpu_fixture.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

constexpr Bf16 kMark{0x7FC1};

template <class T>
bool equal(const Rows<T>& a, const Rows<T>& b) {
    bool out = true;
    for (int64_t r = 0; r < a.view.rows; ++r)
        out = out && std::ranges::equal(a.view.row(r), b.view.row(r));
    return out;
}

}  // namespace

TEST_CASE_FIXTURE(Properties, "route chooses and weighs as the reference, ties and all") {
    for (const auto& [experts, k] : {std::pair{1, 1}, {6, 6}, {11, 3}, {256, 6}, {384, 6}}) {
        CAPTURE(experts);
        Rows<float> logits(40, experts);
        Rows<int32_t> fixed(40, k), ids(40, k), computed_ids(40, k, -7);
        Rows<float> weights(40, k), computed(40, k, -7);
        auto bias = in.floats(experts);
        for (int64_t r = 0; r < 40; ++r) {
            for (float& v : logits.view.row(r)) v = in.real() * static_cast<float>(r);
            for (size_t j = 0; j < static_cast<size_t>(k); ++j)
                fixed.view.row(r)[j] =
                    static_cast<int32_t>(in.random.below(static_cast<uint64_t>(experts)));
        }
        std::ranges::fill(logits.view.row(1), 0.25F);
        for (const bool ties : {false, true}) {
            if (ties) std::ranges::fill(bias, 0.5F);
            ops->route(logits.view, bias, {}, {k, 1.5F}, ids.view, weights.view);
            for_every_isa(pool, [&](Ops& cpu) {
                cpu.route(logits.view, bias, {}, {k, 1.5F}, computed_ids.view, computed.view);
                CHECK(equal(computed_ids, ids));
                CHECK(equal(computed, weights));
                CHECK(computed_ids.gaps_are(-7));
                CHECK(computed.gaps_are(-7));
            });
        }
        ops->route(logits.view, {}, fixed.view, {k, 2.5F}, ids.view, weights.view);
        for_every_isa(pool, [&](Ops& cpu) {
            cpu.route(logits.view, {}, fixed.view, {k, 2.5F}, computed_ids.view, computed.view);
            CHECK(equal(computed_ids, ids));
            CHECK(equal(computed, weights));
        });
    }
}

TEST_CASE_FIXTURE(Properties, "combine is the reference's bit for bit") {
    for (const int64_t d : {1, 16, 33, 500}) {
        for (const int64_t k : {1, 6}) {
            CAPTURE(d);
            Rows<Bf16> outputs(5 * k, d), shared(5, d), expected(5, d), computed(5, d, kMark);
            Rows<int32_t> ids(5, k);
            // Large numbers that often cancel: what came before them is lost, what comes after stays.
            for (int64_t r = 0; r < 5 * k; ++r) {
                for (Bf16& v : outputs.view.row(r)) {
                    const float size = in.random.below(2) == 0 ? 1 : 0x1p30F;
                    v = to_bf16(in.random.below(2) == 0 ? size : -size);
                }
            }
            in.bf16(shared);
            for (int64_t r = 0; r < 5; ++r) {
                for (int64_t j = 0; j < k; ++j)
                    ids.view.row(r)[static_cast<size_t>(j)] =
                        static_cast<int32_t>((j * 5 + r * 3) % k * 11 + r);
            }
            ops->combine(outputs.view, ids.view, shared.view, expected.view);
            for_every_isa(pool, [&](Ops& cpu) {
                cpu.combine(outputs.view, ids.view, shared.view, computed.view);
                CHECK(equal(computed, expected));
                CHECK(computed.gaps_are(kMark));
            });
        }
    }
}

TEST_CASE_FIXTURE(Properties, "place_rows moves bits to their places and leaves other rows alone") {
    for (const int64_t d : {1, 16, 33, 512}) {
        CAPTURE(d);
        Rows<Bf16> rows(5, d), expected(9, d, kMark);
        in.bf16(rows);
        rows.view.row(3)[0] = Bf16{0x7F81};  // a signalling NaN
        const std::vector<int32_t> places = {8, -1, 0, 5, 9};
        for (const int64_t r : {0, 2, 3}) {
            std::ranges::copy(rows.view.row(r),
                              expected.view.row(places[static_cast<size_t>(r)]).begin());
        }
        const auto check = [&](Ops& tested) {
            Rows<Bf16> computed(9, d, kMark);
            tested.place_rows(rows.view, places, computed.view);
            CHECK(equal(computed, expected));
            CHECK(computed.gaps_are(kMark));
        };
        check(*ops);
        for_every_isa(pool, check);
    }
}

TEST_CASE_FIXTURE(Properties, "swiglu is the reference's up to one bf16 rounding") {
    for (const int64_t cols : {1, 16, 33, 2048}) {
        CAPTURE(cols);
        Rows<Bf16> gate(5, cols), up(5, cols), expected(5, cols), computed(5, cols, kMark);
        in.bf16(gate, 8);
        in.bf16(up, 8);
        // Far below zero, where e^−g does not fit fp32 any more.
        for (Bf16& v : gate.view.row(4)) v = to_bf16(to_float(v) * 16 - 80);
        const auto weights = in.floats(5);
        for (const float limit : {10.0F, 0.5F}) {
            for (const std::span<const float> w : {std::span(weights), std::span<const float>()}) {
                ops->swiglu(gate.view, up.view, w, limit, expected.view);
                for_every_isa(pool, [&](Ops& cpu) {
                    cpu.swiglu(gate.view, up.view, w, limit, computed.view);
                    // Below −88.7 the result is 0 and not 89·e^−89·10.
                    CHECK(near(computed, expected, 1, 0x1p-117F));
                    CHECK(computed.gaps_are(kMark));
                    for (int64_t r = 0; r < 5; ++r)
                        std::ranges::copy(gate.view.row(r), computed.view.row(r).begin());
                    cpu.swiglu(computed.view, up.view, w, limit, computed.view);
                    CHECK(near(computed, expected, 1, 0x1p-117F));
                });
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "compressor_pool is the reference's up to one bf16 rounding") {
    for (const int ratio : {4, 128}) {
        for (const int64_t c : {1, 16, 20, 128, 300}) {
            CAPTURE(c);
            const int64_t coff = ratio == 4 ? 2 : 1;
            const int64_t contributors = coff * ratio;
            auto raw = in.floats((5 + contributors) * 2 * coff * c);
            for (float& v : raw) v *= 5;
            std::vector<std::vector<const float*>> lists(5);
            std::vector<PoolSource> sources;
            for (size_t r = 0; r < 5; ++r) {
                for (int64_t i = 0; i < contributors; ++i) {
                    const int64_t row = static_cast<int64_t>(r) + i;
                    lists[r].push_back(
                        r < 2 && i < 4 ? nullptr : &raw[static_cast<size_t>(row * 2 * coff * c)]);
                }
                sources.push_back({lists[r].data()});
            }
            Rows<Bf16> expected(5, c), computed(5, c, kMark);
            ops->compressor_pool(sources, ratio, expected.view);
            for_every_isa(pool, [&](Ops& cpu) {
                cpu.compressor_pool(sources, ratio, computed.view);
                // Values below 10; two sums of up to 128, weights within 4 units.
                CHECK(near(computed, expected, 1, 10 * 260 * 0x1p-24F));
                CHECK(computed.gaps_are(kMark));
            });
        }
    }
}

}  // namespace millrace
