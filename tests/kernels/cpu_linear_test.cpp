// Linear layers of every ISA against the reference: every format, awkward shapes, company.

#include <doctest/doctest.h>

#include "tests/kernels/cpu_fixture.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

// What an fp32 sum may differ by from the exact one: K additions, each within 2⁻²⁴ of the sum of magnitudes (twice that
// where a product is rounded before it is added), then one rounding to the output's format.
double bound(double magnitudes, int64_t cols, double output, double output_epsilon) {
    return magnitudes * static_cast<double>(cols + 64) * 0x1p-23 +
           std::fabs(output) * output_epsilon;
}

struct Sums {
    double exact = 0, magnitudes = 0;
};

template <class Value>
Sums sums_of(int64_t cols, const Value& product) {
    Sums out;
    for (int64_t k = 0; k < cols; ++k) {
        const double p = product(k);
        out.exact += p;
        out.magnitudes += std::fabs(p);
    }
    return out;
}

}  // namespace

TEST_CASE_FIXTURE(Properties,
                  "linear layers of all formats are the exact sums up to fp32 rounding") {
    struct Size {
        int64_t rows, outputs, cols;
    };
    for (const Size& shape : {Size{1, 1, 128},
                              {1, 33, 256},
                              {3, 16, 128},
                              {13, 40, 640},
                              {1, 130, 1152},
                              {26, 31, 512}}) {
        CAPTURE(shape.rows);
        CAPTURE(shape.outputs);
        CAPTURE(shape.cols);
        Rows<Bf16> x(shape.rows, shape.cols);
        in.bf16(x, 2);
        const Quantised q(*ops, x.view);
        for (const WeightKind& kind : kKinds) {
            CAPTURE(static_cast<int>(kind.format));
            CAPTURE(static_cast<int>(kind.scales));
            Bytes bytes;
            const LinearWeight w =
                in.weight(kind.format, kind.scales, shape.outputs, shape.cols, bytes, 1);
            for_every_isa(pool, [&](Ops& cpu) {
                Rows<Bf16> y(shape.rows, shape.outputs);
                Rows<float> wide(shape.rows, shape.outputs);
                cpu.linear(q.input, w, y.view);
                cpu.linear_f32(x.view, w, wide.view);
                int64_t wrong = 0;
                for (int64_t r = 0; r < shape.rows; ++r) {
                    for (int64_t o = 0; o < shape.outputs; ++o) {
                        const auto at = static_cast<size_t>(o);
                        const Sums narrow = sums_of(shape.cols, [&](int64_t k) {
                            const double a = w.quantised()
                                                 ? after_aq128(x.view, r, k)
                                                 : static_cast<double>(to_float(
                                                       x.view.row(r)[static_cast<size_t>(k)]));
                            return a * weight_at(w, o, k);
                        });
                        const Sums exact = sums_of(shape.cols, [&](int64_t k) {
                            return static_cast<double>(
                                       to_float(x.view.row(r)[static_cast<size_t>(k)])) *
                                   weight_at(w, o, k);
                        });
                        const double y_off = std::fabs(
                            static_cast<double>(to_float(y.view.row(r)[at])) - narrow.exact);
                        const double wide_off =
                            std::fabs(static_cast<double>(wide.view.row(r)[at]) - exact.exact);
                        if (!(y_off <= bound(narrow.magnitudes, shape.cols, narrow.exact, 0x1p-8)))
                            ++wrong;
                        if (!(wide_off <=
                              bound(exact.magnitudes, shape.cols, exact.exact, 0x1p-23)))
                            ++wrong;
                    }
                }
                CHECK(wrong == 0);
            });
        }
    }
}

TEST_CASE_FIXTURE(Properties, "linear layers accept columns that fill no group, and no rows") {
    for (const int64_t cols : {1, 24, 31, 33, 100, 515}) {
        CAPTURE(cols);
        Rows<Bf16> x(3, cols);
        in.bf16(x);
        for (const WeightFormat format : {WeightFormat::kBf16, WeightFormat::kF32}) {
            Bytes bytes;
            const LinearWeight w = in.weight(format, ScaleFormat::kNone, 5, cols, bytes, 1);
            for_every_isa(pool, [&](Ops& cpu) {
                Rows<float> expected(3, 5), y(3, 5);
                ops->linear_f32(x.view, w, expected.view);
                cpu.linear_f32(x.view, w, y.view);
                for (int64_t r = 0; r < 3; ++r) {
                    for (size_t o = 0; o < 5; ++o) {
                        // Products are multiples of 2⁻¹² below 4: sums of a few hundred are exact in fp32.
                        CHECK(y.view.row(r)[o] == expected.view.row(r)[o]);
                    }
                }
                cpu.linear_f32(x.at(0, 0), w, y.at(0, 0));
            });
        }
    }
}

