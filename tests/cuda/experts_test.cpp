// What belongs to CUDA's experts alone: a table on the GPU, experts that are not there, formats side by side, and rows
// sorted by expert.

#include "kernels/cuda/experts.h"

#include <doctest/doctest.h>

#include <list>

#include "kernels/cuda/cuda_ops.h"
#include "tests/cuda/stage.h"
#include "tests/cuda/staged_cuda_ops.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

constexpr int64_t kHidden = 256, kInner = 128;
constexpr Bf16 kMark{0x7FC1};
constexpr float kLimit = 10;

// Experts of some formats in turn, in the host's memory.
struct Layer {
    struct Formats {
        WeightFormat gate_up, down;
    };
    Layer(Inputs& in, int64_t count, std::initializer_list<Formats> in_turn) {
        for (int64_t e = 0; e < count; ++e) {
            const Formats& of = in_turn.begin()[static_cast<size_t>(e) % in_turn.size()];
            const auto matrix = [&](WeightFormat format, int64_t outputs, int64_t cols) {
                const LinearWeight plain =
                    in.weight(format, ScaleFormat::kE8m0, outputs, cols, bytes.emplace_back());
                // Scales at an odd address.
                bytes.back().scales.insert(bytes.back().scales.begin(), std::byte{0});
                LinearWeight out = plain;
                out.scales = bytes.back().scales.data() + 1;
                return out;
            };
            ExpertWeights& weights = experts.emplace_back();
            weights.w1 = matrix(of.gate_up, kInner, kHidden);
            weights.w3 = matrix(of.gate_up, kInner, kHidden);
            weights.w2 = matrix(of.down, kHidden, kInner);
            formats.add(weights);
        }
    }
    std::list<Bytes> bytes;
    std::vector<ExpertWeights> experts;
    ExpertFormats formats;
};

// Rows, what the router says of them, and what comes out.
struct Routed {
    Routed(Inputs& in, Ops& ops, int64_t rows, int64_t k, int64_t experts)
        : x(rows, kHidden), ids(rows, k), weights(rows, k) {
        in.bf16(x);
        quantised.emplace(ops, x.view);
        for (int64_t r = 0; r < rows; ++r) {
            const auto first =
                static_cast<int64_t>(in.random.below(static_cast<uint64_t>(experts)));
            for (int64_t j = 0; j < k; ++j) {
                const auto at = static_cast<size_t>(j);
                ids.view.row(r)[at] = static_cast<int32_t>((first + j * j + j) % experts);
                weights.view.row(r)[at] = in.real();
            }
        }
    }
    Rows<Bf16> x;
    Rows<int32_t> ids;
    Rows<float> weights;
    std::optional<Quantised> quantised;
};

template <class T>
MatrixView<const T> rows_of(const MatrixView<T>& m, int64_t first, int64_t count) {
    return {m.data + first * m.stride, count, m.cols, m.stride};
}

// Rows [first, first + count) by the table. Every row of the result was kMark before.
std::vector<Bf16> by_table(const Layer& layer, Routed& routed, int64_t first, int64_t count,
                           uint64_t seed = 0) {
    cuda_sim::set_options({.seed = seed});
    const int64_t k = routed.ids.view.cols;
    Rows<Bf16> out(count * k, kHidden, kMark);
    test::Stage s;
    std::vector<ExpertWeights> on_gpu = layer.experts;
    for (ExpertWeights& expert : on_gpu) {
        if (expert.w1.codes == nullptr) continue;
        for (LinearWeight* w : {&expert.w1, &expert.w2, &expert.w3}) *w = s.in(*w);
    }
    const auto experts = static_cast<int64_t>(on_gpu.size());
    const cuda::ExpertTable table{s.in(std::span<const ExpertWeights>(on_gpu)), kHidden, kInner,
                                  layer.formats};
    const auto scratch = *cuda::DeviceMemory::allocate(
        static_cast<size_t>(cuda::expert_scratch_bytes(count * k, kInner, experts)));
    const Fp8Rows& q = routed.quantised->input.quantised;
    const auto codes = s.in(rows_of(q.codes, first, count));
    const auto scales = s.in(rows_of(q.scales, first, count));
    const Fp8Rows x{{const_cast<uint8_t*>(codes.data), codes.rows, codes.cols, codes.stride},
                    {const_cast<uint8_t*>(scales.data), scales.rows, scales.cols, scales.stride}};
    cuda::experts(table, x, s.in(rows_of(routed.ids.view, first, count)),
                  s.in(rows_of(routed.weights.view, first, count)), kLimit, s.out(out.view),
                  scratch, {});
    test::expect_no_violations();
    s.back();
    CHECK(out.gaps_are(kMark));
    std::vector<Bf16> values;
    for (int64_t r = 0; r < out.view.rows; ++r)
        values.insert(values.end(), out.view.row(r).begin(), out.view.row(r).end());
    return values;
}

