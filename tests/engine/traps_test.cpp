// The traps of spec §7.7 that lie between ops: which rows, which positions, which tables. One attention layer with
// weights made by hand, and small checkpoints. The traps inside ops are in tests/kernels/traps_test.cpp.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "core/engine/attention.h"
#include "core/engine/runtime.h"
#include "kernels/reference/canonical.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace {
namespace {

constexpr int64_t kHidden = 128;
constexpr int64_t kTokensMax = 300;
// What a lone 1 in a vector of 512 becomes: √512 after the norm, and then on the FP8 grid.
constexpr float kNormed = 22.625F;
constexpr float kOnGrid = 22.0F;

float rounded(double x) { return to_float(to_bf16(static_cast<float>(x))); }

// A matrix made by hand: BF16, or FP8 with scale 1.
class Matrix {
public:
    Matrix(WeightFormat format, int64_t rows, int64_t cols) {
        weight_.format = format;
        weight_.rows = rows;
        weight_.cols = cols;
        codes_.resize(static_cast<size_t>(rows * cols * (format == WeightFormat::kFp8 ? 1 : 2)));
        if (format == WeightFormat::kFp8) {
            weight_.scale_format = ScaleFormat::kE8m0;
            scales_.assign(static_cast<size_t>((rows + 127) / 128 * ((cols + 127) / 128)),
                           std::byte{127});
        }
    }
    Matrix& set(int64_t row, int64_t col, float value) {
        const auto at = static_cast<size_t>(row * weight_.cols + col);
        if (weight_.format == WeightFormat::kFp8) {
            codes_[at] = std::byte{e4m3_code(value)};
        } else {
            const Bf16 stored = to_bf16(value);
            std::memcpy(&codes_[2 * at], &stored, 2);
        }
        return *this;
    }
    [[nodiscard]] LinearWeight view() const {
        LinearWeight out = weight_;
        out.codes = codes_.data();
        out.scales = scales_.data();
        return out;
    }

private:
    LinearWeight weight_;
    std::vector<std::byte> codes_, scales_;
};

// Where the first 64 and the last 64 of 512 dims go in 128 channels: dims 0…63 stay, rope dims become 64…127.
int64_t dim_of_channel(int64_t channel) { return channel < 64 ? channel : 448 + channel - 64; }

// Attention of one layer: q = 0, so that every visible key counts the same; kv is x, spread over the dims as above; the
// output is read back into the same channels. So y of a token is the mean of what it sees.
struct HandMadeLayer {
    explicit HandMadeLayer(LayerKind kind, int64_t rollback = 0) {
        config.hidden = kHidden;
        config.heads = 1;
        config.q_rank = 128;
        config.o_rank = kHeadDim;
        config.o_groups = 1;
        config.index_heads = 1;
        config.index_topk = 4;
        config.layers = {kind};
        rope = RopeTables::of(config.rope);
        memory.resize(counted_bytes());
        Arenas arenas;
        arenas.ops = Arena(memory);
        scratch = AttentionScratch::take(arenas, config, kTokensMax, kTokensMax);
        for (int64_t c = 0; c < kHidden; ++c) {
            wkv.set(dim_of_channel(c), c, 1);
            wo_b.set(c, dim_of_channel(c), 1);
        }
        for (int64_t i = 0; i < kHeadDim; ++i) wo_a.set(i, i, 1);
        auto made = KvCache::create(*ops, config, 1, {kTokensMax, rollback});
        REQUIRE(made.ok());
        kv = *std::move(made);
    }

