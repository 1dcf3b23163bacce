// Attention, the indexer, hyper-connections, norms and grids.

#include <algorithm>
#include <array>

#include "app/bench_ops.h"
#include "core/base/random.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr int64_t kWindow = 128, kPicks = 512, kHidden = 4096, kInner = 2048;

// n queries, each with a window and its own picks among many entries.
void bench_attend(OpsBench& bench, const std::string& row, int64_t n) {
    if (!bench.report.wants(row)) return;
    const int64_t heads = std::max<int64_t>(64 / bench.setting.sizes.shrink, 4);
    const int64_t window = std::max<int64_t>(kWindow / bench.setting.sizes.shrink, 3);
    const int64_t picks = std::max<int64_t>(kPicks / bench.setting.sizes.shrink, 3);
    const std::vector<KvRow> entries =
        pattern_kv_rows(bench.pool, std::max<int64_t>(bench.setting.sizes.index_entries / 4, 1), 7);
    const std::vector<KvRow> recent = pattern_kv_rows(bench.pool, n + window - 1, 8);
    std::vector<const KvRow*> window_rows, picked;
    for (const KvRow& one : recent) window_rows.push_back(&one);
    Random random(9);
    for (int64_t i = 0; i < n * picks; ++i) {
        picked.push_back(&entries[random.below(entries.size())]);
    }
    std::vector<KeyList> keys;
    for (int64_t r = 0; r < n; ++r) {
        keys.push_back(
            {std::span(window_rows).subspan(static_cast<size_t>(r), static_cast<size_t>(window)),
             std::span(picked).subspan(static_cast<size_t>(r * picks),
                                       static_cast<size_t>(picks))});
    }
    const int64_t cols = heads * kHeadDim;
    const auto q = pattern_list<Bf16>(bench.pool, n * cols, BenchPattern::kBf16, 10);
    const auto sink = pattern_list<float>(bench.pool, heads, BenchPattern::kF32, 11);
    std::vector<Bf16> out(q.size());
    const auto call = [&] {
        bench.fp8->attend({q.data(), n, cols}, keys, sink, {out.data(), n, cols});
    };
    call();
    // Scores and the sum over values.
    const int64_t macs = n * heads * (window + picks) * kHeadDim * 2;
    bench.add_macs(row, macs, bench.dots_bf16, hash_list(out), call);
}

void bench_topk(OpsBench& bench) {
    const std::string row = "indexer.topk";
    if (!bench.report.wants(row)) return;
    constexpr int64_t kHeads = 64;
    const int64_t count = bench.setting.sizes.index_entries;
    const int64_t picks = std::min(kPicks, count);
    const std::vector<IndexRow> entries = pattern_index_rows(bench.pool, count, 12);
    const std::vector<IndexRow> q = pattern_index_rows(bench.pool, kHeads, 13);
    const auto weights = pattern_list<Bf16>(bench.pool, kHeads, BenchPattern::kBf16, 14);
    const std::array<int32_t, 1> visible = {static_cast<int32_t>(count)};
    std::vector<int32_t> best(static_cast<size_t>(picks));
    const auto call = [&] {
        bench.fp8->index_topk(q, {weights.data(), 1, kHeads}, entries, visible,
                              {best.data(), 1, picks});
    };
    call();
    const uint64_t hash = hash_list(best);
    const double reading = static_cast<double>(entries.size() * sizeof(IndexRow)) / bench.read;
    const double dots = static_cast<double>(count * kHeads * kIndexDim) / bench.dots_int8;
    bench.report.add_time(row, seconds_a_call(bench.setting.timing, call) * 1e6, "us",
                          std::max(reading, dots) * 1e6, hash);
}

// One row; its weights come from memory.
void bench_hc_reduce(OpsBench& bench) {
    const std::string row = "hc.reduce";
    if (!bench.report.wants(row)) return;
    const int64_t d = bench.dim(kHidden);
    const int64_t site_floats = kMixes * kStreams * d;
    const int64_t sites = std::max<int64_t>(
        1, static_cast<int64_t>(bench.setting.sizes.weight_bytes / sizeof(float)) / site_floats);
    const auto fn = pattern_list<float>(bench.pool, sites * site_floats, BenchPattern::kF32, 15);
    const auto base = pattern_list<float>(bench.pool, kMixes, BenchPattern::kF32, 16);
    const auto scale = pattern_list<float>(bench.pool, 3, BenchPattern::kF32, 17);
    const auto streams = pattern_list<Bf16>(bench.pool, kStreams * d, BenchPattern::kBf16, 18);
    std::vector<Bf16> y(static_cast<size_t>(d));
    std::array<float, kStreams> post{};
    std::array<float, size_t{kStreams} * kStreams> comb{};
    int64_t site = 0;
    const auto call = [&] {
        const HyperConnectionSite here{
            .fn = std::span(fn).subspan(static_cast<size_t>(site * site_floats),
                                        static_cast<size_t>(site_floats)),
            .base = base,
            .scale = scale};
        bench.fp8->hc_reduce({streams.data(), 1, kStreams * d}, here, {y.data(), 1, d},
                             {post.data(), 1, kStreams},
                             {comb.data(), 1, int64_t{kStreams} * kStreams});
        site = (site + 1) % sites;
    };
    call();
    bench.add_bytes(row, static_cast<uint64_t>(site_floats) * sizeof(float), hash_list(y), call);
}