// Row `pair` of a result.
std::span<const Bf16> row_of(const std::vector<Bf16>& values, int64_t pair) {
    return std::span(values).subspan(static_cast<size_t>(pair * kHidden), kHidden);
}

}  // namespace

namespace cuda {

TEST_CASE("experts' launches have a job for every pair, scratches a place for every part") {
    for (const int64_t experts : {1, 6, 256, 384}) {
        for (const int64_t rows : {1, 2, 8, 300, 4096}) {
            const int64_t pairs = rows * 6;
            const ExpertConfig config = expert_config(rows, pairs, experts);
            CHECK(config.grouped == (rows > 1));
            const int64_t together = config.tiles * kTileRows;
            // The most that any distribution needs: one expert for each pair but those that fill a job.
            CHECK(config.jobs >= std::min(pairs, (pairs - std::min(experts, pairs)) / together +
                                                     std::min(experts, pairs)));
            CHECK(config.jobs <= pairs);
            const ExpertScratch parts = expert_scratch(pairs, 2048, experts);
            CHECK(parts.scales >= parts.codes + pairs * 2048);
            CHECK(parts.order >= parts.scales + pairs * 16);
            CHECK(parts.jobs >= parts.order + pairs * 4);
            if (config.grouped) CHECK(parts.table >= parts.jobs + config.jobs * 12);
            CHECK(parts.bytes >= parts.outs + pairs * 8);
            CHECK(expert_scratch_bytes(pairs, 2048, experts) >= parts.bytes);
        }
    }
    CHECK(expert_config(1, 6, 256).tiles == 1);
    CHECK(expert_config(2048, 2048 * 6, 256).tiles == kExpertTiles);
}

}  // namespace cuda

TEST_CASE_FIXTURE(Properties,
                  "experts of a table: of all formats, missing ones left alone, as the reference") {
    using enum WeightFormat;
    Layer layer(in, 7, {{kFp4, kFp4}, {kQ2s, kQ3s}, {kFp8, kFp8}, {kQ3s, kQ2v}, {kQ2v, kFp4}});
    layer.experts[4].w1.codes = nullptr;
    Routed routed(in, *ops, 5, 3, 7);
    routed.ids.view.row(2)[1] = -1;  // no expert
    routed.ids.view.row(3)[2] = 7;
    const auto values = by_table(layer, routed, 0, 5);
    int missing = 0, present = 0;
    for (int64_t pair = 0; pair < 15; ++pair) {
        CAPTURE(pair);
        const auto r = static_cast<int32_t>(pair / 3);
        const auto j = static_cast<size_t>(pair % 3);
        const int32_t id = routed.ids.view.row(r)[j];
        if (id < 0 || id > 6 || id == 4) {
            CHECK(std::ranges::all_of(row_of(values, pair), [](Bf16 v) { return v == kMark; }));
            missing += 1;
            continue;
        }
        Rows<Bf16> expected(1, kHidden);
        const float weight = routed.weights.view.row(r)[j];
        ops->expert(routed.quantised->input, {&r, 1}, layer.experts[static_cast<size_t>(id)],
                    {&weight, 1}, kLimit, expected.view);
        double off = 0, size = 0;
        for (size_t i = 0; i < kHidden; ++i) {
            const float want = to_float(expected.view.row(0)[i]);
            off += std::pow(to_float(row_of(values, pair)[i]) - want, 2);
            size += std::pow(want, 2);
        }
        // A sum that rounds to the other bf16 may take the other code of aq128: a sixteenth of one of 128 columns.
        CHECK(std::sqrt(off) <= 0.02 * std::sqrt(size));
        present += 1;
    }
    CHECK(missing >= 3);
    CHECK(present >= 8);
    CHECK((by_table(layer, routed, 0, 5, 2) == values));
}

