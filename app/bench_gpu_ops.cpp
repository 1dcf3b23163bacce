// The operations of `bench ops` through any ops: everything lies in their memory, and a run is many calls with one wait at
// their end, as a step has it.

#include <algorithm>
#include <array>

#include "app/bench_data.h"
#include "app/bench_gpu.h"
#include "core/base/random.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr int64_t kHidden = 4096, kInner = 2048, kHeads = 64, kWindow = 128, kPicks = 512;
constexpr int64_t kIndexHeads = 64, kExperts = 256, kChosen = 6;
constexpr int kRatio = 4;

int64_t shrunk(const BenchSizes& sizes, int64_t real, int64_t least) {
    return std::max(real / sizes.shrink, least);
}

class OpsRun {
public:
    OpsRun(const BenchSetting& setting, Ops& ops, const GpuLimits& limits, BenchReport& report)
        : setting_(setting), ops_(ops), limits_(limits), report_(report), pool_(setting.threads) {}

    [[nodiscard]] Status run();

private:
    struct Linear {
        const char* row;
        WeightFormat format;
        int64_t outputs, inputs;
    };
    // What a linear layer reads, in the ops' memory.
    struct Rows {
        OpsMemory values, codes, scales;
        LinearInput input;
    };

    [[nodiscard]] int64_t dim(int64_t real) const {
        return std::max<int64_t>(real / setting_.sizes.shrink / 128 * 128, 128);
    }
    [[nodiscard]] bool wants(std::string_view row) const { return report_.wants(row); }
    template <class T>
    [[nodiscard]] Result<OpsMemory> room(int64_t count) {
        return ops_.allocate(static_cast<uint64_t>(count) * sizeof(T), HugePages::kNo);
    }
    template <class T>
    [[nodiscard]] Result<OpsMemory> put(const std::vector<T>& list) {
        OpsMemory memory = TRY(room<T>(static_cast<int64_t>(list.size())));
        // The memory may be larger: whole pages.
        TRY(ops_.write(memory.bytes.data(), list.data(), list.size() * sizeof(T)));
        return memory;
    }
    template <class T>
    [[nodiscard]] Result<OpsMemory> pattern(int64_t count, BenchPattern kind, uint64_t seed) {
        return put(pattern_list<T>(pool_, count, kind, seed));
    }
    [[nodiscard]] Result<Rows> rows(int64_t count, int64_t cols);
    [[nodiscard]] Result<WeightPile> pile(WeightFormat format, int64_t rows, int64_t cols,
                                          uint64_t bytes);

    // Seconds of one call and the hash of what the first one left in `out`.
    struct Timed {
        double seconds = 0;
        uint64_t hash = 0;
    };
    template <class Call>
    [[nodiscard]] Result<Timed> time(const OpsMemory& out, const Call& call);
    template <class Call>
    [[nodiscard]] Status add_bytes(std::string row, uint64_t bytes, const OpsMemory& out,
                                   const Call& call);
    template <class Call>
    [[nodiscard]] Status add_macs(std::string row, int64_t macs, const OpsMemory& out,
                                  const Call& call);

    [[nodiscard]] Status gemv(const Linear& which);
    [[nodiscard]] Status gemm(const Linear& which);
    [[nodiscard]] Status expert();
    [[nodiscard]] Status attend(const std::string& row, int64_t n);
    [[nodiscard]] Status topk();
    [[nodiscard]] Status hc_reduce();
    [[nodiscard]] Status norms();
    [[nodiscard]] Status route();

    const BenchSetting& setting_;
    Ops& ops_;
    const GpuLimits limits_;
    BenchReport& report_;
    Pool pool_;
};

Result<OpsRun::Rows> OpsRun::rows(int64_t count, int64_t cols) {
    const int64_t groups = (cols + 127) / 128;
    Rows x;
    x.values = TRY(pattern<Bf16>(count * cols, BenchPattern::kBf16, 99));
    x.codes = TRY(room<uint8_t>(count * cols));
    x.scales = TRY(room<uint8_t>(count * groups));
    x.input.rows = {x.values.as<Bf16>(), count, cols};
    x.input.quantised = {{x.codes.as<uint8_t>(), count, cols},
                         {x.scales.as<uint8_t>(), count, groups}};
    ops_.quantise(x.input.rows, x.input.quantised);
    return x;
}

Result<WeightPile> OpsRun::pile(WeightFormat format, int64_t rows, int64_t cols, uint64_t bytes) {
    WeightPile weights = TRY(WeightPile::create(pool_, bytes, format, rows, cols, nullptr));
    TRY(weights.move_to(ops_));
    return weights;
}

