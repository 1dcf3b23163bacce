// How far each op's results lie from the reference's, on seeded random inputs whose sums are not exact. The lines that this
// prints are the table of docs/cuda.md (agreement.py).

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "tests/cuda/staged_cuda_ops.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

constexpr int64_t kMany = 5;  // rows of most problems: whole passes of products and a part of one

// One op's results, reference and CUDA's, as they are compared.
struct Agreement {
    int64_t values = 0, equal = 0;
    int64_t steps = 0;     // most units in the last place of the value itself
    double row_steps = 0;  // … of the largest value of its row

    [[nodiscard]] double share() const {
        return 100 * static_cast<double>(equal) / static_cast<double>(values);
    }
};

// Numbers of a format in order: neighbours are one apart.
int64_t place(Bf16 v) {
    const int64_t magnitude = v.bits & 0x7FFF;
    return (v.bits & 0x8000) != 0 ? -magnitude : magnitude;
}
int64_t place(float v) {
    const auto bits = std::bit_cast<uint32_t>(v);
    const int64_t magnitude = bits & 0x7FFFFFFF;
    return (bits & 0x80000000) != 0 ? -magnitude : magnitude;
}
template <class T>
int64_t place(T v) {
    return static_cast<int64_t>(v);
}
double number(Bf16 v) { return static_cast<double>(to_float(v)); }
double number(float v) { return static_cast<double>(v); }

template <class T>
void compare(MatrixView<T> expected, MatrixView<T> computed, Agreement& out) {
    for (int64_t r = 0; r < expected.rows; ++r) {
        const std::span<T> want = expected.row(r), got = computed.row(r);
        double unit = 0;
        if constexpr (std::is_same_v<T, Bf16> || std::is_same_v<T, float>) {
            double largest = 0;
            for (const T v : want) largest = std::max(largest, std::fabs(number(v)));
            const int bits = std::is_same_v<T, Bf16> ? 7 : 23;
            unit = largest == 0 ? 1 : std::ldexp(1, std::ilogb(largest) - bits);
        }
        for (size_t i = 0; i < want.size(); ++i) {
            out.values += 1;
            out.equal += std::memcmp(&want[i], &got[i], sizeof(T)) == 0 ? 1 : 0;
            out.steps = std::max(out.steps, std::abs(place(want[i]) - place(got[i])));
            if constexpr (std::is_same_v<T, Bf16> || std::is_same_v<T, float>)
                out.row_steps =
                    std::max(out.row_steps, std::fabs(number(want[i]) - number(got[i])) / unit);
        }
    }
}

struct Comparison : Properties {
    // Every bit of a number's mantissa is random.
    float value() { return static_cast<float>(in.random.unit() * 4 - 2); }
    std::vector<float> floats(int64_t count) {
        std::vector<float> out(static_cast<size_t>(count));
        for (float& v : out) v = value();
        return out;
    }
    void fill(Rows<Bf16>& rows) {
        for (int64_t r = 0; r < rows.view.rows; ++r)
            for (Bf16& v : rows.view.row(r)) v = to_bf16(value());
    }
    void fill(Rows<float>& rows) {
        for (int64_t r = 0; r < rows.view.rows; ++r)
            for (float& v : rows.view.row(r)) v = value();
    }

    // Runs call(ops, result) with the reference and with CUDA's ops, each with its own copy of `start`.
    template <class T, class Call>
    Agreement run(const Rows<T>& start, const Call& call) {
        Rows<T> expected(start.view.rows, start.view.cols),
            computed(start.view.rows, start.view.cols);
        expected.values = computed.values = start.values;
        call(*ops, expected.view);
        call(*cuda, computed.view);
        CHECK(expected.values != start.values);
        Agreement out;
        compare(expected.view, computed.view, out);
        return out;
    }
    // `steps`: the most units in the last place of a row's largest value that may lie between; 0: not a bit.
    void report(const char* op, const char* shape, const char* format, const Agreement& found,
                double steps) {
        CAPTURE(op);
        CHECK(found.values > 0);
        if (steps == 0) CHECK(found.equal == found.values);
        CHECK(found.row_steps <= steps);
        char line[200];
        std::snprintf(line, sizeof(line), "| %s | %s | %s | %lld | %.4g | %lld | %.2g |", op, shape,
                      format, static_cast<long long>(found.values), found.share(),
                      static_cast<long long>(found.steps), found.row_steps);
        MESSAGE(line);
    }