    [[nodiscard]] size_t counted_bytes() const {
        Arenas counting;
        (void)AttentionScratch::take(counting, config, kTokensMax, kTokensMax);
        return counting.peak_bytes();
    }
    [[nodiscard]] LayerKv& layer() { return kv->layer({0}); }
    [[nodiscard]] CompressorWeights compressor() const {
        return {ape, compressor_wkv.view(), compressor_gate.view(), ones};
    }
    [[nodiscard]] AttentionWeights weights() const {
        AttentionWeights out{.sink = {&sink, 1},
                             .wq_a = wq_a.view(),
                             .q_norm = std::span(ones).first(128),
                             .wq_b = wq_b.view(),
                             .wkv = wkv.view(),
                             .kv_norm = ones,
                             .wo_a = wo_a.view(),
                             .wo_b = wo_b.view(),
                             .compressor = {},
                             .indexer = {}};
        const int ratio = compress_ratio(config.layers[0]);
        if (ratio != 0) {
            out.compressor = compressor();
            out.compressor->wkv.rows = out.compressor->wgate.rows =
                compress_overlap(ratio) * kHeadDim;
            out.compressor->ape = std::span(ape).first(
                static_cast<size_t>(ratio * compress_overlap(ratio) * kHeadDim));
        }
        if (ratio == 4) {
            out.indexer = {index_wq_b.view(),
                           index_proj.view(),
                           {std::span(ape).first(4 * 256), index_wkv.view(), index_wkv.view(),
                            std::span(ones).first(128)}};
        }
        return out;
    }
    // Computes tokens whose inputs are 1 in the given channels and 0 elsewhere; returns y [tokens][128].
    std::vector<std::vector<float>> run(int64_t first,
                                        const std::vector<std::vector<size_t>>& channels) {
        const auto n = static_cast<int64_t>(channels.size());
        std::vector<Bf16> x(static_cast<size_t>(n * kHidden));
        std::vector<Bf16> y(x.size());
        std::vector<int32_t> positions, visible;
        for (size_t r = 0; r < channels.size(); ++r) {
            for (const size_t c : channels[r]) x[r * kHidden + c] = to_bf16(1);
            positions.push_back(static_cast<int32_t>(first) + static_cast<int32_t>(r));
            visible.push_back((positions.back() + 1) / 4);
        }
        const std::vector<TokenId> tokens(channels.size(), TokenId{0});
        const Status done = attend_chunk(
            {config, *ops, *ops, rope}, {tokens, first, first + n, positions, visible}, {0},
            weights(), {x.data(), n, kHidden}, layer(), scratch, nullptr, {y.data(), n, kHidden});
        REQUIRE(done.ok());
        std::vector<std::vector<float>> out;
        for (size_t r = 0; r < channels.size(); ++r) {
            out.emplace_back();
            for (size_t c = 0; c < kHidden; ++c) out[r].push_back(to_float(y[r * kHidden + c]));
        }
        return out;
    }
    // The same in pieces: chunks of these sizes.
    std::vector<std::vector<float>> run_pieces(const std::vector<std::vector<size_t>>& channels,
                                               const std::vector<int64_t>& pieces) {
        std::vector<std::vector<float>> out;
        int64_t first = 0;
        for (const int64_t n : pieces) {
            for (auto& row : run(first, {channels.begin() + first, channels.begin() + first + n}))
                out.push_back(std::move(row));
            first += n;
        }
        return out;
    }