template <class Call>
Result<OpsRun::Timed> OpsRun::time(const OpsMemory& out, const Call& call) {
    Timed timed;
    std::vector<std::byte> result(out.bytes.size());
    call();
    TRY(ops_.read(result.data(), out.bytes.data(), result.size()));
    timed.hash = hash_bytes(result);
    Status failed;
    const int calls = setting_.sizes.gpu_calls;
    const double seconds = seconds_a_call(setting_.timing, [&] {
        for (int i = 0; i < calls; ++i) call();
        std::array<std::byte, 4> last{};
        Status read = ops_.read(last.data(), out.bytes.data(), last.size());
        if (failed.ok()) failed = std::move(read);
    });
    TRY(std::move(failed));
    timed.seconds = seconds / calls;
    return timed;
}

template <class Call>
Status OpsRun::add_bytes(std::string row, uint64_t bytes, const OpsMemory& out, const Call& call) {
    const Timed timed = TRY(time(out, call));
    report_.add_rate(std::move(row), static_cast<double>(bytes) / timed.seconds * 1e-9, "GB/s",
                     limits_.bytes * 1e-9, timed.hash);
    return {};
}

template <class Call>
Status OpsRun::add_macs(std::string row, int64_t macs, const OpsMemory& out, const Call& call) {
    const Timed timed = TRY(time(out, call));
    std::optional<double> limit = limits_.macs;
    if (limit) *limit *= 1e-9;
    report_.add_rate(std::move(row), static_cast<double>(macs) / timed.seconds * 1e-9, "GMAC/s",
                     limit, timed.hash);
    return {};
}

// Decode: one row. As the head does it with BF16: a result in fp32.
Status OpsRun::gemv(const Linear& which) {
    if (!wants(which.row)) return {};
    const int64_t outputs = dim(which.outputs), inputs = dim(which.inputs);
    WeightPile weights = TRY(pile(which.format, outputs, inputs, setting_.sizes.weight_bytes));
    const Rows x = TRY(rows(1, inputs));
    if (which.format == WeightFormat::kBf16) {
        const OpsMemory y = TRY(room<float>(outputs));
        return add_bytes(which.row, weights.weight_bytes(), y, [&] {
            ops_.linear_f32(x.input.rows, weights.next(), {y.as<float>(), 1, outputs});
        });
    }
    const OpsMemory y = TRY(room<Bf16>(outputs));
    return add_bytes(which.row, weights.weight_bytes(), y, [&] {
        ops_.linear(x.input, weights.next(), {y.as<Bf16>(), 1, outputs});
    });
}

// Prefill: many rows.
Status OpsRun::gemm(const Linear& which) {
    if (!wants(which.row)) return {};
    const int64_t outputs = dim(which.outputs), inputs = dim(which.inputs);
    const int64_t n = setting_.sizes.gemm_rows;
    WeightPile weights = TRY(pile(which.format, outputs, inputs, setting_.sizes.weight_bytes));
    const Rows x = TRY(rows(n, inputs));
    const OpsMemory y = TRY(room<Bf16>(n * outputs));
    return add_macs(which.row, n * outputs * inputs, y, [&] {
        ops_.linear(x.input, weights.next(), {y.as<Bf16>(), n, outputs});
    });
}

// One expert on one row: three matrices and what lies between them.
Status OpsRun::expert() {
    const std::string row = "expert.decode";
    if (!wants(row)) return {};
    const int64_t hidden = dim(kHidden), inner = dim(kInner);
    const uint64_t third = setting_.sizes.weight_bytes / 3;
    WeightPile w1 = TRY(pile(WeightFormat::kFp4, inner, hidden, third));
    WeightPile w2 = TRY(pile(WeightFormat::kFp4, hidden, inner, third));
    WeightPile w3 = TRY(pile(WeightFormat::kFp4, inner, hidden, third));
    const Rows x = TRY(rows(1, hidden));
    const OpsMemory which = TRY(put(std::vector<int32_t>{0}));
    const OpsMemory weight = TRY(put(std::vector<float>{0.5F}));
    const OpsMemory y = TRY(room<Bf16>(hidden));
    const uint64_t bytes = w1.weight_bytes() + w2.weight_bytes() + w3.weight_bytes();
    return add_bytes(row, bytes, y, [&] {
        ops_.expert(x.input, {which.as<int32_t>(), 1}, {w1.next(), w2.next(), w3.next()},
                    {weight.as<float>(), 1}, 10, {y.as<Bf16>(), 1, hidden});
    });
}