TEST_CASE_FIXTURE(Properties, "grouped products use their rows of the weight") {
    Rows<Bf16> x(4, 384), expected(4, 99), y(4, 99);
    in.bf16(x);
    for (const WeightKind& kind : kKinds) {
        CAPTURE(static_cast<int>(kind.format));
        Bytes bytes;
        const LinearWeight w = in.weight(kind.format, kind.scales, 99, 128, bytes, 1);
        ops->linear_bf16(x.view, w, 3, expected.view);
        for_every_isa(pool, [&](Ops& cpu) {
            cpu.linear_bf16(x.view, w, 3, y.view);
            int64_t wrong = 0;
            for (int64_t r = 0; r < 4; ++r) {
                for (size_t o = 0; o < 99; ++o) {
                    const double want = static_cast<double>(to_float(expected.view.row(r)[o]));
                    const double got = static_cast<double>(to_float(y.view.row(r)[o]));
                    // |x| ≤ 2 and |w| ≤ 64 scaled: sums of 128 products; one bf16 step, or an fp32 error near zero.
                    if (!(std::fabs(got - want) <= std::fabs(want) * 0x1p-7 + 0x1p-10)) ++wrong;
                }
            }
            CHECK(wrong == 0);
        });
    }
}

TEST_CASE_FIXTURE(Properties, "scales at the ends of their range") {
    // 2⁻¹²⁷ is subnormal, 255 is NaN: as in the reference, NaN at the same places.
    Rows<Bf16> x(1, 128);
    in.bf16(x);
    const Quantised q(*ops, x.view);
    for (const WeightKind& kind : {kKinds[0], kKinds[2]}) {
        for (const int scale : {0, 1, 2, 240, 255}) {
            CAPTURE(scale);
            Bytes bytes;
            const LinearWeight w = in.weight(kind.format, kind.scales, 20, 128, bytes);
            std::ranges::fill(bytes.scales, static_cast<std::byte>(scale));
            Rows<float> expected(1, 20), y(1, 20);
            ops->linear_f32(x.view, w, expected.view);
            for_every_isa(pool, [&](Ops& cpu) {
                cpu.linear_f32(x.view, w, y.view);
                for (size_t o = 0; o < 20; ++o) {
                    const float want = expected.view.row(0)[o];
                    const float got = y.view.row(0)[o];
                    CHECK(std::isnan(got) == std::isnan(want));
                    CHECK(std::isinf(got) == std::isinf(want));
                    if (std::isfinite(want)) {
                        CHECK(std::fabs(got - want) <= std::fabs(want) * 1e-4F + 1e-37F);
                    }
                }
            });
        }
    }
}

TEST_CASE_FIXTURE(Properties, "bases of low-bit rows at the ends of their range") {
    Rows<Bf16> x(1, 128);
    in.bf16(x);
    for (const WeightFormat format : {WeightFormat::kQ3s, WeightFormat::kQ2s, WeightFormat::kQ2v}) {
        for (const int base : {0, 1, 2, 200, 255}) {
            CAPTURE(base);
            Bytes bytes;
            const LinearWeight w = in.weight(format, ScaleFormat::kE8m0, 20, 128, bytes);
            // Every third row: the others keep theirs.
            for (size_t row = 0; row < 20; row += 3)
                bytes.scales[row] = static_cast<std::byte>(base);
            Rows<float> expected(1, 20), y(1, 20);
            ops->linear_f32(x.view, w, expected.view);
            for_every_isa(pool, [&](Ops& cpu) {
                cpu.linear_f32(x.view, w, y.view);
                for (size_t o = 0; o < 20; ++o) {
                    const float want = expected.view.row(0)[o];
                    const float got = y.view.row(0)[o];
                    CHECK(std::isnan(got) == std::isnan(want));
                    CHECK(std::isnan(want) == (base == 255 && o % 3 == 0));
                    if (!std::isnan(want)) {
                        // Sums of 128 products of mixed signs: a part of what cancels.
                        const float size = std::ldexp(0.02F, o % 3 == 0 ? base - 120 : 0);
                        CHECK(std::fabs(got - want) <= std::fabs(want) * 1e-4F + size + 1e-37F);
                    }
                }
            });
        }
    }
}