// Rows at multiples of 16 bytes, so that linear layers go the tensor cores' way, and few columns, which they do not share
// out: then their sums are those of experts.
TEST_CASE_FIXTURE(Properties, "an expert is its linear layers, SwiGLU and aq128, bit for bit") {
    using enum WeightFormat;
    Layer layer(in, 5, {{kFp4, kFp4}, {kQ2s, kQ3s}, {kFp8, kFp8}, {kQ3s, kQ2v}, {kQ2v, kQ2s}});
    const auto cuda = test::make_staged_cuda_ops(pool, {});
    constexpr int64_t kCount = 3;
    Rows<Bf16> rows(kCount, kHidden);
    in.bf16(rows, 40);  // some gates are clamped
    const Quantised q(*ops, rows.view);
    std::vector<uint8_t> codes, scales, inner_codes(kCount * kInner), inner_scales(kCount);
    for (int64_t r = 0; r < kCount; ++r) {
        codes.insert(codes.end(), q.codes.view.row(r).begin(), q.codes.view.row(r).end());
        scales.insert(scales.end(), q.scales.view.row(r).begin(), q.scales.view.row(r).end());
    }
    const LinearInput x{{}, {{codes.data(), kCount, kHidden}, {scales.data(), kCount, 2}}};
    const LinearInput middle{
        {}, {{inner_codes.data(), kCount, kInner}, {inner_scales.data(), kCount, 1}}};
    const std::vector<int32_t> all = {0, 1, 2};
    const std::vector<float> weights = {0.3F, 1, -0.7F};
    for (const ExpertWeights& expert : layer.experts) {
        CAPTURE(static_cast<int>(expert.w1.format));
        std::vector<Bf16> gate(kCount * kInner), up(gate), wanted(kCount * kHidden);
        const MatrixView<Bf16> g(gate.data(), kCount, kInner), u(up.data(), kCount, kInner);
        cuda->linear(x, expert.w1, g);
        cuda->linear(x, expert.w3, u);
        cuda->swiglu(g, u, weights, kLimit, g);
        cuda->quantise(g, middle.quantised);
        cuda->linear(middle, expert.w2, {wanted.data(), kCount, kHidden});
        Rows<Bf16> computed(kCount, kHidden);
        cuda->expert(x, all, expert, weights, kLimit, computed.view);
        for (int64_t r = 0; r < kCount; ++r)
            CHECK(std::ranges::equal(computed.view.row(r), row_of(wanted, r)));
    }
}