// n queries behind so many tokens that all entries are complete, each with a window and picks of its own.
Status OpsRun::attend(const std::string& row, int64_t n) {
    if (!wants(row)) return {};
    const BenchSizes& sizes = setting_.sizes;
    const int64_t heads = shrunk(sizes, kHeads, 4), window = shrunk(sizes, kWindow, 3);
    const int64_t count = std::max<int64_t>(sizes.index_entries / 4, 1);
    const int64_t picks = std::min(shrunk(sizes, kPicks, 3), count);
    const OpsMemory entries = TRY(put(pattern_kv_rows(pool_, count, 7)));
    const OpsMemory ring = TRY(put(pattern_kv_rows(pool_, window, 8)));
    const OpsMemory chunk = TRY(put(pattern_kv_rows(pool_, n, 9)));
    Random random(9);
    std::vector<int32_t> chosen;
    for (int64_t i = 0; i < n * picks; ++i) {
        chosen.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(count))));
    }
    const OpsMemory picked = TRY(put(chosen));
    const int64_t first = count * kRatio;
    const OpsMemory position = TRY(put(std::vector<int32_t>{static_cast<int32_t>(first)}));
    const OpsMemory pointers = TRY(room<const KvRow*>(window + n + n * picks));
    const OpsMemory lists = TRY(room<KeyList>(n));
    const KeyLists keys =
        ops_.list_keys({.ring = ring.as<KvRow>(),
                        .capacity = window,
                        .chunk = chunk.as<KvRow>(),
                        .first = position.as<int32_t>(),
                        .limit = first + n,
                        .window = window,
                        .entries = entries.as<KvRow>(),
                        .picks = {picked.as<int32_t>(), n, picks},
                        .ratio = kRatio},
                       {pointers.as<const KvRow*>(), static_cast<size_t>(window + n + n * picks)},
                       {lists.as<KeyList>(), static_cast<size_t>(n)});
    const int64_t cols = heads * kHeadDim;
    const OpsMemory q = TRY(pattern<Bf16>(n * cols, BenchPattern::kBf16, 10));
    const OpsMemory sink = TRY(pattern<float>(heads, BenchPattern::kF32, 11));
    const OpsMemory out = TRY(room<Bf16>(n * cols));
    // Scores and the sum over values.
    const int64_t macs = n * heads * (window + picks) * kHeadDim * 2;
    return add_macs(row, macs, out, [&] {
        ops_.attend({q.as<Bf16>(), n, cols}, keys, {sink.as<float>(), static_cast<size_t>(heads)},
                    {out.as<Bf16>(), n, cols});
    });
}

Status OpsRun::topk() {
    const std::string row = "indexer.topk";
    if (!wants(row)) return {};
    const int64_t count = setting_.sizes.index_entries, picks = std::min(kPicks, count);
    const OpsMemory entries = TRY(put(pattern_index_rows(pool_, count, 12)));
    const OpsMemory q = TRY(put(pattern_index_rows(pool_, kIndexHeads, 13)));
    const OpsMemory weights = TRY(pattern<Bf16>(kIndexHeads, BenchPattern::kBf16, 14));
    const OpsMemory visible = TRY(put(std::vector<int32_t>{static_cast<int32_t>(count)}));
    const OpsMemory best = TRY(room<int32_t>(picks));
    const Timed timed = TRY(time(best, [&] {
        ops_.index_topk({q.as<IndexRow>(), static_cast<size_t>(kIndexHeads)},
                        {weights.as<Bf16>(), 1, kIndexHeads},
                        {entries.as<IndexRow>(), static_cast<size_t>(count)},
                        {visible.as<int32_t>(), 1}, {best.as<int32_t>(), 1, picks});
    }));
    const double reading = static_cast<double>(entries.bytes.size()) / limits_.bytes;
    report_.add_time(row, timed.seconds * 1e6, "us", reading * 1e6, timed.hash);
    return {};
}

// One row; its weights come from memory.
Status OpsRun::hc_reduce() {
    const std::string row = "hc.reduce";
    if (!wants(row)) return {};
    const int64_t d = dim(kHidden), floats = kMixes * kStreams * d;
    const auto site_bytes = static_cast<uint64_t>(floats) * sizeof(float);
    const auto sites =
        std::max<int64_t>(1, static_cast<int64_t>(setting_.sizes.weight_bytes / site_bytes));
    const OpsMemory fn = TRY(pattern<float>(sites * floats, BenchPattern::kF32, 15));
    const OpsMemory base = TRY(pattern<float>(kMixes, BenchPattern::kF32, 16));
    const OpsMemory scale = TRY(pattern<float>(3, BenchPattern::kF32, 17));
    const OpsMemory streams = TRY(pattern<Bf16>(kStreams * d, BenchPattern::kBf16, 18));
    const OpsMemory y = TRY(room<Bf16>(d));
    const OpsMemory mixes = TRY(room<float>(kMixes));
    int64_t site = 0;
    return add_bytes(row, site_bytes, y, [&] {
        const HyperConnectionSite here{
            .fn = {fn.as<float>() + site * floats, static_cast<size_t>(floats)},
            .base = {base.as<float>(), size_t{kMixes}},
            .scale = {scale.as<float>(), 3}};
        ops_.hc_reduce({streams.as<Bf16>(), 1, kStreams * d}, here, {y.as<Bf16>(), 1, d},
                       {mixes.as<float>(), 1, kStreams},
                       {mixes.as<float>() + kStreams, 1, int64_t{kStreams} * kStreams});
        site = (site + 1) % sites;
    });
}