    ModelConfig config;
    Pool pool{1};
    std::unique_ptr<Ops> ops = make_reference_ops(pool);
    RopeTables rope{};
    std::vector<std::byte> memory;
    AttentionScratch scratch;
    std::unique_ptr<KvCache> kv;
    float sink = -INFINITY;
    std::vector<Bf16> ones = std::vector<Bf16>(kHeadDim, to_bf16(1));
    std::vector<float> ape = std::vector<float>(128 * kHeadDim, 0.0F);
    Matrix wq_a{WeightFormat::kFp8, 128, kHidden}, wq_b{WeightFormat::kFp8, kHeadDim, 128};
    Matrix wkv{WeightFormat::kFp8, kHeadDim, kHidden};
    Matrix wo_a{WeightFormat::kBf16, kHeadDim, kHeadDim};
    Matrix wo_b{WeightFormat::kBf16, kHidden, kHeadDim};
    Matrix compressor_wkv{WeightFormat::kBf16, 2 * kHeadDim, kHidden};
    Matrix compressor_gate{WeightFormat::kBf16, 2 * kHeadDim, kHidden};
    Matrix index_wq_b{WeightFormat::kFp8, kIndexDim, 128};
    Matrix index_proj{WeightFormat::kBf16, 1, kHidden};
    Matrix index_wkv{WeightFormat::kBf16, 2 * kIndexDim, kHidden};
};

// Some frequencies of spec §10.
struct Frequency {
    size_t pair;
    float plain, yarn;
};
constexpr Frequency kFrequencies[] = {{1, 0.749894202F, 0.687656045F},
                                      {5, 0.237137362F, 0.153764561F},
                                      {16, 0.00999999978F, 0.00226562493F},
                                      {20, 0.00316227786F, 0.000296977785F}};

// (value, 0) turned by position · frequency.
std::array<float, 2> turned(float value, int64_t position, float frequency) {
    const auto angle = static_cast<double>(static_cast<float>(position) * frequency);
    return {rounded(static_cast<double>(value) * std::cos(angle)),
            rounded(static_cast<double>(value) * std::sin(angle))};
}
std::array<float, 2> pair_of(std::span<const Bf16> rope_dims, size_t pair) {
    return {to_float(rope_dims[2 * pair]), to_float(rope_dims[2 * pair + 1])};
}

std::vector<double> decoded(const KvRow& row) {
    std::vector<double> out(kHeadDim);
    reference::decode_row(row, out.data());
    return out;
}

}  // namespace

TEST_CASE("trap 2: 10000 in window layers and drafts, 160000 with YaRN in compressed ones") {
    for (const LayerKind kind : {LayerKind::kWindow, LayerKind::kSparse, LayerKind::kHeavy}) {
        HandMadeLayer made(kind);
        // Every even rope dim is 1 in every token; q is made as kv is.
        for (int64_t c = 0; c < kHidden; ++c) {
            made.wq_a.set(c, c, 1);
            made.wq_b.set(dim_of_channel(c), c, 1);
            made.index_wq_b.set(c, c, 1);
        }
        std::vector<size_t> even;
        for (size_t i = 0; i < 32; ++i) even.push_back(64 + 2 * i);
        constexpr int64_t kPosition = 77;
        made.run(0, std::vector<std::vector<size_t>>(kPosition + 1, even));
        const std::span<const Bf16> first = made.layer().window.at(0)->rope;
        const std::span<const Bf16> later = made.layer().window.at(kPosition)->rope;
        const std::span<const Bf16> q = made.scratch.q.row(kPosition).last(kRopeDim);
        for (const Frequency& f : kFrequencies) {
            CAPTURE(f.pair);
            const bool plain = kind == LayerKind::kWindow;
            const float value = pair_of(first, f.pair)[0];
            const auto right = turned(value, kPosition, plain ? f.plain : f.yarn);
            CHECK(pair_of(later, f.pair) == right);
            CHECK(turned(value, kPosition, plain ? f.yarn : f.plain) != right);
            const float q_value = to_float(made.scratch.q.row(0).last(kRopeDim)[2 * f.pair]);
            CHECK(pair_of(q, f.pair) == turned(q_value, kPosition, plain ? f.plain : f.yarn));
            if (kind != LayerKind::kSparse) continue;  // the others have no indexer
            const MatrixView<Bf16> index_q = made.scratch.index_q;
            const float index_value = to_float(index_q.row(0).last(kRopeDim)[2 * f.pair]);
            CHECK(index_value != 0);
            CHECK(pair_of(index_q.row(kPosition).last(kRopeDim), f.pair) ==
                  turned(index_value, kPosition, f.yarn));
        }
        CHECK(made.kv->layer({1}).kind == LayerKind::kWindow);  // the draft block behind it
    }
}

TEST_CASE("trap 3: the output is turned back at the query's position") {
    HandMadeLayer made(LayerKind::kWindow);
    // Token 0 has a value in pair 0, whose frequency is 1; token 1 has none and sees the mean of both.
    const std::vector<float> y = made.run(0, {{64}, {0}})[1];
    const auto mean = static_cast<double>(kNormed / 2);
    CHECK(y[64] == rounded(mean * std::cos(1.0)));
    CHECK(y[65] == rounded(mean * -std::sin(1.0)));
    CHECK(y[65] != 0);                              // as the value lies in the cache
    CHECK(y[65] != rounded(mean * std::sin(1.0)));  // turned on, not back
}