TEST_CASE_FIXTURE(Properties,
                  "a pair's bits are its own: alone, among few, among many of one expert") {
    using enum WeightFormat;
    Layer layer(in, 3, {{kFp4, kQ2s}, {kQ3s, kFp4}, {kFp8, kQ2v}});
    // Two of three experts for each row: several tiles for each, so jobs are of several, and more pairs than one round of
    // sorting takes.
    constexpr int64_t kRowsOfAll = 66, kPairs = 2 * kRowsOfAll;
    static_assert(kPairs > cuda::kGroupThreads);
    Routed routed(in, *ops, kRowsOfAll, 2, 3);
    CHECK(cuda::expert_config(kRowsOfAll, kPairs, 3).tiles == cuda::kExpertTiles);
    CHECK(cuda::expert_config(9, 18, 3).tiles == 1);
    const auto all = by_table(layer, routed, 0, kRowsOfAll);
    CHECK(std::ranges::none_of(all, [](Bf16 v) { return v == kMark; }));
    const auto expect_same = [&](const std::vector<Bf16>& some, int64_t first, int64_t count) {
        for (int64_t pair = 0; pair < count * 2; ++pair)
            CHECK(std::ranges::equal(row_of(some, pair), row_of(all, first * 2 + pair)));
    };
    for (const int64_t row : {0, 17, 65}) expect_same(by_table(layer, routed, row, 1), row, 1);
    expect_same(by_table(layer, routed, 5, 9), 5, 9);
    expect_same(by_table(layer, routed, 0, kRowsOfAll, 2), 0, kRowsOfAll);
    // Nor do other experts matter.
    const ExpertWeights second = layer.experts[1];
    layer.experts[1].w1.codes = nullptr;
    const auto without = by_table(layer, routed, 0, kRowsOfAll);
    for (int64_t pair = 0; pair < kPairs; ++pair) {
        const bool gone = routed.ids.view.row(pair / 2)[static_cast<size_t>(pair % 2)] == 1;
        CHECK(row_of(without, pair)[0] == (gone ? kMark : row_of(all, pair)[0]));
        if (!gone) CHECK(std::ranges::equal(row_of(without, pair), row_of(all, pair)));
    }
    layer.experts[1] = second;
    // A list of calls is another way to the same sums.
    const auto cuda = test::make_staged_cuda_ops(pool, {});
    Rows<Bf16> listed(kPairs, kHidden);
    std::vector<ExpertCall> calls;
    std::list<std::vector<int32_t>> rows;
    std::list<std::vector<float>> weights;
    std::vector<int64_t> pairs;
    for (int32_t e = 0; e < 3; ++e) {
        rows.emplace_back();
        weights.emplace_back();
        const auto first = static_cast<int64_t>(pairs.size());
        for (int64_t pair = 0; pair < kPairs; ++pair) {
            const auto j = static_cast<size_t>(pair % 2);
            if (routed.ids.view.row(pair / 2)[j] != e) continue;
            rows.back().push_back(static_cast<int32_t>(pair / 2));
            weights.back().push_back(routed.weights.view.row(pair / 2)[j]);
            pairs.push_back(pair);
        }
        calls.push_back({layer.experts[static_cast<size_t>(e)], rows.back(), weights.back(),
                         listed.at(first, static_cast<int64_t>(pairs.size()) - first)});
    }
    cuda->experts(routed.quantised->input, calls, kLimit);
    for (size_t i = 0; i < pairs.size(); ++i)
        CHECK(std::ranges::equal(listed.view.row(static_cast<int64_t>(i)), row_of(all, pairs[i])));
}

TEST_CASE_FIXTURE(
    Properties,
    "experts: NaN of a row or a weight goes where it belongs, calls in more than one run") {
    using enum WeightFormat;
    Layer layer(in, 2, {{kFp8, kFp4}});
    layer.bytes.front().codes[5] = std::byte{0x7F};  // of the first gate
    Routed routed(in, *ops, 3, 2, 2);
    Rows<Bf16>& x = routed.x;
    x.view.row(1)[200] = Bf16{0x7FC0};
    routed.quantised.emplace(*ops, x.view);
    const auto values = by_table(layer, routed, 0, 3);
    for (int64_t pair = 0; pair < 6; ++pair) {
        const bool nan =
            pair / 2 == 1 || routed.ids.view.row(pair / 2)[static_cast<size_t>(pair % 2)] == 0;
        CHECK(std::isnan(to_float(row_of(values, pair)[9])) == nan);
    }
    // Thirty calls of one row.
    const auto cuda = test::make_staged_cuda_ops(pool, {});
    constexpr int64_t kCalls = 30;
    static_assert(kCalls > cuda::kCallsTogether);
    Rows<Bf16> together(kCalls, kHidden), alone(kCalls, kHidden);
    const std::vector<int32_t> rows = {0, 2};
    std::vector<ExpertCall> calls;
    for (int64_t i = 0; i < kCalls; ++i) {
        calls.push_back({layer.experts[1],
                         std::span(rows).subspan(static_cast<size_t>(i % 2), 1),
                         {},
                         together.at(i, 1)});
    }
    cuda->experts(routed.quantised->input, calls, kLimit);
    for (int64_t i = 0; i < 2; ++i)
        cuda->expert(routed.quantised->input, calls[static_cast<size_t>(i)].rows, layer.experts[1],
                     {}, kLimit, alone.at(i, 1));
    for (int64_t i = 0; i < kCalls; ++i)
        CHECK(std::ranges::equal(together.view.row(i), alone.view.row(i % 2)));
    CHECK_FALSE(std::ranges::equal(alone.view.row(0), alone.view.row(1)));
}

}  // namespace millrace