void bench_hc_expand(OpsBench& bench, int64_t n) {
    const int64_t d = bench.dim(kHidden);
    const auto y = pattern_list<Bf16>(bench.pool, n * d, BenchPattern::kBf16, 19);
    auto streams = pattern_list<Bf16>(bench.pool, n * d * kStreams, BenchPattern::kBf16, 20);
    const std::vector<float> post(static_cast<size_t>(n * kStreams), 0.5F);
    const std::vector<float> comb(static_cast<size_t>(n * kStreams * kStreams), 0.25F);
    const auto call = [&] {
        bench.fp8->hc_expand({y.data(), n, d}, {post.data(), n, kStreams},
                             {comb.data(), n, int64_t{kStreams} * kStreams},
                             {streams.data(), n, kStreams * d});
    };
    call();
    bench.add_bytes("hc.expand", static_cast<uint64_t>(n * d) * 2 * (1 + 2 * kStreams),
                    hash_list(streams), call);
}

void bench_norms(OpsBench& bench, int64_t n) {
    const int64_t d = bench.dim(kHidden);
    const auto x = pattern_list<Bf16>(bench.pool, n * d, BenchPattern::kBf16, 21);
    const auto weight = pattern_list<Bf16>(bench.pool, d, BenchPattern::kBf16, 22);
    std::vector<Bf16> out(x.size());
    const auto size = static_cast<uint64_t>(n * d);
    if (bench.report.wants("norm.rms")) {
        const auto call = [&] {
            bench.fp8->rms_norm({x.data(), n, d}, weight, 1e-6F, {out.data(), n, d});
        };
        call();
        bench.add_bytes("norm.rms", size * 4, hash_list(out), call);
    }
    if (bench.report.wants("norm.head")) {
        // The rows as heads of 512, four tokens' rows or one's: the memory is the same.
        const int64_t cols = d / kHeadDim > 0 ? d : kHeadDim;
        const int64_t rows = static_cast<int64_t>(out.size()) / cols;
        std::ranges::copy(x, out.begin());
        const auto call = [&] { bench.fp8->head_norm({out.data(), rows, cols}, 1e-6F); };
        call();
        bench.add_bytes("norm.head", static_cast<uint64_t>(rows * cols) * 4, hash_list(out), call);
    }
    if (bench.report.wants("quantise")) {
        const int64_t groups = (d + 127) / 128;
        std::vector<uint8_t> codes(x.size()), scales(static_cast<size_t>(n * groups));
        const auto call = [&] {
            bench.fp8->quantise({x.data(), n, d},
                                {{codes.data(), n, d}, {scales.data(), n, groups}});
        };
        call();
        bench.add_bytes("quantise", size * 3, hash_list(codes), call);
    }
}

void bench_pack_kv(OpsBench& bench, int64_t n) {
    const auto kv = pattern_list<Bf16>(bench.pool, n * kHeadDim, BenchPattern::kBf16, 23);
    std::vector<KvRow> rows(static_cast<size_t>(n));
    const auto call = [&] { bench.fp8->pack_kv({kv.data(), n, kHeadDim}, rows); };
    call();
    bench.add_bytes("pack.kv", static_cast<uint64_t>(n) * (kHeadDim * 2 + sizeof(KvRow)),
                    hash_list(rows), call);
}

void bench_swiglu(OpsBench& bench, int64_t n) {
    const int64_t inner = bench.dim(kInner);
    const auto gate = pattern_list<Bf16>(bench.pool, n * inner, BenchPattern::kBf16, 24);
    const auto up = pattern_list<Bf16>(bench.pool, n * inner, BenchPattern::kBf16, 25);
    std::vector<Bf16> out(gate.size());
    const auto call = [&] {
        bench.fp8->swiglu({gate.data(), n, inner}, {up.data(), n, inner}, {}, 10,
                          {out.data(), n, inner});
    };
    call();
    bench.add_bytes("swiglu", static_cast<uint64_t>(n * inner) * 6, hash_list(out), call);
}

void bench_route(OpsBench& bench) {
    if (!bench.report.wants("route")) return;
    constexpr int64_t kExperts = 256, kChosen = 6;
    const auto logits = pattern_list<float>(bench.pool, kExperts, BenchPattern::kF32, 26);
    const auto bias = pattern_list<float>(bench.pool, kExperts, BenchPattern::kF32, 27);
    std::vector<int32_t> ids(kChosen);
    std::vector<float> weights(kChosen);
    const auto call = [&] {
        bench.fp8->route({logits.data(), 1, kExperts}, bias, {}, {kChosen, 1.5F},
                         {ids.data(), 1, kChosen}, {weights.data(), 1, kChosen});
    };
    call();
    const uint64_t hash = hash_list(ids);
    bench.report.add_time("route", seconds_a_call(bench.setting.timing, call) * 1e6, "us", {},
                          hash);
}

}  // namespace

void bench_row_ops(OpsBench& bench) {
    bench_attend(bench, "attend.decode", 1);
    bench_attend(bench, "attend.prefill", bench.setting.sizes.attend_rows);
    bench_topk(bench);
    bench_hc_reduce(bench);
    // As many rows of each as fill the memory that is set aside for them.
    const int64_t bytes = bench.setting.sizes.row_bytes;
    const int64_t d = bench.dim(kHidden);
    if (bench.report.wants("hc.expand")) bench_hc_expand(bench, bytes / (d * 2 * 9));
    bench_norms(bench, bytes / (d * 4));
    if (bench.report.wants("pack.kv")) {
        bench_pack_kv(bench, bytes / (kHeadDim * 2 + int64_t{sizeof(KvRow)}));
    }
    if (bench.report.wants("swiglu")) bench_swiglu(bench, bytes / (bench.dim(kInner) * 6));
    bench_route(bench);
}

}  // namespace millrace
