// What must hold of every op whatever its inputs: a row does not know its company, threads, strides and alignment do not
// show, awkward sizes work; the structural checks and numeric vectors of spec §10.

#include <doctest/doctest.h>

#include "tests/kernels/properties.h"

namespace millrace {

TEST_CASE_FIXTURE(Properties, "a row's result does not depend on its company: rows in and out") {
    Bytes table_bytes;
    const LinearWeight table =
        in.weight(WeightFormat::kBf16, ScaleFormat::kNone, 50, 24, table_bytes, 1);
    std::vector<TokenId> tokens;
    for (int64_t r = 0; r < kRows; ++r)
        tokens.push_back({static_cast<int32_t>(in.random.below(50))});
    check_company("embed", [&](Ops& o, int64_t first, int64_t count) {
        Rows<Bf16> streams(count, 4 * 24);
        o.embed(table,
                std::span(tokens).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                streams.view);
        std::string out;
        add_bytes(out, streams.view);
        return out;
    });
    Rows<Bf16> a(kRows, 40);
    Rows<Bf16> b(kRows, 160);
    in.bf16(a);
    in.bf16(b);
    check_company("add, stream_mean, index_weights", [&](Ops& o, int64_t first, int64_t count) {
        Rows<Bf16> sum(count, 160), mean(count, 40), weights(count, 40);
        o.add(a.at(first, count), b.at(first, count), 4, sum.view);
        o.stream_mean(b.at(first, count), mean.view);
        for (int64_t r = 0; r < count; ++r)
            std::ranges::copy(a.view.row(first + r), weights.view.row(r).begin());
        o.index_weights(weights.view);
        std::string out;
        for (int64_t r = 0; r < count; ++r) {
            add_bytes(out, sum.at(r, 1));
            add_bytes(out, mean.at(r, 1));
            add_bytes(out, weights.at(r, 1));
        }
        return out;
    });
}

TEST_CASE_FIXTURE(Properties, "a row's result does not depend on its company: hyper-connections") {
    constexpr int64_t kWidth = 36;
    Rows<Bf16> streams(kRows, 4 * kWidth), y(kRows, kWidth);
    in.bf16(streams);
    in.bf16(y);
    const auto fn = in.floats(kMixes * 4 * kWidth), base = in.floats(kMixes), scale = in.floats(3);
    const auto head_fn = in.floats(4 * 4 * kWidth), head_base = in.floats(4),
               head_scale = in.floats(1);
    check_company("hc_reduce, hc_expand, hc_head", [&](Ops& o, int64_t first, int64_t count) {
        Rows<Bf16> reduced(count, kWidth), z(count, kWidth), expanded(count, 4 * kWidth);
        Rows<float> post(count, 4), comb(count, 16);
        o.hc_reduce(streams.at(first, count), site_of(fn, base, scale), reduced.view, post.view,
                    comb.view);
        for (int64_t r = 0; r < count; ++r)
            std::ranges::copy(streams.view.row(first + r), expanded.view.row(r).begin());
        o.hc_expand(y.at(first, count), post.view, comb.view, expanded.view);
        o.hc_head(streams.at(first, count), site_of(head_fn, head_base, head_scale), z.view);
        std::string out;
        for (int64_t r = 0; r < count; ++r) {
            add_bytes(out, reduced.at(r, 1));
            add_bytes(out, post.at(r, 1));
            add_bytes(out, comb.at(r, 1));
            add_bytes(out, expanded.at(r, 1));
            add_bytes(out, z.at(r, 1));
        }
        return out;
    });
}

TEST_CASE_FIXTURE(Properties,
                  "a row's result does not depend on its company: norms, rope, packing") {
    Rows<Bf16> x(kRows, 2 * kHeadDim);
    in.bf16(x);
    const std::vector<Bf16> weight = in.bf16(2 * kHeadDim);
    const RopeTable table = RopeTable::yarn(160000, 16, 32, 1, 65536);
    std::vector<int32_t> positions;
    for (int64_t r = 0; r < kRows; ++r)
        positions.push_back(static_cast<int32_t>(in.random.below(1000000)));
    check_company("rms_norm, head_norm, rope", [&](Ops& o, int64_t first, int64_t count) {
        Rows<Bf16> normed(count, 2 * kHeadDim);
        o.rms_norm(x.at(first, count), weight, 1e-6F, normed.view);
        o.head_norm(normed.view, 1e-6F);
        const auto at =
            std::span(positions).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
        o.rope(normed.view, kHeadDim, at, table, Rotation::kForward);
        o.rope(normed.view, 128, at, table, Rotation::kInverse);
        std::string out;
        add_bytes(out, normed.view);
        return out;
    });
    check_company("quantise, pack_kv, pack_index", [&](Ops& o, int64_t first, int64_t count) {
        const Quantised q(o, x.at(first, count));
        const MatrixView<const Bf16> half(x.at(first, count).data, count, kHeadDim, x.view.stride);
        std::vector<KvRow> kv(static_cast<size_t>(count));
        std::vector<IndexRow> index(static_cast<size_t>(4 * count));
        o.pack_kv(half, kv);
        o.pack_index(half, index);
        std::string out;
        for (int64_t r = 0; r < count; ++r) {
            add_bytes(out, q.input.quantised.codes.slice_rows(r, 1));
            add_bytes(out, q.input.quantised.scales.slice_rows(r, 1));
            add_bytes(out, std::span<const KvRow>(&kv[static_cast<size_t>(r)], 1));
            add_bytes(out, std::span<const IndexRow>(&index[static_cast<size_t>(4 * r)], 4));
        }
        return out;
    });
}

TEST_CASE_FIXTURE(Properties, "a row's result does not depend on its company: linear layers") {
    Rows<Bf16> x(kRows, 256);
    in.bf16(x);
    for (const WeightKind& kind : kKinds) {
        CAPTURE(static_cast<int>(kind.format));
        Bytes bytes, grouped_bytes;
        const LinearWeight weight = in.weight(kind.format, kind.scales, 130, 256, bytes, 1);
        const LinearWeight grouped = in.weight(kind.format, kind.scales, 66, 128, grouped_bytes, 1);
        check_company("linear, linear_bf16, linear_f32", [&](Ops& o, int64_t first, int64_t count) {
            const MatrixView<const Bf16> rows = x.at(first, count);
            const Quantised q(o, rows);
            Rows<Bf16> y(count, 130), parts(count, 66);
            Rows<float> wide(count, 130);
            o.linear(q.input, weight, y.view);
            o.linear_bf16(rows, grouped, 2, parts.view);
            o.linear_f32(rows, weight, wide.view);
            std::string out;
            for (int64_t r = 0; r < count; ++r) {
                add_bytes(out, y.at(r, 1));
                add_bytes(out, parts.at(r, 1));
                add_bytes(out, wide.at(r, 1));
            }
            return out;
        });
    }
}

TEST_CASE_FIXTURE(Properties, "a row's result does not depend on its company: compressor") {
    constexpr int64_t kWidth = 20;
    Rows<Bf16> x(kRows, 48);
    in.bf16(x);
    std::vector<int32_t> positions;
    for (int64_t r = 0; r < kRows; ++r)
        positions.push_back(static_cast<int32_t>(in.random.below(5000)));
    for (const int ratio : {4, 128}) {
        const int64_t coff = ratio == 4 ? 2 : 1;
        Bytes bytes;
        const LinearWeight w =
            in.weight(WeightFormat::kBf16, ScaleFormat::kNone, coff * kWidth, 48, bytes, 1);
        const auto ape = in.floats(ratio * coff * kWidth);
        check_company("compressor_rows", [&](Ops& o, int64_t first, int64_t count) {
            Rows<float> rows(count, 2 * coff * kWidth);
            o.compressor_rows(x.at(first, count), w, w, ape, ratio,
                              std::span(positions).subspan(static_cast<size_t>(first),
                                                           static_cast<size_t>(count)),
                              rows.view);
            std::string out;
            add_bytes(out, rows.view);
            return out;
        });
        // Row r pools contributors r, r + 1, …; the first rows lack their first four.
        const int64_t contributors = coff * ratio;
        const auto raw = in.floats((kRows + contributors) * 2 * coff * kWidth);
        std::vector<std::vector<const float*>> lists(kRows);
        std::vector<PoolSource> sources;
        for (int64_t r = 0; r < kRows; ++r) {
            for (int64_t i = 0; i < contributors; ++i)
                lists[static_cast<size_t>(r)].push_back(
                    r < 2 && i < 4 ? nullptr
                                   : &raw[static_cast<size_t>((r + i) * 2 * coff * kWidth)]);
            sources.push_back({lists[static_cast<size_t>(r)].data()});
        }
        check_company("compressor_pool", [&](Ops& o, int64_t first, int64_t count) {
            Rows<Bf16> entries(count, kWidth);
            o.compressor_pool(
                std::span(sources).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                ratio, entries.view);
            std::string out;
            add_bytes(out, entries.view);
            return out;
        });
    }
}

TEST_CASE_FIXTURE(Properties,
                  "a row's result does not depend on its company: indexer and attention") {
    constexpr int64_t kHeads = 3;
    Rows<Bf16> x(kRows, kHeads * kIndexDim), weights(kRows, kHeads), keys(90, kIndexDim);
    in.bf16(x);
    in.bf16(weights);
    in.bf16(keys);
    std::vector<IndexRow> q(kRows * kHeads), entries(90);
    ops->pack_index(x.view, q);
    ops->pack_index(keys.view, entries);
    std::vector<int32_t> visible;
    for (int64_t r = 0; r < kRows; ++r)
        visible.push_back(static_cast<int32_t>(in.random.below(91)));
    visible[0] = 0;
    visible[1] = 90;
    check_company("index_topk", [&](Ops& o, int64_t first, int64_t count) {
        Rows<int32_t> picks(count, 10);
        o.index_topk(
            std::span(q).subspan(static_cast<size_t>(first * kHeads),
                                 static_cast<size_t>(count * kHeads)),
            weights.at(first, count), entries,
            std::span(visible).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
            picks.view);
        std::string out;
        add_bytes(out, picks.view);
        return out;
    });

    Rows<Bf16> queries(kRows, 2 * kHeadDim), values(40, kHeadDim);
    in.bf16(queries, 0.1F);
    in.bf16(values);
    const auto sink = in.floats(2);
    std::vector<KvRow> rows(40);
    ops->pack_kv(values.view, rows);
    std::vector<const KvRow*> list;
    for (const KvRow& row : rows) list.push_back(&row);
    std::vector<KeyList> lists;
    for (size_t r = 0; r < kRows; ++r) {
        const auto window = static_cast<size_t>(1 + in.random.below(20));
        lists.push_back({std::span(list).first(window), std::span(list).subspan(20, r % 20)});
    }
    check_company("attend", [&](Ops& o, int64_t first, int64_t count) {
        Rows<Bf16> y(count, 2 * kHeadDim);
        o.attend(queries.at(first, count),
                 std::span(lists).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                 sink, y.view);
        std::string out;
        add_bytes(out, y.view);
        return out;
    });
}

TEST_CASE_FIXTURE(Properties, "a row's result does not depend on its company: routing") {
    Rows<float> logits(kRows, 11);
    Rows<int32_t> fixed(kRows, 3);
    Rows<Bf16> outputs(kRows * 3, 20), shared(kRows, 20);
    for (int64_t r = 0; r < kRows; ++r) {
        for (float& v : logits.view.row(r)) v = in.real();
        const auto base = static_cast<int32_t>(in.random.below(9));
        std::ranges::copy(std::array{base + 2, base, base + 1}, fixed.view.row(r).begin());
    }
    in.bf16(outputs);
    in.bf16(shared);
    const auto bias = in.floats(11);
    const RouterConfig config{3, 1.5F};
    check_company("route, combine", [&](Ops& o, int64_t first, int64_t count) {
        Rows<int32_t> ids(count, 3), table_ids(count, 3);
        Rows<float> weights(count, 3), table_weights(count, 3);
        Rows<Bf16> y(count, 20);
        o.route(logits.at(first, count), bias, {}, config, ids.view, weights.view);
        o.route(logits.at(first, count), {}, fixed.at(first, count), config, table_ids.view,
                table_weights.view);
        o.combine(outputs.at(3 * first, 3 * count), ids.view, shared.at(first, count), y.view);
        std::string out;
        for (int64_t r = 0; r < count; ++r) {
            add_bytes(out, ids.at(r, 1));
            add_bytes(out, weights.at(r, 1));
            add_bytes(out, table_ids.at(r, 1));
            add_bytes(out, table_weights.at(r, 1));
            add_bytes(out, y.at(r, 1));
        }
        return out;
    });
}

TEST_CASE_FIXTURE(Properties,
                  "a row's result does not depend on its company: experts of every format") {
    Rows<Bf16> x(kRows, 128);
    in.bf16(x);
    const auto route = in.floats(kRows);
    for (const WeightKind& kind : kKinds) {
        CAPTURE(static_cast<int>(kind.format));
        // The same bytes twice, aligned and one byte off: where weights lie must not show either.
        std::vector<std::string> answers;
        for (const size_t offset : {size_t{0}, size_t{1}, size_t{3}}) {
            in.random = Random(99);
            Bytes b1, b2, b3;
            const ExpertWeights expert{in.weight(kind.format, kind.scales, 128, 128, b1, offset),
                                       in.weight(kind.format, kind.scales, 128, 128, b2, offset),
                                       in.weight(kind.format, kind.scales, 128, 128, b3, offset)};
            const Problem problem = [&](Ops& o, int64_t first, int64_t count) {
                const Quantised q(o, x.view);
                // Rows of x in reverse: `rows` chooses them, wherever they lie.
                std::vector<int32_t> rows;
                for (int64_t r = 0; r < count; ++r)
                    rows.push_back(static_cast<int32_t>(kRows - 1 - first - r));
                Rows<Bf16> routed(count, 128), shared(count, 128);
                o.expert(q.input, rows, expert,
                         std::span(route).subspan(static_cast<size_t>(first),
                                                  static_cast<size_t>(count)),
                         10, routed.view);
                o.expert(q.input, rows, expert, {}, 0.5F, shared.view);
                std::string out;
                for (int64_t r = 0; r < count; ++r) {
                    add_bytes(out, routed.at(r, 1));
                    add_bytes(out, shared.at(r, 1));
                }
                return out;
            };
            if (offset == 0) check_company("expert", problem);
            answers.push_back(problem(*ops, 0, kRows));
        }
        CHECK(answers[0] == answers[1]);
        CHECK(answers[0] == answers[2]);
    }
}

TEST_CASE_FIXTURE(Properties, "linear layers of awkward sizes, unaligned, against plain sums") {
    for (const WeightKind& kind : kKinds) {
        for (const int64_t rows : {1, 31, 32, 33}) {
            for (const int64_t outputs : {1, 127, 129}) {
                CAPTURE(static_cast<int>(kind.format));
                CAPTURE(rows);
                CAPTURE(outputs);
                Rows<Bf16> x(rows, 256), y(rows, outputs);
                Rows<float> wide(rows, outputs);
                in.bf16(x);
                Bytes bytes;
                const LinearWeight w = in.weight(kind.format, kind.scales, outputs, 256, bytes, 3);
                const Quantised q(*ops, x.view);
                ops->linear(q.input, w, y.view);
                ops->linear_f32(x.view, w, wide.view);
                bool same = true;
                for (const int64_t r : {int64_t{0}, rows / 2, rows - 1}) {
                    for (const int64_t o : {int64_t{0}, outputs / 2, outputs - 1}) {
                        double quantised = 0, plain = 0;
                        for (int64_t k = 0; k < 256; ++k) {
                            const double value = static_cast<double>(
                                to_float(x.view.row(r)[static_cast<size_t>(k)]));
                            plain += value * weight_at(w, o, k);
                            quantised += (w.quantised() ? after_aq128(x.view, r, k) : value) *
                                         weight_at(w, o, k);
                        }
                        const auto at = static_cast<size_t>(o);
                        same = same &&
                               y.view.row(r)[at] == to_bf16(static_cast<float>(quantised)) &&
                               wide.view.row(r)[at] == static_cast<float>(plain);
                    }
                }
                CHECK(same);
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "plain matrices may have any number of columns") {
    for (const WeightFormat format : {WeightFormat::kBf16, WeightFormat::kF32}) {
        for (const int64_t cols : {1, 3, 127, 128, 129, 300}) {
            CAPTURE(cols);
            Rows<Bf16> x(2, cols), y(2, 5);
            in.bf16(x);
            Bytes bytes;
            const LinearWeight w = in.weight(format, ScaleFormat::kNone, 5, cols, bytes, 1);
            ops->linear_bf16(x.view, w, 1, y.view);
            for (int64_t o = 0; o < 5; ++o) {
                double sum = 0;
                for (int64_t k = 0; k < cols; ++k)
                    sum += static_cast<double>(to_float(x.view.row(1)[static_cast<size_t>(k)])) *
                           weight_at(w, o, k);
                CHECK(y.view.row(1)[static_cast<size_t>(o)] == to_bf16(static_cast<float>(sum)));
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "the gaps between rows are not touched") {
    const Bf16 mark{0x7FC1};
    Rows<Bf16> y(9, 33, mark);
    Rows<Bf16> x(9, 128);
    in.bf16(x);
    Bytes bytes;
    const Quantised q(*ops, x.view);
    ops->linear(q.input, in.weight(WeightFormat::kFp4, ScaleFormat::kE8m0, 33, 128, bytes), y.view);
    for (int64_t r = 0; r < 9; ++r) {
        for (int64_t i = 0; i < 33 + Rows<Bf16>::kGap; ++i)
            CHECK((y.values[static_cast<size_t>(r * (33 + Rows<Bf16>::kGap) + i)] == mark) ==
                  (i >= 33));
    }
}

TEST_CASE_FIXTURE(Properties, "no rows: what a chunk without new entries asks for does nothing") {
    Rows<Bf16> none(0, 512);
    const std::vector<Bf16> weight = in.bf16(512);
    const RopeTable table = RopeTable::plain(10000);
    Bytes bytes;
    const LinearWeight matrix = in.weight(WeightFormat::kBf16, ScaleFormat::kNone, 512, 512, bytes);
    Rows<float> sums(0, 512);
    Rows<Bf16> no_streams(0, 4 * 512);
    Rows<float> no_post(0, 4), no_comb(0, 16), no_logits(0, 8), no_weights(0, 2);
    Rows<int32_t> no_ids(0, 2);
    Rows<uint8_t> no_codes(0, 512), no_scales(0, 4);
    const auto fn = in.floats(kMixes * 4 * 512), base = in.floats(kMixes), scale = in.floats(3);
    const auto check = [&](Ops& o) {
        o.compressor_pool({}, 4, none.view);
        o.rms_norm(none.view, weight, 1e-6F, none.view);
        o.head_norm(none.view, 1e-6F);
        o.rope(none.view, 512, {}, table, Rotation::kForward);
        o.pack_kv(none.view, {});
        o.pack_index(none.view, {});
        o.embed(matrix, {}, no_streams.view);
        o.hc_reduce(no_streams.view, site_of(fn, base, scale), none.view, no_post.view,
                    no_comb.view);
        o.hc_expand(none.view, no_post.view, no_comb.view, no_streams.view);
        o.quantise(none.view, {no_codes.view, no_scales.view});
        o.route(no_logits.view, std::span(base).first(8), {}, {2, 1.5F}, no_ids.view,
                no_weights.view);
        o.swiglu(none.view, none.view, {}, 10, none.view);
        o.combine(none.view, no_ids.view, none.view, none.view);
        o.add(none.view, none.view, 1, none.view);
        o.stream_mean(no_streams.view, none.view);
        o.index_weights(none.view);
        o.linear({none.view, {}}, matrix, none.view);
        o.linear_bf16(none.view, matrix, 1, none.view);
        o.linear_f32(none.view, matrix, sums.view);
        // A query with nothing to pick from.
        std::vector<IndexRow> q(1);
        const std::vector<Bf16> weights = in.bf16(1);
        std::vector<int32_t> picks = {5, 5};
        const std::vector<int32_t> visible = {0};
        o.index_topk(q, {weights.data(), 1, 1}, {}, visible, {picks.data(), 1, 2});
        CHECK(picks == std::vector<int32_t>{-1, -1});
    };
    check(*ops);
    for_every_isa(pool, check);
}

}  // namespace millrace