TEST_CASE("trap 6: the window is 128 keys, the token itself among them") {
    std::vector<std::vector<size_t>> channels(200, {1});
    channels[0] = {0};
    for (const std::vector<int64_t>& pieces :
         std::vector<std::vector<int64_t>>{{200}, {100, 100}, {127, 1, 1, 71}, {128, 72}}) {
        CAPTURE(pieces.size());
        HandMadeLayer made(LayerKind::kWindow);
        const auto y = made.run_pieces(channels, pieces);
        CHECK(y[0][0] == kOnGrid);
        CHECK(y[1][0] == kOnGrid / 2);
        CHECK(y[127][0] == rounded(static_cast<double>(kOnGrid) / 128));
        CHECK(y[127][0] != rounded(static_cast<double>(kOnGrid) / 127));
        CHECK(y[128][0] == 0);  // a window of 129, or of 128 others, would still see token 0
        CHECK(y[128][1] == kOnGrid);
        CHECK(y[199][1] == kOnGrid);
    }
}

TEST_CASE("trap 7: compressed RoPE position is the first token of the block") {
    for (const LayerKind kind : {LayerKind::kSparse, LayerKind::kHeavy}) {
        const int64_t ratio = compress_ratio(kind);
        HandMadeLayer made(kind);
        for (int64_t half = 0; half < 2; ++half) {
            for (int64_t i = 0; i < kRopeDim; i += 2)
                made.compressor_wkv.set(half * kHeadDim + kLatentDim + i, 1, 1);
        }
        made.run(0, std::vector<std::vector<size_t>>(static_cast<size_t>(2 * ratio + 1), {1}));
        for (const Frequency& f : kFrequencies) {
            CAPTURE(f.pair);
            const auto entry = [&](int64_t i) {
                return pair_of(made.layer().entry(i)->rope, f.pair);
            };
            const float value = entry(0)[0];
            CHECK(value == rounded(std::sqrt(16.0)));
            CHECK(entry(0)[1] == 0);
            CHECK(entry(1) == turned(value, ratio, f.yarn));
            if (f.pair > 5) continue;  // slow pairs move too little to tell the mistakes apart
            CHECK(entry(1) != turned(value, 2 * ratio - 1, f.yarn));  // the block's last token
            CHECK(entry(1) != turned(value, 1, f.yarn));              // the entry's number
            CHECK(entry(1) != turned(value, ratio, f.plain));
        }
    }
}

TEST_CASE("trap 8: the low half is for the block as previous, the high half for it as current") {
    HandMadeLayer made(LayerKind::kSparse);
    // Tokens of block 0 are channel 0, of block 1 channel 1. What each gives to entry channels 0 and 1, in either half:
    constexpr int64_t kLow = 0;
    constexpr int64_t kHigh = kHeadDim;
    Matrix& wkv = made.compressor_wkv;
    wkv.set(kLow + 0, 0, 1).set(kLow + 1, 0, 0).set(kHigh + 0, 0, 7).set(kHigh + 1, 0, 7);
    wkv.set(kLow + 0, 1, 9).set(kLow + 1, 1, 3).set(kHigh + 0, 1, 0).set(kHigh + 1, 1, 1);
    std::vector<std::vector<size_t>> channels(8, {0});
    std::fill(channels.begin() + 4, channels.end(), std::vector<size_t>{1});
    made.run_pieces(channels, {3, 2, 3});
    // Equal channels become √(512/2) = 16 each. Entry 0: (7, 7); the low half would give (1, 0).
    const std::vector<double> first = decoded(*made.layer().entry(0));
    CHECK(first[0] == 16);
    CHECK(first[1] == 16);
    // Entry 1: low of block 0, high of block 1: (4·1 + 0, 0 + 4·1) / 8; the other way (4·9 + 4·7, 4·3 + 4·7) / 8.
    const std::vector<double> second = decoded(*made.layer().entry(1));
    CHECK(second[0] == 16);
    CHECK(second[1] == 16);
    const double swapped = 8 / std::sqrt((8.0 * 8 + 5 * 5) / 512);
    CHECK(std::fabs(swapped - second[0]) > 2);

    // Scores have the same halves: a large one for block 1 as current leaves its high values alone, (0, 1).
    made.compressor_gate.set(kHigh + 0, 1, 20).set(kHigh + 1, 1, 20);
    made.run_pieces(channels, {3, 2, 3});
    const std::vector<double> scored = decoded(*made.layer().entry(1));
    CHECK(scored[0] == 0);
    CHECK(scored[1] == static_cast<double>(kOnGrid));
}