TEST_CASE_FIXTURE(Properties, "arranging a weight changes no bit of a product") {
    Rows<Bf16> x(14, 1184);
    in.bf16(x);
    for (const WeightKind& kind : kKinds) {
        CAPTURE(static_cast<int>(kind.format));
        // Columns that fill 37 groups, rows that leave a part of a strip over.
        Bytes bytes;
        const int64_t cols = kind.format == WeightFormat::kFp8 ? 1152 : 1184;
        const LinearWeight w = in.weight(kind.format, kind.scales, 75, cols, bytes, 1);
        const MatrixView<const Bf16> rows(x.view.data, 14, cols, x.view.stride);
        for_every_isa(pool, [&](Ops& cpu) {
            Bytes turned = bytes;
            LinearWeight strips = w;
            strips.codes = turned.codes.data() + 1;
            strips.scales = turned.scales.data() + 1;
            CHECK(cpu.arranges(w) == (kind.format != WeightFormat::kF32));
            if (!cpu.arranges(w)) return;
            cpu.arrange(strips, turned.codes.data() + 1, turned.scales.data() + 1);
            CHECK(turned.codes != bytes.codes);
            CHECK_FALSE(cpu.arranges(strips));
            for (const int64_t count : {1, 14}) {
                Rows<float> expected(count, 75), computed(count, 75);
                cpu.linear_f32(rows.slice_rows(0, count), w, expected.view);
                cpu.linear_f32(rows.slice_rows(0, count), strips, computed.view);
                CHECK(computed.values == expected.values);
            }
        });
    }
}

TEST_CASE_FIXTURE(Properties, "a linear layer's row does not depend on its company, on any ISA") {
    Rows<Bf16> x(kRows, 1152);
    in.bf16(x);
    for (const Activations activations : {Activations::kFp8, Activations::kInt8}) {
        CAPTURE(static_cast<int>(activations));
        for (const WeightKind& kind : kKinds) {
            CAPTURE(static_cast<int>(kind.format));
            Bytes bytes;
            const LinearWeight w = in.weight(kind.format, kind.scales, 70, 1152, bytes, 1);
            const auto problem = [&](Ops& cpu, int64_t first, int64_t count) {
                const Quantised q(cpu, x.at(first, count));
                Rows<Bf16> y(count, 70);
                Rows<float> wide(count, 70);
                cpu.linear(q.input, w, y.view);
                cpu.linear_f32(x.at(first, count), w, wide.view);
                std::string out;
                for (int64_t r = 0; r < count; ++r) {
                    add_bytes(out, y.at(r, 1));
                    add_bytes(out, wide.at(r, 1));
                }
                return out;
            };
            for (const FastOps& fast : fast_ops(activations))
                check_company(fast.name.c_str(), problem, fast.make, fast.threads);
        }
    }
}

// More rows than one pass over the weights takes: none may land at the border of a pass.
TEST_CASE_FIXTURE(Properties, "a row among a thousand is the same as alone") {
    constexpr int64_t kMany = 1150, kCols = 128, kOutputs = 32;
    Rows<Bf16> x(kMany, 2 * kCols);
    in.bf16(x);
    const MatrixView<const Bf16> left(x.view.data, kMany, kCols, x.view.stride);
    Bytes bytes;
    const LinearWeight w =
        in.weight(WeightFormat::kFp4, ScaleFormat::kE8m0, kOutputs, kCols, bytes, 1);
    for (const Activations activations : {Activations::kFp8, Activations::kInt8}) {
        for_every_isa(
            pool,
            [&](Ops& cpu) {
                Rows<float> many(kMany, kOutputs), alone(kMany, kOutputs);
                Rows<Bf16> grouped(kMany, kOutputs), grouped_alone(kMany, kOutputs);
                cpu.linear_f32(left, w, many.view);
                cpu.linear_bf16(x.view, w, 2, grouped.view);
                for (int64_t r = 0; r < kMany; ++r) {
                    cpu.linear_f32(left.slice_rows(r, 1), w, alone.at(r, 1));
                    cpu.linear_bf16(x.at(r, 1), w, 2, grouped_alone.at(r, 1));
                }
                CHECK(many.values == alone.values);
                CHECK(std::ranges::equal(grouped.values, grouped_alone.values, {}, &Bf16::bits,
                                         &Bf16::bits));
            },
            activations);
    }
}