    std::unique_ptr<Ops> cuda = test::make_staged_cuda_ops(pool, {});
};

}  // namespace

TEST_CASE_FIXTURE(Comparison, "agreement of the ops of rows") {
    constexpr int64_t d = 1024;
    Rows<Bf16> x(kMany, d), y(kMany, d), wide(kMany, 4 * d), other(kMany, 4 * d);
    for (Rows<Bf16>* rows : {&x, &y, &wide, &other}) fill(*rows);
    Bytes bytes;
    const LinearWeight table = in.weight(WeightFormat::kBf16, ScaleFormat::kNone, 9, d, bytes);
    const std::vector<TokenId> tokens = {TokenId{3}, TokenId{0}, TokenId{8}, TokenId{3},
                                         TokenId{5}};
    report("embed", "5 × 4·1024", "bf16",
           run(wide, [&](Ops& o, MatrixView<Bf16> out) { o.embed(table, tokens, out); }), 0);
    const auto weight = in.bf16(d);
    report("rms_norm", "5 × 1024", "bf16",
           run(y, [&](Ops& o, MatrixView<Bf16> out) { o.rms_norm(x.view, weight, 1e-6F, out); }),
           1);
    report("add", "5 × 4·1024", "bf16",
           run(other, [&](Ops& o, MatrixView<Bf16> out) { o.add(x.view, wide.view, 4, out); }), 0);
    report("stream_mean", "5 × 4·1024", "bf16",
           run(y, [&](Ops& o, MatrixView<Bf16> out) { o.stream_mean(wide.view, out); }), 0);
    const auto route = floats(kMany);
    report("swiglu", "5 × 1024", "bf16",
           run(y, [&](Ops& o, MatrixView<Bf16> out) { o.swiglu(x.view, y.view, route, 10, out); }),
           1);
    Rows<Bf16> heads(kMany, 4 * kHeadDim);
    fill(heads);
    report("head_norm", "5 × 4·512", "bf16",
           run(heads, [&](Ops& o, MatrixView<Bf16> out) { o.head_norm(out, 1e-6F); }), 0);
    const std::vector<int32_t> positions = {0, 1, 4097, 131071, 1048575};
    const RopeTable rope = RopeTable::plain(10000);
    report("rope", "5 × 4·512", "bf16",
           run(heads,
               [&](Ops& o, MatrixView<Bf16> out) {
                   o.rope(out, kHeadDim, positions, rope, Rotation::kForward);
               }),
           1);
    Rows<Bf16> sizes(kMany, 64);
    fill(sizes);
    report("index_weights", "5 × 64", "bf16",
           run(sizes, [&](Ops& o, MatrixView<Bf16> out) { o.index_weights(out); }), 0);
}

TEST_CASE_FIXTURE(Comparison, "agreement of codes") {
    Rows<Bf16> x(kMany, 1024);
    fill(x);
    Rows<uint8_t> scales(kMany, 8);
    report("quantise", "5 × 1024", "codes",
           run(Rows<uint8_t>(kMany, 1024),
               [&](Ops& o, MatrixView<uint8_t> out) {
                   o.quantise(x.view, {out, scales.view});
               }),
           0);
    const auto packed = [&]<class Row>(int64_t width, const auto& pack, Row) {
        Rows<uint8_t> start(kMany * 1024 / width, static_cast<int64_t>(sizeof(Row)));
        return run(start, [&](Ops& o, MatrixView<uint8_t> out) {
            std::vector<Row> rows(static_cast<size_t>(out.rows));
            pack(o, std::span<Row>(rows));
            for (int64_t r = 0; r < out.rows; ++r)
                std::memcpy(out.row(r).data(), &rows[static_cast<size_t>(r)], sizeof(Row));
        });
    };
    Rows<Bf16> keys(kMany * 2, kHeadDim);
    fill(keys);
    report(
        "pack_kv", "10 × 512", "codes",
        packed(
            kHeadDim, [&](Ops& o, std::span<KvRow> rows) { o.pack_kv(keys.view, rows); }, KvRow{}),
        0);
    report(
        "pack_index", "5 × 8·128", "codes",
        packed(
            128, [&](Ops& o, std::span<IndexRow> rows) { o.pack_index(x.view, rows); }, IndexRow{}),
        0);
}