TEST_CASE("trap 17: wo_a reads what attention gave, in bf16") {
    HandMadeLayer made(LayerKind::kWindow);
    made.run(0, {{0}, {1}, {1}});  // of three keys one has channel 0
    const float third = rounded(static_cast<double>(kOnGrid) / 3);
    CHECK(to_float(made.scratch.grouped.row(2)[0]) == third);
    const float scale = e8m0_value(fp8_scale(rounded(static_cast<double>(kOnGrid) * 2 / 3)));
    CHECK(e4m3_value(e4m3_code(third / scale)) * scale != third);  // were it quantised before
}

TEST_CASE("trap 18: no norm weight reaches the heads of q") {
    // The head norm takes back what the latent's weight did, and the weight of kv is kv's alone.
    const auto projected = [](float norm_weight) {
        HandMadeLayer made(LayerKind::kWindow);
        std::ranges::fill(made.ones, to_bf16(norm_weight));
        for (int64_t c = 0; c < kHidden; ++c) {
            made.wq_a.set(c, c, 1);
            made.wq_b.set(dim_of_channel(c), c, 1);
        }
        made.run(0, {{3}});
        const auto head = made.scratch.q.row(0);
        return std::pair{std::vector<Bf16>(head.begin(), head.end()),
                         decoded(*made.layer().window.at(0))[3]};
    };
    const auto [head, key] = projected(1);
    const auto [weighted_head, weighted_key] = projected(4);
    CHECK(std::fabs(to_float(head[3]) - kNormed) < 0.2F);
    CHECK(weighted_head == head);
    CHECK(weighted_key == 4 * key);
}

TEST_CASE("trap 19: a new sequence finds no compressor rows of the one before") {
    constexpr int64_t kRollback = 3;
    const auto prepare = [](HandMadeLayer& made) {
        made.compressor_wkv.set(0, 0, 1).set(1, 1, 1).set(kHeadDim + 0, 0, 1);
        made.compressor_wkv.set(kHeadDim + 1, 1, 1);
        // Seen in entry 0 if a token of its own were taken for one before it, too.
        made.compressor_wkv.set(0, 1, 1);
    };
    HandMadeLayer fresh(LayerKind::kSparse, kRollback);
    prepare(fresh);
    const std::vector<std::vector<size_t>> other(4, {1});
    const auto right = fresh.run(0, other);
    const std::vector<double> entry = decoded(*fresh.layer().entry(0));
    CHECK(entry[0] == 0);
    CHECK(entry[1] == static_cast<double>(kOnGrid));

    for (const size_t before : {size_t{4}, size_t{6}, size_t{11}, size_t{22}}) {
        CAPTURE(before);
        HandMadeLayer used(LayerKind::kSparse, kRollback);
        prepare(used);
        used.run(0, std::vector<std::vector<size_t>>(before, {0}));
        CHECK(used.run(0, other) == right);
        CHECK(decoded(*used.layer().entry(0)) == entry);
    }
    // With the rows of a block before it, it would be another entry.
    HandMadeLayer stale(LayerKind::kSparse, kRollback);
    prepare(stale);
    stale.run(0, std::vector<std::vector<size_t>>(4, {0}));
    stale.run(4, other);
    CHECK(decoded(*stale.layer().entry(1))[0] > 10);
}