namespace {

// What int8 makes of the 32 columns around `col`: code · scale. `most`: the largest magnitude among them.
double through_int8(float value, float most) {
    if (most == 0) return 0;
    const double code = std::nearbyint(value * (127.0F / most));
    return code * static_cast<double>(most / 127.0F);
}

template <class Value>
float most_of_group(int64_t col, const Value& value) {
    float most = 0;
    for (int64_t k = col / 32 * 32; k < col / 32 * 32 + 32; ++k)
        most = std::max(most, std::fabs(value(k)));
    return most;
}

}  // namespace

TEST_CASE_FIXTURE(Properties,
                  "int8 activations: exact products of what both sides were rounded to") {
    Rows<Bf16> x(5, 640);
    in.bf16(x, 2);
    for (Bf16& v : x.view.row(2).subspan(32, 32)) v = {};  // a group of zeros
    const Quantised q(*ops, x.view);
    for (const WeightKind& kind : kKinds) {
        CAPTURE(static_cast<int>(kind.format));
        CAPTURE(static_cast<int>(kind.scales));
        Bytes bytes;
        const LinearWeight w = in.weight(kind.format, kind.scales, 37, 640, bytes, 1);
        for_every_isa(
            pool,
            [&](Ops& cpu) {
                Rows<float> y(5, 37);
                cpu.linear_f32(x.view, w, y.view);
                int64_t wrong = 0;
                for (int64_t r = 0; r < 5; ++r) {
                    for (int64_t o = 0; o < 37; ++o) {
                        const auto a = [&](int64_t k) {
                            return to_float(x.view.row(r)[static_cast<size_t>(k)]);
                        };
                        const auto stored = [&](int64_t k) {
                            return static_cast<float>(weight_at(w, o, k));
                        };
                        const Sums sums = sums_of(640, [&](int64_t k) {
                            if (!w.quantised()) return static_cast<double>(a(k) * stored(k));
                            const double left = through_int8(a(k), most_of_group(k, a));
                            const double right =
                                w.format == WeightFormat::kFp4 || w.low_bit()
                                    ? static_cast<double>(stored(k))
                                    : through_int8(stored(k), most_of_group(k, stored));
                            return left * right;
                        });
                        // A code on the edge between two integers may go either way where a scale is not a power of
                        // two: one step of 32 codes' products at most.
                        const double slack =
                            kind.scales == ScaleFormat::kF32 ? sums.magnitudes * 0x1p-7 : 0;
                        const double off =
                            std::fabs(static_cast<double>(y.view.row(r)[static_cast<size_t>(o)]) -
                                      sums.exact);
                        if (!(off <= bound(sums.magnitudes, 640, sums.exact, 0x1p-22) + slack))
                            ++wrong;
                    }
                }
                CHECK(wrong == 0);
            },
            Activations::kInt8);
    }
}

TEST_CASE_FIXTURE(Properties,
                  "an expert in int8 is near the one in FP8, and arranging it changes no bit") {
    constexpr int64_t kInner = 128, kWidth = 256;
    Rows<Bf16> x(6, kWidth);
    in.bf16(x);
    const Quantised q(*ops, x.view);
    const std::vector<int32_t> rows = {5, 0, 3};
    const std::vector<float> weights = {0.5F, 1.25F, 0.75F};
    struct Formats {
        WeightFormat gate_up, down;
    };
    for (const Formats& formats : {Formats{WeightFormat::kFp4, WeightFormat::kFp4},
                                   Formats{WeightFormat::kQ2s, WeightFormat::kQ3s},
                                   Formats{WeightFormat::kQ2v, WeightFormat::kFp4},
                                   Formats{WeightFormat::kQ3s, WeightFormat::kQ2v}}) {
        CAPTURE(static_cast<int>(formats.gate_up));
        Bytes bytes[3];
        const auto matrix = [&](WeightFormat format, int64_t outputs, int64_t cols, Bytes& b) {
            return in.weight(format, ScaleFormat::kE8m0, outputs, cols, b);
        };
        const ExpertWeights expert = {matrix(formats.gate_up, kInner, kWidth, bytes[0]),
                                      matrix(formats.down, kWidth, kInner, bytes[1]),
                                      matrix(formats.gate_up, kInner, kWidth, bytes[2])};
        Rows<Bf16> expected(3, kWidth);
        ops->expert(q.input, rows, expert, weights, 10, expected.view);
        double size = 0;
        for (int64_t r = 0; r < 3; ++r)
            for (const Bf16 v : expected.view.row(r)) size += std::pow(to_float(v), 2);
        for (const Activations activations : {Activations::kFp8, Activations::kInt8}) {
            for_every_isa(
                pool,
                [&](Ops& cpu) {
                    Rows<Bf16> y(3, kWidth), turned(3, kWidth);
                    cpu.expert(q.input, rows, expert, weights, 10, y.view);
                    double off = 0;
                    for (int64_t r = 0; r < 3; ++r) {
                        for (size_t i = 0; i < static_cast<size_t>(kWidth); ++i)
                            off += std::pow(
                                to_float(y.view.row(r)[i]) - to_float(expected.view.row(r)[i]), 2);
                    }
                    // aq128 alone moves a product by some 3 %; with int8 instead of it outputs differ by about as much.
                    // The steps drawn for low-bit rows lie 2⁷ apart: fewer blocks count, and less averages out.
                    const double far = formats.gate_up == WeightFormat::kFp4 ? 0.1 : 0.15;
                    CHECK(std::sqrt(off / size) < (activations == Activations::kFp8 ? 0.02 : far));
                    Bytes copies[3] = {bytes[0], bytes[1], bytes[2]};
                    ExpertWeights strips = expert;
                    LinearWeight* parts[] = {&strips.w1, &strips.w2, &strips.w3};
                    for (size_t i = 0; i < 3; ++i) {
                        parts[i]->codes = copies[i].codes.data();
                        parts[i]->scales = copies[i].scales.data();
                        cpu.arrange(*parts[i], copies[i].codes.data(), copies[i].scales.data());
                    }
                    cpu.expert(q.input, rows, strips, weights, 10, turned.view);
                    CHECK(std::memcmp(turned.values.data(), y.values.data(),
                                      y.values.size() * sizeof(Bf16)) == 0);
                },
                activations);
        }
    }
}

