// The traps of spec §7.7 that lie inside an op: hand-made inputs, the right answer computed here, and the answer of the
// usual mistake, which must be another one. The traps between ops are in tests/engine/traps_test.cpp.

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <vector>

#include "kernels/ops.h"
#include "kernels/reference/canonical.h"
#include "kernels/reference/formulas.h"

namespace millrace {
namespace {

struct Traps {
    Pool pool{1};
    std::unique_ptr<Ops> ops = make_reference_ops(pool);
};

std::vector<Bf16> bf16(const std::vector<float>& values) {
    std::vector<Bf16> out;
    for (const float v : values) out.push_back(to_bf16(v));
    return out;
}
std::vector<float> floats(std::span<const Bf16> values) {
    std::vector<float> out;
    for (const Bf16 v : values) out.push_back(to_float(v));
    return out;
}
float rounded(double x) { return to_float(to_bf16(static_cast<float>(x))); }

template <class T>
MatrixView<T> one_row(std::vector<T>& values) {
    return {values.data(), 1, static_cast<int64_t>(values.size())};
}
template <class T>
MatrixView<const T> one_row(const std::vector<T>& values) {
    return {values.data(), 1, static_cast<int64_t>(values.size())};
}

template <class T>
LinearWeight plain_weight(WeightFormat format, int64_t rows, const std::vector<T>& values) {
    return {.format = format,
            .rows = rows,
            .cols = static_cast<int64_t>(values.size()) / rows,
            .codes = reinterpret_cast<const std::byte*>(values.data())};
}
LinearWeight scaled_weight(WeightFormat format, int64_t rows, int64_t cols,
                           const std::vector<uint8_t>& codes, const std::vector<uint8_t>& scales) {
    return {.format = format,
            .scale_format = ScaleFormat::kE8m0,
            .rows = rows,
            .cols = cols,
            .codes = reinterpret_cast<const std::byte*>(codes.data()),
            .scales = reinterpret_cast<const std::byte*>(scales.data())};
}

// One row of a quantised linear layer: aq128 and the product.
std::vector<float> linear(Ops& ops, const std::vector<float>& x, const LinearWeight& weight) {
    const std::vector<Bf16> rows = bf16(x);
    std::vector<uint8_t> codes(x.size());
    std::vector<uint8_t> scales(x.size() / 128);
    const Fp8Rows quantised{one_row(codes), one_row(scales)};
    ops.quantise(one_row(rows), quantised);
    std::vector<Bf16> y(static_cast<size_t>(weight.rows));
    ops.linear({one_row(rows), quantised}, weight, one_row(y));
    return floats(y);
}

// A KV row on the grid: 448 values that are e4m3 themselves (scale 1), 64 bf16 values.
KvRow kv_row(float latent, float rope) {
    KvRow row{};
    row.codes.fill(e4m3_code(latent));
    row.scales.fill(127);
    row.rope.fill(to_bf16(rope));
    return row;
}

std::vector<float> attend(Ops& ops, const std::vector<float>& q, const std::vector<KvRow>& rows,
                          float sink) {
    std::vector<const KvRow*> list;
    for (const KvRow& row : rows) list.push_back(&row);
    const std::vector<KeyList> keys = {{.window = list, .entries = {}}};
    const std::vector<Bf16> query = bf16(q);
    std::vector<Bf16> out(q.size());
    ops.attend(one_row(query), keys, {&sink, 1}, one_row(out));
    return floats(out);
}

struct Split {
    std::array<float, 4> pre, post;
    std::array<float, 16> comb;
};
Split split_mixes(const std::vector<float>& mixes, const std::vector<float>& base,
                  const std::vector<float>& scale, float eps, int rounds) {
    Split out;
    const HyperConnectionSite site{
        .fn = {}, .base = base, .scale = scale, .eps = eps, .rounds = rounds};
    reference::split_mixes(mixes.data(), site, out.pre.data(), out.post.data(), out.comb.data());
    return out;
}

// Sinkhorn written anew, with switches for where eps stands.
struct Eps {
    double in_softmax_sum, behind_softmax, in_row_sum, in_column_sum;
};
std::array<float, 16> sinkhorn(std::array<double, 16> c, int rounds, const Eps& eps) {
    for (size_t j = 0; j < 16; j += 4) {
        const double sum = std::exp(c[j]) + std::exp(c[j + 1]) + std::exp(c[j + 2]) +
                           std::exp(c[j + 3]) + eps.in_softmax_sum;
        for (size_t k = 0; k < 4; ++k) c[j + k] = std::exp(c[j + k]) / sum + eps.behind_softmax;
    }
    for (int round = 0; round < rounds; ++round) {
        for (size_t j = 0; j < 16 && round > 0; j += 4) {
            const double sum = c[j] + c[j + 1] + c[j + 2] + c[j + 3] + eps.in_row_sum;
            for (size_t k = 0; k < 4; ++k) c[j + k] /= sum;
        }
        for (size_t k = 0; k < 4; ++k) {
            const double sum = c[k] + c[4 + k] + c[8 + k] + c[12 + k] + eps.in_column_sum;
            for (size_t j = 0; j < 16; j += 4) c[j + k] /= sum;
        }
    }
    std::array<float, 16> out;
    for (size_t i = 0; i < 16; ++i) out[i] = static_cast<float>(c[i]);
    return out;
}

double largest_difference(const std::array<float, 16>& a, const std::array<float, 16>& b) {
    double most = 0;
    for (size_t i = 0; i < 16; ++i)
        most = std::max(most, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    return most;
}

double silu(double x) { return x / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE_FIXTURE(Traps, "trap 1: rope turns neighbours, in the last 64 dims") {
    // Pair 0 turns by the position itself, pair 1 by position · 0.75.
    const RopeTable table = RopeTable::plain(10000);
    const double angle = 3.0 * static_cast<double>(table.frequencies[1]);
    std::vector<float> x(128, 0.0F);
    for (size_t i = 0; i < 64; ++i) x[i] = static_cast<float>(i + 1);
    x[64 + 2] =
        1;  // the even member of pair 1; in half-split pairing the first of pair 2, with 64 + 34
    std::vector<Bf16> row = bf16(x);
    const std::vector<int32_t> positions = {3};
    ops->rope(one_row(row), 128, positions, table, Rotation::kForward);
    const std::vector<float> y = floats(row);

    std::vector<float> right = x;
    right[64 + 2] = rounded(std::cos(angle));
    right[64 + 3] = rounded(std::sin(angle));
    CHECK(y == right);

    std::vector<float> half_split = x;
    const double other = 3.0 * static_cast<double>(table.frequencies[2]);
    half_split[64 + 2] = rounded(std::cos(other));
    half_split[64 + 34] = rounded(std::sin(other));
    CHECK(y != half_split);
    CHECK(y[0] == 1);  // rotated, were the first dims the rotated ones
}

TEST_CASE_FIXTURE(Traps, "trap 4: the value of a key is all of it, rotated dims too") {
    std::vector<float> q(kHeadDim, 0.0F);
    const std::vector<float> y = attend(*ops, q, {kv_row(3, 5)}, -INFINITY);
    std::vector<float> right(kHeadDim, 3.0F);
    std::fill(right.begin() + kLatentDim, right.end(), 5.0F);
    CHECK(y == right);
    // And all of it is the key: the rotated dims alone decide between two keys.
    q[kLatentDim] = 1024;
    const std::vector<float> z = attend(*ops, q, {kv_row(1, 2), kv_row(4, 1)}, -INFINITY);
    CHECK(z[0] == 1);
    CHECK(z[0] != 2.5F);  // were only the first 448 dims compared
}

TEST_CASE_FIXTURE(Traps, "trap 5: no mscale, neither in the softmax nor in the rotation") {
    // Two keys whose products with q differ by 64: the scale is all that decides their weights.
    std::vector<float> q(kHeadDim, 0.0F);
    q[0] = 64;
    const float first = attend(*ops, q, {kv_row(1, 0), kv_row(0, 0)}, -INFINITY)[0];
    const auto share = [](double scale) {
        return rounded(1 / (1 + static_cast<double>(rounded(std::exp(-64 * scale)))));
    };
    const double scale = 1 / std::sqrt(512.0);
    const double mscale = 1 + 0.1 * std::log(16.0);
    CHECK(std::fabs(first - share(scale)) < 2e-3F);
    CHECK(std::fabs(share(scale * mscale * mscale) - share(scale)) > 2e-2F);
    CHECK(std::fabs(share(scale * mscale) - share(scale)) > 1e-2F);

    // At position 0 nothing turns, and nothing grows.
    std::vector<Bf16> row = bf16(std::vector<float>(64, 1.0F));
    const std::vector<int32_t> positions = {0};
    ops->rope(one_row(row), 64, positions, RopeTable::yarn(160000, 16, 32, 1, 65536),
              Rotation::kForward);
    CHECK(floats(row) == std::vector<float>(64, 1.0F));
}

TEST_CASE_FIXTURE(Traps, "trap 9: the first index of comb is the source stream") {
    // Everything in stream 0; comb sends it to stream 1 twice and to stream 3 four times.
    std::vector<float> comb(16, 0.0F);
    comb[0 * 4 + 1] = 2;
    comb[0 * 4 + 3] = 4;
    comb[1 * 4 + 0] = 8;  // what the transposed reading would take for 0 → 1
    const std::vector<float> post(4, 0.0F);
    const std::vector<Bf16> y = bf16({100});
    std::vector<Bf16> streams = bf16({1, 0, 0, 0});
    ops->hc_expand(one_row(y), one_row(post), one_row(comb), one_row(streams));
    CHECK(floats(streams) == std::vector<float>{0, 2, 0, 4});
    CHECK(floats(streams) != std::vector<float>{0, 8, 0, 0});
}

TEST_CASE_FIXTURE(Traps, "trap 10: Sinkhorn's eps, behind the softmax and in every sum after it") {
    // A large eps shows where it stands.
    constexpr double kEps = 0.125;
    std::array<double, 16> c{};
    std::vector<float> mixes(24, 0.0F);
    for (size_t i = 0; i < 16; ++i) {
        c[i] = static_cast<double>((3 * ((5 * i) % 16)) % 7) / 4 - 1;
        mixes[8 + i] = static_cast<float>(c[i]);
    }
    const std::vector<float> base(24, 0.0F);
    const std::vector<float> scale(3, 1.0F);
    const auto computed = split_mixes(mixes, base, scale, static_cast<float>(kEps), 20).comb;
    const auto right = sinkhorn(c, 20, {0, kEps, kEps, kEps});
    CHECK(largest_difference(computed, right) < 1e-6);
    for (const Eps& wrong :
         {Eps{0, 0, 0, 0}, Eps{0, 0, kEps, kEps}, Eps{kEps, 0, kEps, kEps}, Eps{0, kEps, 0, kEps},
          Eps{0, kEps, kEps, 0}, Eps{kEps, kEps, kEps, kEps}}) {
        CHECK(largest_difference(right, sinkhorn(c, 20, wrong)) > 1e-4);
    }
    // The softmax is the first of the rounds, and the columns come last.
    const auto three = split_mixes(mixes, base, scale, static_cast<float>(kEps), 3).comb;
    CHECK(largest_difference(three, sinkhorn(c, 3, {0, kEps, kEps, kEps})) < 1e-6);
    CHECK(largest_difference(three, sinkhorn(c, 4, {0, kEps, kEps, kEps})) > 1e-4);
}

TEST_CASE_FIXTURE(Traps, "trap 11: post is twice a sigmoid without eps, pre a sigmoid with it") {
    constexpr float kEps = 0.125F;
    const Split split = split_mixes(std::vector<float>(24, 0.0F), std::vector<float>(24, 0.0F),
                                    std::vector<float>(3, 1.0F), kEps, 20);
    for (size_t j = 0; j < 4; ++j) {
        CHECK(split.post[j] == 1);
        CHECK(split.post[j] != 0.5F);         // without the factor
        CHECK(split.post[j] != 1 + kEps);     // with eps
        CHECK(split.post[j] != 0.5F + kEps);  // as pre is
        CHECK(split.pre[j] == 0.5F + kEps);
    }
}

TEST_CASE_FIXTURE(Traps, "trap 12: the routing weight comes before w2's quantisation") {
    // One active channel: gate 2, up 1; w2 passes it on. aq128 keeps four bits of it, and which four the weight decides.
    std::vector<Bf16> w1(128 * 128);
    std::vector<Bf16> w3(128 * 128);
    w1[0] = to_bf16(2);
    w3[0] = to_bf16(1);
    std::vector<uint8_t> codes(128 * 128, 0);
    codes[0] = e4m3_code(1);
    const std::vector<uint8_t> scales = {127};
    const ExpertWeights weights{plain_weight(WeightFormat::kBf16, 128, w1),
                                scaled_weight(WeightFormat::kFp8, 128, 128, codes, scales),
                                plain_weight(WeightFormat::kBf16, 128, w3)};
    std::vector<float> x(128, 0.0F);
    x[0] = 1;
    const std::vector<Bf16> rows = bf16(x);
    const std::vector<int32_t> row_ids = {0};
    const float route_weight = 0.3F;
    std::vector<Bf16> y(128);
    ops->expert({one_row(rows), {}}, row_ids, weights, {&route_weight, 1}, 10, one_row(y));

    // aq128 of a group whose largest is a itself: a / s lies in (224, 448], in steps of 16 or 32.
    const auto aq = [](float a) {
        const float s = e8m0_value(fp8_scale(a));
        return e4m3_value(e4m3_code(a / s)) * s;
    };
    const double a = silu(2);
    const float before = aq(rounded(static_cast<double>(route_weight) * a));
    const float behind =
        rounded(static_cast<double>(route_weight) * static_cast<double>(aq(rounded(a))));
    CHECK(to_float(y[0]) == before);
    CHECK(before != behind);
}

TEST_CASE_FIXTURE(Traps, "trap 13: the gate is clamped from above only, up from both sides") {
    const std::vector<Bf16> gate = bf16({-20, 20, 1, 1, -5});
    const std::vector<Bf16> up = bf16({1, 1, 20, -20, 1});
    std::vector<Bf16> out(5);
    ops->swiglu(one_row(gate), one_row(up), {}, 10, one_row(out));
    CHECK(floats(out) == std::vector<float>{rounded(silu(-20)), rounded(silu(10)),
                                            rounded(silu(1) * 10), rounded(silu(1) * -10),
                                            rounded(silu(-5))});
    CHECK(rounded(silu(-20)) != rounded(silu(-10)));  // a gate clamped from below
    CHECK(rounded(silu(10)) != rounded(silu(20)));
}

TEST_CASE_FIXTURE(Traps, "trap 14: the bias chooses experts and does not weigh them") {
    const std::vector<float> logits = {0, 1, 2, 3};
    const std::vector<float> bias = {10, 0, 5, 0};  // makes 0 and 2 the best
    std::vector<int32_t> ids(2);
    std::vector<float> weights(2);
    ops->route(one_row(logits), bias, {}, {.experts_per_token = 2, .route_scale = 1.5F},
               one_row(ids), one_row(weights));
    CHECK(ids == std::vector<int32_t>{0, 2});
    const auto score = [](double l) { return std::sqrt(std::log1p(std::exp(l))); };
    const double right = 1.5 * score(0) / (score(0) + score(2));
    const double biased = 1.5 * (score(0) + 10) / (score(0) + 10 + score(2) + 5);
    CHECK(std::fabs(static_cast<double>(weights[0]) - right) < 1e-6);
    CHECK(std::fabs(right - biased) > 0.1);
    CHECK(ids != std::vector<int32_t>{3, 2});  // the best scores
}

TEST_CASE_FIXTURE(Traps, "trap 15: the low nibble is the even column") {
    // Column 0 is 1, column 1 is 4.
    std::vector<uint8_t> codes(64, 0);
    codes[0] = static_cast<uint8_t>(e2m1_code(1) | (e2m1_code(4) << 4));
    const std::vector<uint8_t> scales(4, 127);
    const LinearWeight weight = scaled_weight(WeightFormat::kFp4, 1, 128, codes, scales);
    std::vector<float> x(128, 0.0F);
    x[0] = 1;
    CHECK(linear(*ops, x, weight)[0] == 1);
    x[0] = 0;
    x[1] = 1;
    CHECK(linear(*ops, x, weight)[0] == 4);

    // The same in an index row: fq4 of (1, 4) keeps the order.
    std::vector<Bf16> key(kIndexDim);
    key[0] = to_bf16(1);
    key[1] = to_bf16(4);
    IndexRow row;
    reference::pack_fq4(one_row(key), {&row, 1});
    double values[kIndexDim];
    reference::decode_row(row, values);
    CHECK(values[0] == 1);
    CHECK(values[1] == 4);
    CHECK(e2m1_code(static_cast<float>(1 / std::ldexp(1, row.scales[0] - 127))) ==
          (row.codes[0] & 15));
}

TEST_CASE_FIXTURE(Traps, "trap 16: scale byte 0 is 2⁻¹²⁷, not zero") {
    const std::vector<uint8_t> scales(4, 0);
    std::vector<float> x(128, 0.0F);
    x[0] = 256;
    // byte << 23 would make the scale 0 and both products with it.
    const std::vector<uint8_t> fp8(128, e4m3_code(448));
    CHECK(linear(*ops, x, scaled_weight(WeightFormat::kFp8, 1, 128, fp8, scales))[0] ==
          std::ldexp(448.0F * 256.0F, -127));
    const std::vector<uint8_t> fp4(64, 0x77);
    CHECK(linear(*ops, x, scaled_weight(WeightFormat::kFp4, 1, 128, fp4, scales))[0] ==
          std::ldexp(6.0F * 256.0F, -127));
    KvRow row = kv_row(448, 0);
    row.scales.fill(0);
    double values[kHeadDim];
    reference::decode_row(row, values);
    CHECK(values[0] == std::ldexp(448.0, -127));
}

TEST_CASE_FIXTURE(Traps, "trap 17: wo_a reads bf16, not what aq128 leaves of it") {
    // Two groups; the weights take column 0 of each. 1.0078125 beside 448 would become 1 on the FP8 grid.
    std::vector<uint8_t> codes(2 * 128, 0);
    codes[0] = codes[128] = e4m3_code(1);
    const std::vector<uint8_t> scales = {127};
    const LinearWeight weight = scaled_weight(WeightFormat::kFp8, 2, 128, codes, scales);
    std::vector<float> x(2 * 128, 0.0F);
    x[0] = 1.0078125F;
    x[128] = 3.015625F;
    x[1] = x[129] = 448;
    const std::vector<Bf16> rows = bf16(x);
    std::vector<Bf16> y(2);
    ops->linear_bf16(one_row(rows), weight, 2, one_row(y));
    CHECK(floats(y) == std::vector<float>{1.0078125F, 3.015625F});
    CHECK(linear(*ops, {x.begin(), x.begin() + 128}, weight)[0] == 1);
}

TEST_CASE_FIXTURE(Traps, "trap 18: the norm of a query head has no weight and one factor a head") {
    // Mean squares 16 and 1/4: the factors are ¼ and 2 for every channel of their head.
    std::vector<float> x(2 * kHeadDim, 4.0F);
    std::fill(x.begin() + kHeadDim, x.end(), 0.5F);
    x[7] = -4;
    std::vector<Bf16> q = bf16(x);
    ops->head_norm(one_row(q), 1e-6F);
    std::vector<float> right(2 * kHeadDim, 1.0F);
    right[7] = -1;
    CHECK(floats(q) == right);

    // Any weight but one shows, and so does one factor for all heads.
    std::vector<Bf16> weighted = bf16(x);
    const std::vector<Bf16> weight = bf16(std::vector<float>(kHeadDim, 1.5F));
    for (int64_t head = 0; head < 2; ++head) {
        const MatrixView<Bf16> part(weighted.data() + head * kHeadDim, 1, kHeadDim);
        ops->rms_norm(part, weight, 1e-6F, part);
    }
    CHECK(floats(weighted) != right);
    std::vector<Bf16> together = bf16(x);
    ops->rms_norm(one_row(together), bf16(std::vector<float>(2 * kHeadDim, 1.0F)), 1e-6F,
                  one_row(together));
    CHECK(floats(together) != right);
}

TEST_CASE_FIXTURE(Traps,
                  "trap 22: router, compressor, streams and head compute in fp32, not TF32") {
    // TF32 keeps 10 bits of a factor: 1 + 2⁻²⁰ would be 1. And a result in bf16 would lose 2⁻¹².
    const float fine = 1 + 0x1p-20F;
    const std::vector<Bf16> ones = bf16({1, 1, 1, 1});
    const std::vector<float> matrix = {fine, 0x1p-12F, 0, 0};
    std::vector<float> y(1);
    ops->linear_f32(one_row(ones), plain_weight(WeightFormat::kF32, 1, matrix), one_row(y));
    CHECK(y[0] == 1 + 0x1p-20F + 0x1p-12F);
    const std::vector<Bf16> narrow = bf16({1, 0x1p-12F, 0x1p-20F, 0});
    ops->linear_f32(one_row(ones), plain_weight(WeightFormat::kBf16, 1, narrow), one_row(y));
    CHECK(y[0] == 1 + 0x1p-20F + 0x1p-12F);

    const std::vector<float> ape = {0x1p-22F};
    const std::vector<int32_t> positions = {128};
    std::vector<float> row(2);
    std::vector<float> apes(128, 0.0F);
    apes[0] = ape[0];
    const LinearWeight weight = plain_weight(WeightFormat::kF32, 1, matrix);
    ops->compressor_rows(one_row(ones), weight, weight, apes, 128, positions, one_row(row));
    CHECK(row[0] == 1 + 0x1p-20F + 0x1p-12F);
    CHECK(row[1] == 1 + 0x1p-20F + 0x1p-12F + 0x1p-22F);

    // The mixes are fn itself (streams of ones, no eps); scale and base blow up what is behind the tenth bit.
    std::vector<float> fn(kMixes * 4, 0.0F);
    for (size_t m = 0; m < kMixes; ++m) fn[m * 4] = fine;
    const std::vector<float> base(kMixes, -0x1p20F);
    const std::vector<float> scale(3, 0x1p20F);
    const std::vector<Bf16> streams = ones;  // d = 1
    std::vector<Bf16> reduced(1);
    std::vector<float> post(4);
    std::vector<float> comb(16);
    ops->hc_reduce(one_row(streams), {.fn = fn, .base = base, .scale = scale, .norm_eps = 0},
                   one_row(reduced), one_row(post), one_row(comb));
    const double sigma = 1 / (1 + std::exp(-1.0));
    CHECK(post[0] == static_cast<float>(2 * sigma));
    CHECK(post[0] != 1);  // σ(0), were fn rounded to TF32
    CHECK(to_float(reduced[0]) == rounded(4 * (sigma + 1e-6)));
    std::vector<Bf16> z(1);
    ops->hc_head(one_row(streams),
                 {.fn = std::span(fn).first(16),
                  .base = std::span(base).first(4),
                  .scale = std::span(scale).first(1),
                  .norm_eps = 0},
                 one_row(z));
    CHECK(to_float(z[0]) == rounded(4 * (sigma + 1e-6)));
}

}  // namespace millrace