// As many rows as fill the memory that is set aside for them.
Status OpsRun::norms() {
    const int64_t d = dim(kHidden), n = std::max<int64_t>(setting_.sizes.row_bytes / (d * 4), 1);
    const int64_t groups = (d + 127) / 128;
    const OpsMemory x = TRY(pattern<Bf16>(n * d, BenchPattern::kBf16, 21));
    const OpsMemory weight = TRY(pattern<Bf16>(d, BenchPattern::kBf16, 22));
    const auto size = static_cast<uint64_t>(n * d);
    if (wants("norm.rms")) {
        const OpsMemory out = TRY(room<Bf16>(n * d));
        TRY(add_bytes("norm.rms", size * 4, out, [&] {
            ops_.rms_norm({x.as<Bf16>(), n, d}, {weight.as<Bf16>(), static_cast<size_t>(d)}, 1e-6F,
                          {out.as<Bf16>(), n, d});
        }));
    }
    if (!wants("quantise")) return {};
    const OpsMemory codes = TRY(room<uint8_t>(n * d));
    const OpsMemory scales = TRY(room<uint8_t>(n * groups));
    return add_bytes("quantise", size * 3, codes, [&] {
        ops_.quantise({x.as<Bf16>(), n, d},
                      {{codes.as<uint8_t>(), n, d}, {scales.as<uint8_t>(), n, groups}});
    });
}

Status OpsRun::route() {
    if (!wants("route")) return {};
    const OpsMemory logits = TRY(pattern<float>(kExperts, BenchPattern::kF32, 26));
    const OpsMemory bias = TRY(pattern<float>(kExperts, BenchPattern::kF32, 27));
    const OpsMemory ids = TRY(room<int32_t>(kChosen));
    const OpsMemory weights = TRY(room<float>(kChosen));
    const Timed timed = TRY(time(ids, [&] {
        ops_.route({logits.as<float>(), 1, kExperts}, {bias.as<float>(), size_t{kExperts}}, {},
                   {kChosen, 1.5F}, {ids.as<int32_t>(), 1, kChosen},
                   {weights.as<float>(), 1, kChosen});
    }));
    report_.add_time("route", timed.seconds * 1e6, "us", {}, timed.hash);
    return {};
}

Status OpsRun::run() {
    constexpr std::array kGemv = {
        Linear{"gemv.f4", WeightFormat::kFp4, 2048, 4096},
        Linear{"gemv.q3s", WeightFormat::kQ3s, 2048, 4096},
        Linear{"gemv.q2s", WeightFormat::kQ2s, 2048, 4096},
        Linear{"gemv.q2v", WeightFormat::kQ2v, 2048, 4096},
        Linear{"gemv.fp8", WeightFormat::kFp8, 32768, 1024},
        Linear{"gemv.fp8.wide", WeightFormat::kFp8, 4096, 8192},
        Linear{"gemv.bf16", WeightFormat::kBf16, 129280, 4096},
    };
    constexpr std::array kGemm = {
        Linear{"gemm.f4", WeightFormat::kFp4, 2048, 4096},
        Linear{"gemm.q3s", WeightFormat::kQ3s, 2048, 4096},
        Linear{"gemm.q2s", WeightFormat::kQ2s, 2048, 4096},
        Linear{"gemm.q2v", WeightFormat::kQ2v, 2048, 4096},
        Linear{"gemm.fp8", WeightFormat::kFp8, 4096, 8192},
        Linear{"gemm.bf16", WeightFormat::kBf16, 4096, 8192},
    };
    for (const Linear& which : kGemv) TRY(gemv(which));
    TRY(expert());
    for (const Linear& which : kGemm) TRY(gemm(which));
    TRY(attend("attend.decode", 1));
    TRY(attend("attend.prefill", setting_.sizes.attend_rows));
    TRY(topk());
    TRY(hc_reduce());
    TRY(norms());
    return route();
}

}  // namespace

OpsSizes bench_ops_sizes(const BenchSizes& sizes) {
    return {.rows = std::max(sizes.gemm_rows, sizes.attend_rows),
            .hidden = kHidden,
            .inner = kInner,
            .heads = kHeads,
            .keys = kWindow + kPicks,
            .entries = sizes.index_entries,
            .picks = kPicks};
}

Status bench_ops_on(const BenchSetting& setting, Ops& ops, const GpuLimits& limits,
                    BenchReport& report) {
    return OpsRun(setting, ops, limits, report).run();
}

}  // namespace millrace