TEST_CASE("trap 21: an entry is visible to its own last token, and to none before") {
    for (const LayerKind kind : {LayerKind::kSparse, LayerKind::kHeavy}) {
        const int64_t ratio = compress_ratio(kind);
        const auto last = static_cast<size_t>(ratio - 1);
        const std::vector<std::vector<size_t>> channels(static_cast<size_t>(2 * ratio), {1});
        for (const std::vector<int64_t>& pieces : std::vector<std::vector<int64_t>>{
                 {2 * ratio}, {ratio - 1, 1, ratio}, {ratio, ratio}}) {
            CAPTURE(pieces.size());
            HandMadeLayer made(kind);
            // Entries have channel 2, which no token has.
            made.compressor_wkv.set(2, 1, 1).set(kHeadDim + 2, 1, 1);
            const auto y = made.run_pieces(channels, pieces);
            CHECK(y[last - 1][2] == 0);
            CHECK(y[last][2] ==
                  rounded(static_cast<double>(kOnGrid) / (static_cast<double>(ratio) + 1)));
            CHECK(y[last][2] != 0);  // were it visible from the next token on
            CHECK(y[2 * last][2] < y[2 * last + 1][2]);
        }
    }
}

namespace {

class RoutedIds final : public StepObserver {
public:
    void routed(LayerId layer, MatrixView<const int32_t> ids, MatrixView<const float>) override {
        auto& rows = by_layer[layer.value];
        for (int64_t r = 0; r < ids.rows; ++r)
            rows.emplace_back(ids.row(r).begin(), ids.row(r).end());
    }
    std::map<int32_t, std::vector<std::vector<int32_t>>> by_layer;
};

RuntimeOptions small_options() {
    RuntimeOptions options = test::tiny_options();
    options.threads = 1;
    options.context_max = 64;
    options.prefill_chunk = 16;
    return options;
}

// Rows of a table [vocabulary][2] at some indices.
std::vector<std::vector<int32_t>> table_rows(std::span<const int64_t> table,
                                             const std::vector<int32_t>& at) {
    std::vector<std::vector<int32_t>> out;
    for (const int32_t v : at) {
        const auto first = 2 * static_cast<size_t>(v);
        out.push_back({static_cast<int32_t>(table[first]), static_cast<int32_t>(table[first + 1])});
    }
    return out;
}

}  // namespace

TEST_CASE("trap 13: the shared expert is clamped as the routed ones are") {
    // Routed experts give nothing: only through the shared one can the limit change a logit.
    Json config = test::small_config();
    auto tensors = test::synthetic_tensors(config);
    for (auto& [name, tensor] : tensors) {
        const bool routed = name.find(".ffn.experts.") != std::string::npos;
        if (routed && name.ends_with(".w2.weight")) std::ranges::fill(tensor.bytes, std::byte{0});
    }
    const auto logits = [&](double limit) {
        config.set("swiglu_limit", limit);
        test::TempDirectory directory;
        test::write_checkpoint(directory.path(), config, tensors, 1);
        const auto runtime = test::open_runtime(directory.path(), small_options());
        Session session = test::new_session(*runtime);
        return test::all_logits(*runtime, session, test::token_ids({3, 1, 20, 63}), {4});
    };
    CHECK(logits(1e6) == logits(1e5));
    CHECK(logits(1e6) != logits(0.01));
}

TEST_CASE("trap 20: hash layers route by the token id of every row, through all chunks") {
    Json config = test::small_config();
    config.set("num_hash_layers", 2);
    test::TempDirectory directory;
    test::write_checkpoint(directory.path(), config, test::synthetic_tensors(config), 1);
    const auto runtime = test::open_runtime(directory.path(), small_options());
    RoutedIds routed;
    runtime->step().observe(&routed);
    Session session = test::new_session(*runtime);
    const std::vector<int32_t> ids = {63, 5, 17, 40, 2, 2, 31, 58, 11, 0, 26};
    const std::vector<TokenId> tokens = test::token_ids(ids);
    const std::vector<int32_t> positions = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    const std::vector<int32_t> chunk_firsts = {63, 63, 63, 40, 2, 2, 2, 2, 2, 2, 2};
    (void)test::all_logits(*runtime, session, tokens, {3, 1, 7});
    for (const int32_t layer : {0, 1}) {
        const std::span table =
            runtime->checkpoint().weights().layers[static_cast<size_t>(layer)].moe.tid2eid;
        CHECK(routed.by_layer[layer] == table_rows(table, ids));
        CHECK(table_rows(table, ids) != table_rows(table, positions));
        CHECK(table_rows(table, ids) != table_rows(table, chunk_firsts));
    }
}