TEST_CASE_FIXTURE(Comparison, "agreement of hyper-connections") {
    constexpr int64_t d = 1024;
    Rows<Bf16> streams(kMany, 4 * d), y(kMany, d);
    fill(streams);
    fill(y);
    const auto fn = floats(kMixes * 4 * d), base = floats(kMixes), scale = floats(3);
    const HyperConnectionSite site{.fn = fn, .base = base, .scale = scale};
    Rows<float> post(kMany, 4), comb(kMany, 16);
    Rows<Bf16> narrow(kMany, d);
    report("hc_reduce", "5 × 4·1024", "bf16",
           run(narrow,
               [&](Ops& o, MatrixView<Bf16> out) {
                   o.hc_reduce(streams.view, site, out, post.view, comb.view);
               }),
           1);
    report("hc_reduce, post", "5 × 4", "fp32",
           run(post,
               [&](Ops& o, MatrixView<float> out) {
                   o.hc_reduce(streams.view, site, narrow.view, out, comb.view);
               }),
           8);
    report("hc_reduce, comb", "5 × 16", "fp32",
           run(comb,
               [&](Ops& o, MatrixView<float> out) {
                   o.hc_reduce(streams.view, site, narrow.view, post.view, out);
               }),
           16);
    report(
        "hc_expand", "5 × 4·1024", "bf16",
        run(streams,
            [&](Ops& o, MatrixView<Bf16> out) { o.hc_expand(y.view, post.view, comb.view, out); }),
        1);
    const HyperConnectionSite head{.fn = std::span(fn).first(4 * 4 * d),
                                   .base = std::span(base).first(4),
                                   .scale = std::span(scale).first(1)};
    report("hc_head", "5 × 4·1024", "bf16",
           run(narrow, [&](Ops& o, MatrixView<Bf16> out) { o.hc_head(streams.view, head, out); }),
           1);
}

TEST_CASE_FIXTURE(Comparison, "agreement of products") {
    constexpr int64_t kCols = 1024, kOutputs = 300;
    Rows<Bf16> x(kMany, kCols), grouped(kMany, 4 * kCols);
    fill(x);
    fill(grouped);
    const Quantised q(*ops, x.view);
    Rows<Bf16> narrow(kMany, kOutputs);
    Rows<float> wide(kMany, kOutputs), contributed(kMany, 2 * kOutputs);
    const char* const names[] = {"FP8", "FP8, fp32 scales", "FP4"};
    for (const WeightKind& kind : kKinds) {
        Bytes bytes;
        const LinearWeight w = in.weight(kind.format, kind.scales, kOutputs, kCols, bytes);
        if (w.low_bit()) continue;
        const std::string name = kind.format == WeightFormat::kFp4    ? names[2]
                                 : kind.format == WeightFormat::kF32  ? "F32"
                                 : kind.format == WeightFormat::kBf16 ? "BF16"
                                 : kind.scales == ScaleFormat::kE8m0  ? names[0]
                                                                      : names[1];
        report(("linear, " + name).c_str(), "5 × 1024 → 300", "bf16",
               run(narrow, [&](Ops& o, MatrixView<Bf16> out) { o.linear(q.input, w, out); }), 1);
        report(("linear_bf16, 4 groups, " + name).c_str(), "5 × 4·1024 → 300", "bf16",
               run(narrow,
                   [&](Ops& o, MatrixView<Bf16> out) { o.linear_bf16(grouped.view, w, 4, out); }),
               1);
        report(("linear_f32, " + name).c_str(), "5 × 1024 → 300", "fp32",
               run(wide, [&](Ops& o, MatrixView<float> out) { o.linear_f32(x.view, w, out); }), 8);
    }
    Bytes bytes[2];
    const LinearWeight wkv =
        in.weight(WeightFormat::kBf16, ScaleFormat::kNone, kOutputs, kCols, bytes[0]);
    const LinearWeight gate =
        in.weight(WeightFormat::kBf16, ScaleFormat::kNone, kOutputs, kCols, bytes[1]);
    const auto ape = floats(4 * kOutputs);
    const std::vector<int32_t> positions = {0, 1, 2, 3, 4};
    report("compressor_rows", "5 × 1024 → 2·300", "fp32",
           run(contributed,
               [&](Ops& o, MatrixView<float> out) {
                   o.compressor_rows(x.view, wkv, gate, ape, 4, positions, out);
               }),
           8);
}

