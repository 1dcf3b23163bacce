// The structural checks and the numbers of spec §10, computed independently of the ops.

#include <doctest/doctest.h>

#include "tests/kernels/properties.h"

namespace millrace {

TEST_CASE_FIXTURE(Properties, "§10 (a): the four streams are one after the embedding") {
    Bytes bytes;
    const LinearWeight table = in.weight(WeightFormat::kBf16, ScaleFormat::kNone, 6, 16, bytes);
    const std::vector<TokenId> tokens = {{5}, {0}};
    Rows<Bf16> streams(2, 64);
    ops->embed(table, tokens, streams.view);
    for (size_t i = 0; i < 64; ++i) {
        CHECK(static_cast<double>(to_float(streams.view.row(0)[i])) ==
              weight_at(table, 5, static_cast<int64_t>(i % 16)));
    }
}

TEST_CASE_FIXTURE(Properties, "§10 (c): with equal gate scores an entry is the mean") {
    for (const float score : {0.0F, -3.5F, 90.0F}) {
        std::vector<float> rows;
        std::vector<const float*> list;
        double sum = 0;
        for (int i = 0; i < 128; ++i) {
            const float u = in.real();
            sum += static_cast<double>(u);
            rows.insert(rows.end(), {u, score});
        }
        for (size_t i = 0; i < 128; ++i) list.push_back(&rows[2 * i]);
        const std::vector<PoolSource> sources = {{list.data()}};
        Bf16 entry;
        ops->compressor_pool(sources, 128, {&entry, 1, 1});
        CHECK(entry == to_bf16(static_cast<float>(sum / 128)));
    }
}

TEST_CASE_FIXTURE(Properties, "§10 (d): entry 0 of overlapped blocks ignores the low half") {
    // Rows are [u low, u high, s low, s high].
    std::vector<float> rows = {9, 1, 50, 0, 9, 2, 50, 0, 9, 3, 50, 0, 9, 4, 50, 0};
    std::vector<const float*> list = {nullptr,  nullptr,  nullptr,  nullptr,
                                      &rows[0], &rows[4], &rows[8], &rows[12]};
    const std::vector<PoolSource> sources = {{list.data()}};
    Bf16 entry;
    ops->compressor_pool(sources, 4, {&entry, 1, 1});
    CHECK(to_float(entry) == 2.5F);
    for (size_t i = 0; i < rows.size(); i += 4) rows[i] = rows[i + 2] = -1e30F;
    ops->compressor_pool(sources, 4, {&entry, 1, 1});
    CHECK(to_float(entry) == 2.5F);
}

TEST_CASE_FIXTURE(Properties, "§10 (e): Hadamard is the matrix of signs, and its own inverse") {
    Rows<Bf16> x(3, kIndexDim), once(3, kIndexDim), twice(3, kIndexDim);
    in.bf16(x);
    reference::hadamard(x.view, once.view);
    reference::hadamard(once.view, twice.view);
    for (int64_t r = 0; r < 3; ++r) {
        double size = 0, error = 0;
        for (size_t i = 0; i < kIndexDim; ++i) {
            double sum = 0;
            for (size_t j = 0; j < kIndexDim; ++j) {
                const double v = static_cast<double>(to_float(x.view.row(r)[j]));
                sum += std::popcount(i & j) % 2 == 0 ? v : -v;
            }
            CHECK(once.view.row(r)[i] == to_bf16(static_cast<float>(sum / std::sqrt(128.0))));
            const double v = static_cast<double>(to_float(x.view.row(r)[i]));
            const double back = static_cast<double>(to_float(twice.view.row(r)[i]));
            size += v * v;
            error += (v - back) * (v - back);
        }
        // Two roundings of at most 2⁻⁸ each; the transform itself keeps lengths.
        CHECK(std::sqrt(error) <= std::ldexp(1.01 * std::sqrt(size), -7));
    }
}

TEST_CASE_FIXTURE(Properties, "§10 (f): rope and inverse rope give back the vector") {
    const std::vector<int32_t> positions = {0, 1, 4097, 1048575};
    Rows<Bf16> x(4, 128), y(4, 128);
    in.bf16(x);
    for (const RopeTable& table :
         {RopeTable::plain(10000), RopeTable::yarn(160000, 16, 32, 1, 65536)}) {
        y.values = x.values;
        ops->rope(y.view, 128, positions, table, Rotation::kForward);
        CHECK(std::equal(y.view.row(0).begin(), y.view.row(0).end(), x.view.row(0).begin()));
        CHECK(!std::equal(y.view.row(1).begin(), y.view.row(1).end(), x.view.row(1).begin()));
        ops->rope(y.view, 128, positions, table, Rotation::kInverse);
        for (int64_t r = 0; r < 4; ++r) {
            const auto before = x.view.row(r), after = y.view.row(r);
            CHECK(std::equal(before.begin(), before.begin() + 64, after.begin()));
            for (size_t i = 64; i < 128; i += 2) {
                const double even = static_cast<double>(to_float(before[i]) - to_float(after[i]));
                const double odd =
                    static_cast<double>(to_float(before[i + 1]) - to_float(after[i + 1]));
                const double size = std::hypot(static_cast<double>(to_float(before[i])),
                                               static_cast<double>(to_float(before[i + 1])));
                CHECK(std::hypot(even, odd) <= std::ldexp(1.01 * size, -7));
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "§10 (g): with a sink of −∞ attention is the plain softmax") {
    Rows<Bf16> q(1, kHeadDim), values(5, kHeadDim);
    in.bf16(q, 0.25F);
    in.bf16(values);
    std::vector<KvRow> rows(5);
    ops->pack_kv(values.view, rows);
    std::vector<const KvRow*> list;
    for (const KvRow& row : rows) list.push_back(&row);
    const std::vector<KeyList> keys = {
        {.window = std::span(list).first(2), .entries = std::span(list).subspan(2)}};
    const auto attend = [&](float sink) {
        std::vector<Bf16> out(kHeadDim);
        ops->attend(q.view, keys, {&sink, 1}, {out.data(), 1, kHeadDim});
        return out;
    };
    std::vector<double> weights;
    double sum = 0;
    for (const KvRow& row : rows) {
        const std::vector<float> key = unpack(row);
        double product = 0;
        for (size_t i = 0; i < kHeadDim; ++i)
            product +=
                static_cast<double>(to_float(q.view.row(0)[i])) * static_cast<double>(key[i]);
        weights.push_back(std::exp(product / std::sqrt(512.0)));
        sum += weights.back();
    }
    const std::vector<Bf16> out = attend(-INFINITY);
    for (size_t i = 0; i < kHeadDim; ++i) {
        double plain = 0, size = 0;
        for (size_t k = 0; k < rows.size(); ++k) {
            const double v = static_cast<double>(unpack(rows[k])[i]);
            plain += weights[k] / sum * v;
            size += weights[k] / sum * std::fabs(v);
        }
        // bf16 weights and a bf16 result: 2⁻⁸ each.
        CHECK(std::fabs(static_cast<double>(to_float(out[i])) - plain) <=
              std::ldexp(1.01 * size, -7));
    }
    CHECK(attend(2.0F) != out);
}

TEST_CASE_FIXTURE(Properties, "§10: Sinkhorn's vector") {
    std::vector<float> mixes = {0.5F, -1, 0.25F, 2, 1, 0, -0.5F, -2};
    std::vector<float> base;
    for (int i = 0; i < 16; ++i) mixes.push_back((3 * static_cast<float>(5 * i % 16) - 22) / 8);
    for (int i = 0; i < 24; ++i) base.push_back(0.1F * static_cast<float>(i % 5 - 2));
    const std::vector<float> scale = {0.7F, 1.3F, 0.9F};
    float pre[4], post[4], comb[16];
    reference::split_mixes(mixes.data(), site_of({}, base, scale), pre, post, comb);
    const double pre_right[] = {0.5374308, 0.3100265, 0.5436397, 0.8175755};
    const double post_right[] = {1.6351490, 0.9003320, 0.6416426, 0.1382768};
    const double comb_right[] = {0.0193961, 0.0715392, 0.1786017, 0.7304619, 0.0498950, 0.1840464,
                                 0.7575688, 0.0084885, 0.1984972, 0.7322133, 0.0136134, 0.0556753,
                                 0.7322107, 0.0122002, 0.0502151, 0.2053733};
    for (size_t i = 0; i < 4; ++i) {
        CHECK(std::fabs(static_cast<double>(pre[i]) - pre_right[i]) < 2e-6);
        CHECK(std::fabs(static_cast<double>(post[i]) - post_right[i]) < 2e-6);
        CHECK(std::fabs(static_cast<double>(comb[i] + comb[4 + i] + comb[8 + i] + comb[12 + i]) -
                        0.999999) < 2e-6);
    }
    for (size_t i = 0; i < 16; ++i)
        CHECK(std::fabs(static_cast<double>(comb[i]) - comb_right[i]) < 2e-6);
}

TEST_CASE_FIXTURE(Properties, "§10: the groups of aq128, fq64 and fq4") {
    const auto check = [&](std::vector<float> group, const std::vector<float>& right,
                           int exponent) {
        Rows<Bf16> x(1, kHeadDim);
        for (size_t i = 0; i < group.size(); ++i) x.view.row(0)[i] = to_bf16(group[i]);
        const MatrixView<const Bf16> first(x.view.data, 1, 128);
        const Quantised q(*ops, first);
        KvRow row;
        ops->pack_kv(x.view, {&row, 1});
        CHECK(q.scales.values[0] == 127 + exponent);
        CHECK(row.scales[0] == 127 + exponent);
        for (size_t i = 0; i < group.size(); ++i) {
            CHECK(e4m3_value(q.codes.values[i]) * std::ldexp(1.0F, exponent) == right[i]);
            CHECK(unpack(row)[i] == right[i]);
        }
    };
    check({1, -0.30078125F, 0.017333984375F, 3.140625F, -2.71875F, 0.0006103515625F, 100, -7.5F},
          {1, -0.3125F, 0.017578125F, 3.25F, -2.75F, 0.00048828125F, 96, -7.5F}, -2);
    check({1, -0.30078125F, 0.017333984375F, 3.140625F, -2.71875F, 0.0006103515625F,
           0.050048828125F, -0.75F},
          {1, -0.3125F, 0.017578125F, 3.25F, -2.75F, 0.0006103515625F, 0.05078125F, -0.75F}, -7);

    const auto check4 = [&](std::vector<float> group, const std::vector<float>& right,
                            int exponent) {
        std::vector<Bf16> x(kIndexDim);
        for (size_t i = 0; i < group.size(); ++i) x[i] = to_bf16(group[i]);
        IndexRow row;
        reference::pack_fq4({x.data(), 1, kIndexDim}, {&row, 1});
        CHECK(row.scales[0] == 127 + exponent);
        double values[kIndexDim];
        reference::decode_row(row, values);
        for (size_t i = 0; i < group.size(); ++i) {
            CHECK(values[i] == static_cast<double>(right[i]));
            CHECK(std::signbit(values[i]) == std::signbit(right[i]));
        }
    };
    check4({1, -0.30078125F, 0.25F, 3, -2.5F, 0.75F, 5, -1.25F}, {1, -0.5F, 0, 3, -2, 1, 4, -1}, 0);
    check4({7, -0.30078125F, 0.25F, 3, -2.5F, 0.75F, 5, -1.25F}, {8, -0.0F, 0, 3, -2, 1, 4, -1}, 1);
}

TEST_CASE("§10: sqrtsoftplus") {
    const std::vector<std::pair<float, double>> vectors = {
        {-3.0F, 0.2204254}, {0.0F, 0.8325546}, {1.5F, 1.3043823}, {25.0F, 5.0}};
    for (const auto& [logit, right] : vectors)
        CHECK(std::fabs(static_cast<double>(reference::sqrt_softplus(logit)) - right) < 1e-7);
}

}  // namespace millrace