// One row for each of four experts, then the same with one that has two rows or matrices of another format: whatever way
// the ops go, nobody's row may change.
TEST_CASE_FIXTURE(Properties, "experts in one go are the same experts one by one") {
    constexpr int64_t kInner = 128, kWidth = 256, kExperts = 4;
    Rows<Bf16> x(5, kWidth);
    in.bf16(x);
    const Quantised q(*ops, x.view);
    std::vector<Bytes> bytes(3 * kExperts + 3);
    const auto expert_of = [&](size_t at, WeightFormat format) {
        const auto matrix = [&](int64_t outputs, int64_t cols, size_t i) {
            return in.weight(format, ScaleFormat::kE8m0, outputs, cols, bytes[3 * at + i]);
        };
        return ExpertWeights{matrix(kInner, kWidth, 0), matrix(kWidth, kInner, 1),
                             matrix(kInner, kWidth, 2)};
    };
    const std::vector<int32_t> rows = {3, 0, 3, 1, 4};
    const std::vector<float> weights = {0.5F, 1.25F, 0.75F, 2, 1};
    Rows<Bf16> together(kExperts + 1, kWidth), alone(kExperts + 1, kWidth);
    std::vector<ExpertCall> calls;
    for (size_t e = 0; e < kExperts; ++e) {
        calls.push_back({.weights = expert_of(e, WeightFormat::kFp4),
                         .rows = std::span(rows).subspan(e, 1),
                         .route_weights = std::span(weights).subspan(e, 1),
                         .out = together.at(static_cast<int64_t>(e), 1)});
    }
    std::vector<ExpertCall> two_rows = calls, other_format = calls, one = {calls[2]};
    two_rows.back().rows = std::span(rows).last(2);
    two_rows.back().route_weights = std::span(weights).last(2);
    two_rows.back().out = together.at(kExperts - 1, 2);
    other_format.back().weights = expert_of(kExperts, WeightFormat::kFp8);
    other_format.back().route_weights = {};
    for (const Activations activations : {Activations::kFp8, Activations::kInt8}) {
        for_every_isa(
            pool,
            [&](Ops& cpu) {
                for (const auto& list : {calls, two_rows, other_format, one}) {
                    std::ranges::fill(together.values, Bf16{});
                    std::ranges::fill(alone.values, Bf16{});
                    cpu.experts(q.input, list, 10);
                    for (const ExpertCall& call : list) {
                        const int64_t place =
                            (call.out.data - together.view.data) / together.view.stride;
                        cpu.expert(q.input, call.rows, call.weights, call.route_weights, 10,
                                   alone.at(place, call.out.rows));
                    }
                    CHECK(std::ranges::equal(together.values, alone.values, {}, &Bf16::bits,
                                             &Bf16::bits));
                }
            },
            activations);
    }
}

}  // namespace millrace