TEST_CASE_FIXTURE(Comparison, "agreement of attention, compressor and indexer") {
    const auto rows = floats(8 * 4 * 128);
    std::vector<const float*> contributors;
    for (int i = 0; i < 8; ++i) contributors.push_back(&rows[static_cast<size_t>(i * 512)]);
    const std::vector<PoolSource> sources(static_cast<size_t>(kMany), {contributors.data()});
    report("compressor_pool", "5 × 128", "bf16",
           run(Rows<Bf16>(kMany, 128),
               [&](Ops& o, MatrixView<Bf16> out) { o.compressor_pool(sources, 4, out); }),
           1);

    Rows<Bf16> q(2, 20 * kHeadDim), values(70, kHeadDim), out_rows(2, 20 * kHeadDim);
    fill(q);
    fill(values);
    for (Bf16& v : q.values) v = to_bf16(to_float(v) / 4);
    std::vector<KvRow> keys(70);
    ops->pack_kv(values.view, keys);
    std::vector<const KvRow*> pointers;
    for (const KvRow& key : keys) pointers.push_back(&key);
    const std::span<const KvRow* const> all(pointers);
    const std::vector<KeyList> lists = {{all.first(7), all.subspan(7)}, {all.first(30), {}}};
    const auto sink = floats(20);
    report("attend", "2 × 20·512, 70 and 30 keys", "bf16",
           run(out_rows, [&](Ops& o, MatrixView<Bf16> out) { o.attend(q.view, lists, sink, out); }),
           2);

    Rows<Bf16> vectors(2 * 64, 128), indexed(700, 128), weights(2, 64);
    for (Rows<Bf16>* m : {&vectors, &indexed, &weights}) fill(*m);
    std::vector<IndexRow> questions(2 * 64), entries(700);
    ops->pack_index(vectors.view, questions);
    ops->pack_index(indexed.view, entries);
    const std::vector<int32_t> visible = {700, 300};
    Rows<int32_t> picks(2, 512);
    report("index_topk", "2 × 64 heads, 700 entries, best 512", "entries",
           run(picks,
               [&](Ops& o, MatrixView<int32_t> out) {
                   o.index_topk(questions, weights.view, entries, visible, out);
               }),
           0);
}

TEST_CASE_FIXTURE(Comparison, "agreement of the mixture") {
    Rows<float> logits(kMany, 256), chosen(kMany, 6);
    fill(logits);
    const auto bias = floats(256);
    Rows<int32_t> ids(kMany, 6);
    report("route", "5 × 256, best 6", "experts",
           run(ids,
               [&](Ops& o, MatrixView<int32_t> out) {
                   o.route(logits.view, bias, {}, {6, 1.5F}, out, chosen.view);
               }),
           0);
    report("route, weights", "5 × 256, best 6", "fp32",
           run(Rows<float>(kMany, 6),
               [&](Ops& o, MatrixView<float> out) {
                   o.route(logits.view, bias, {}, {6, 1.5F}, ids.view, out);
               }),
           2);
    Rows<Bf16> outputs(kMany * 6, 1024), shared(kMany, 1024), sum(kMany, 1024);
    fill(outputs);
    fill(shared);
    report("combine", "5 × (6 + 1) × 1024", "bf16",
           run(sum,
               [&](Ops& o, MatrixView<Bf16> out) {
                   o.combine(outputs.view, ids.view, shared.view, out);
               }),
           0);
}

TEST_CASE_FIXTURE(Comparison, "agreement of experts") {
    constexpr int64_t kHidden = 1024, kInner = 256;
    Rows<Bf16> x(kMany, kHidden), out_rows(kMany, kHidden);
    fill(x);
    const Quantised q(*ops, x.view);
    const std::vector<int32_t> rows = {0, 1, 2, 3, 4};
    const auto route_weights = floats(kMany);
    for (const WeightFormat format : {WeightFormat::kFp8, WeightFormat::kFp4}) {
        Bytes bytes[3];
        const auto matrix = [&](int64_t outputs, int64_t cols, Bytes& of) {
            return in.weight(format, ScaleFormat::kE8m0, outputs, cols, of);
        };
        const ExpertWeights expert{.w1 = matrix(kInner, kHidden, bytes[0]),
                                   .w2 = matrix(kHidden, kInner, bytes[1]),
                                   .w3 = matrix(kInner, kHidden, bytes[2])};
        // Where a sum rounds to another code in the middle, a row's results move by what that code weighs.
        report(format == WeightFormat::kFp8 ? "expert, FP8" : "expert, FP4",
               "5 × 1024 → 256 → 1024", "bf16",
               run(out_rows,
                   [&](Ops& o, MatrixView<Bf16> out) {
                       o.expert(q.input, rows, expert, route_weights, 1e9F, out);
                   }),
               2);
    }
}

}  // namespace millrace