TEST_CASE("trap 23: tid2eid holds 64-bit numbers") {
    const Json config = test::small_config();
    auto tensors = test::synthetic_tensors(config);
    test::SyntheticTensor& tensor = tensors.at("layers.0.ffn.gate.tid2eid");
    std::vector<int64_t> table;
    for (int64_t v = 0; v < 64; ++v) {
        table.push_back((v + 1) % 3);
        table.push_back(v % 3);
    }
    REQUIRE(tensor.bytes.size() == table.size() * 8);
    std::memcpy(tensor.bytes.data(), table.data(), tensor.bytes.size());
    test::TempDirectory directory;
    test::write_checkpoint(directory.path(), config, tensors, 1);
    const auto runtime = test::open_runtime(directory.path(), small_options());
    RoutedIds routed;
    runtime->step().observe(&routed);
    Session session = test::new_session(*runtime);
    const std::vector<int32_t> ids = {3, 1, 20, 63};
    (void)test::all_logits(*runtime, session, test::token_ids(ids), {4});
    const std::vector<std::vector<int32_t>> right = {{1, 0}, {2, 1}, {0, 2}, {1, 0}};
    CHECK(routed.by_layer[0] == right);
    // Read as 32-bit numbers every second one would be a zero.
    std::vector<int32_t> halves(2 * table.size());
    std::memcpy(halves.data(), table.data(), tensor.bytes.size());
    CHECK(table_rows(std::vector<int64_t>(halves.begin(), halves.end()), ids) != right);

    tensor.dtype = DType::kI32;
    tensor.bytes.resize(tensor.bytes.size() / 2);
    test::TempDirectory narrow;
    test::write_checkpoint(narrow.path(), config, tensors, 1);
    const auto opened = Checkpoint::open(narrow.path());
    REQUIRE(!opened.ok());
    CHECK(opened.error().message.find("wanted I64") != std::string::npos);
}

TEST_CASE("trap 24: the index says how many draft blocks there are, not num_nextn_predict_layers") {
    const auto opened = [](const Json& config, const test::SyntheticTensors& tensors) {
        test::TempDirectory directory;
        test::write_checkpoint(directory.path(), config, tensors, 1);
        auto checkpoint = Checkpoint::open(directory.path());
        REQUIRE_MESSAGE(checkpoint.ok(), (checkpoint.ok() ? "" : checkpoint.error().message));
        const ModelWeights& weights = checkpoint->weights();
        return std::array<size_t, 3>{weights.mtp.size(),
                                     weights.dspark ? weights.dspark->stages.size() : 0,
                                     static_cast<size_t>(checkpoint->experts().layers())};
    };
    // The config's word stays 1 where the release has three stages.
    const Json dspark = test::small_dspark_config();
    REQUIRE(*dspark.find("num_nextn_predict_layers")->as_int() == 1);
    CHECK(opened(dspark, test::synthetic_tensors(dspark)) == std::array<size_t, 3>{0, 3, 6});

    Json config = test::small_config();
    auto tensors = test::synthetic_tensors(config);
    config.set("num_nextn_predict_layers", 3);
    CHECK(opened(config, tensors) == std::array<size_t, 3>{1, 0, 4});
    std::erase_if(tensors, [](const auto& tensor) { return tensor.first.starts_with("mtp."); });
    CHECK(opened(config, tensors) == std::array<size_t, 3>{0, 0, 3});
}

}  // namespace millrace
