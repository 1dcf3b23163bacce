// The indexer of every ISA against the reference.

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "kernels/cpu/kernel_table.h"
#include "tests/kernels/cpu_fixture.h"
#include "tests/kernels/properties.h"

namespace millrace {
namespace {

using Indices = std::vector<int32_t>;

IndexRow random_row(Random& random, uint64_t lowest_scale, uint64_t scales) {
    IndexRow row;
    for (uint8_t& code : row.codes) code = static_cast<uint8_t>(random.below(256));
    for (uint8_t& scale : row.scales) {
        scale = static_cast<uint8_t>(lowest_scale + random.below(scales));
    }
    return row;
}

std::vector<IndexRow> random_rows(Random& random, int64_t count, uint64_t lowest_scale,
                                  uint64_t scales) {
    std::vector<IndexRow> rows(static_cast<size_t>(count));
    for (IndexRow& row : rows) row = random_row(random, lowest_scale, scales);
    return rows;
}

// What the ops are asked: queries, their weights, entries and how many of these each query sees.
struct Question {
    Question(int64_t n, int64_t heads) : weights(n, heads) {}
    [[nodiscard]] int64_t rows() const { return weights.view.rows; }
    [[nodiscard]] int64_t heads() const { return weights.view.cols; }

    // Rows [first, first + count); nothing between the rows of picks may be touched.
    [[nodiscard]] Indices ask(Ops& ops, int64_t k, int64_t first, int64_t count) {
        constexpr int32_t kUntouched = -77;
        Rows<int32_t> picks(count, k, kUntouched);
        ops.index_topk(
            std::span(q).subspan(static_cast<size_t>(first * heads()),
                                 static_cast<size_t>(count * heads())),
            weights.at(first, count), entries,
            std::span(visible).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
            picks.view);
        Indices out;
        for (int64_t r = 0; r < count; ++r) {
            for (const int32_t pick : picks.view.row(r)) out.push_back(pick);
            for (int64_t gap = 0; gap < Rows<int32_t>::kGap; ++gap) {
                REQUIRE(picks.view.row(r).data()[k + gap] == kUntouched);
            }
        }
        return out;
    }
    [[nodiscard]] Indices ask(Ops& ops, int64_t k) { return ask(ops, k, 0, rows()); }

    std::vector<IndexRow> q;
    Rows<Bf16> weights;
    std::vector<IndexRow> entries;
    Indices visible;
};

// Every sum of it is exact in fp32: dot products are integers below 2¹⁵ in units of a quarter of the (equal) scales,
// weights ±1, ±5 or ±7 (products are rounded), so that the sum of 64 heads stays below 2²⁴ units.
struct ExactQuestion : Question {
    ExactQuestion(Random& random, int64_t n, int64_t heads_of_each, int64_t count)
        : Question(n, heads_of_each) {
        q = random_rows(random, n * heads_of_each, 125, 1);
        entries = random_rows(random, count, 130, 1);
        for (int64_t r = 0; r < n; ++r) {
            for (Bf16& w : weights.view.row(r)) {
                const float size = std::array{1.0F, 5.0F, 7.0F}[random.below(3)];
                w = to_bf16(random.below(3) == 0 ? -size : size);
            }
            visible.push_back(static_cast<int32_t>(count));
        }
    }
};

}  // namespace

TEST_CASE_FIXTURE(Properties, "index_topk picks what the reference picks where sums are exact") {
    for (const int64_t heads : {1, 3, 4, 64}) {
        for (const int32_t entries : {1, 15, 16, 17, 31, 32, 33, 1023, 1024, 1025, 2100}) {
            CAPTURE(heads);
            CAPTURE(entries);
            ExactQuestion question(in.random, 3, heads, entries);
            question.visible[1] =
                static_cast<int32_t>(in.random.below(static_cast<uint64_t>(entries) + 1));
            for (const int64_t k : {int64_t{1}, int64_t{5}, int64_t{512}}) {
                CAPTURE(k);
                const Indices expected = question.ask(*ops, k);
                for_every_isa(pool, [&](Ops& cpu) { CHECK(question.ask(cpu, k) == expected); });
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "index_topk takes the lower of equal entries") {
    for (const int64_t distinct : {1, 2, 3, 40}) {
        CAPTURE(distinct);
        ExactQuestion question(in.random, 2, 3, distinct);
        const std::vector<IndexRow> kinds = question.entries;
        question.entries.resize(1500);
        for (IndexRow& entry : question.entries) entry = kinds[in.random.below(kinds.size())];
        question.visible = {1500, 1499};
        for (const int64_t k : {1, 7, 512, 1499, 1500, 1600}) {
            CAPTURE(k);
            const Indices expected = question.ask(*ops, k);
            for_every_isa(pool, [&](Ops& cpu) { CHECK(question.ask(cpu, k) == expected); });
        }
    }
    // Weights of both signs of zero: all scores are zeros, whatever their sign.
    ExactQuestion zeros(in.random, 1, 2, 100);
    zeros.weights.view.row(0)[0] = to_bf16(-0.0F);
    zeros.weights.view.row(0)[1] = to_bf16(-0.0F);
    Indices expected(30);
    std::iota(expected.begin(), expected.end(), 0);
    for_every_isa(pool, [&](Ops& cpu) { CHECK(zeros.ask(cpu, 30) == expected); });
}

TEST_CASE_FIXTURE(Properties, "index_topk: nothing visible, no rows, no picks") {
    ExactQuestion question(in.random, 3, 5, 40);
    question.visible = {0, 2, 0};
    Question empty(0, 5);
    for_every_isa(pool, [&](Ops& cpu) {
        const Indices picks = question.ask(cpu, 3);
        CHECK(picks == question.ask(*ops, 3));
        CHECK(Indices(picks.begin(), picks.begin() + 3) == Indices{-1, -1, -1});
        CHECK(picks[5] == -1);
        CHECK(empty.ask(cpu, 3).empty());
        CHECK(question.ask(cpu, 0).empty());
    });
}

// One group of 32 has values, so a dot product is one integer times a power of two: exact with any scales, whatever
// overflows to infinity or falls below the smallest normal number included.
TEST_CASE_FIXTURE(Properties, "index_topk follows the scales from one end of E8M0 to the other") {
    for (const uint64_t query_scale : {0U, 1U, 60U, 127U, 200U, 243U}) {
        CAPTURE(query_scale);
        Question question(1, 1);
        question.q = {random_row(in.random, query_scale, 1)};
        question.weights.view.row(0)[0] = to_bf16(query_scale % 2 == 0 ? 0.75F : -0.75F);
        for (int scale = 0; scale < 255; ++scale) {
            IndexRow entry = random_row(in.random, 0, 255);
            const size_t group = in.random.below(4);
            for (size_t i = 0; i < entry.codes.size(); ++i) {
                if (i / 16 != group) entry.codes[i] = 0x80;  // −0 and 0
            }
            entry.scales[group] = static_cast<uint8_t>(scale);
            question.entries.push_back(entry);
        }
        question.visible = {255};
        const Indices expected = question.ask(*ops, 255);
        for_every_isa(pool, [&](Ops& cpu) { CHECK(question.ask(cpu, 255) == expected); });
    }
}

// With scales far apart fp32 sums are not exact. What a pick may be worth less than the reference's of the same rank:
// a dot product is off by three additions in fp32 and perhaps one bf16 step; so is its product with the weight, and the
// score by one step and 64 additions.
TEST_CASE_FIXTURE(Properties, "index_topk picks entries as good as the reference's") {
    constexpr int64_t kHeads = 64, kEntries = 3000, kPicks = 200;
    Question question(1, kHeads);
    question.q = random_rows(in.random, kHeads, 112, 24);
    question.entries = random_rows(in.random, kEntries, 112, 24);
    in.bf16(question.weights);
    question.visible = {kEntries};

    std::vector<double> scores(kEntries), errors(kEntries);
    for (size_t s = 0; s < kEntries; ++s) {
        double key[kIndexDim], query[kIndexDim], sizes = 0;
        reference::decode_row(question.entries[s], key);
        for (size_t h = 0; h < kHeads; ++h) {
            reference::decode_row(question.q[h], query);
            double dot = 0, size = 0;
            for (size_t i = 0; i < kIndexDim; ++i) {
                dot += query[i] * key[i];
                size += std::fabs(query[i] * key[i]);
            }
            const double weight = static_cast<double>(to_float(question.weights.view.row(0)[h]));
            const double term = std::max(dot, 0.0) * weight;
            scores[s] += term;
            sizes += std::fabs(term);
            errors[s] += std::fabs(weight) * size * 3 * 0x1p-24 + std::fabs(term) * 0x1p-7;
        }
        errors[s] += std::fabs(scores[s]) * 0x1p-8 + sizes * kHeads * 0x1p-24;
    }
    const double error = *std::max_element(errors.begin(), errors.end());
    const Indices expected = question.ask(*ops, kPicks);
    for_every_isa(pool, [&](Ops& cpu) {
        const Indices picks = question.ask(cpu, kPicks);
        for (size_t i = 0; i < kPicks; ++i) {
            REQUIRE(picks[i] >= 0);
            REQUIRE(picks[i] < kEntries);
            CHECK(scores[static_cast<size_t>(picks[i])] >=
                  scores[static_cast<size_t>(expected[i])] - 2 * error);
        }
        Indices sorted = picks;
        std::sort(sorted.begin(), sorted.end());
        CHECK(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());
    });
}

TEST_CASE_FIXTURE(Properties, "index_topk: damaged numbers still give distinct visible entries") {
    ExactQuestion question(in.random, 2, 3, 200);
    question.weights.view.row(0)[1] = Bf16{0x7FC0};
    for (const size_t s : {size_t{3}, size_t{50}, size_t{199}}) question.entries[s].scales[1] = 255;
    for (IndexRow& q : question.q) q.scales[2] = static_cast<uint8_t>(in.random.below(256));
    for_every_isa(pool, [&](Ops& cpu) {
        for (const int64_t k : {1, 60, 200}) {
            const Indices picks = question.ask(cpu, k);
            for (int64_t r = 0; r < 2; ++r) {
                Indices row(picks.begin() + r * k, picks.begin() + (r + 1) * k);
                std::sort(row.begin(), row.end());
                CHECK(row.front() >= 0);
                CHECK(row.back() < 200);
                CHECK(std::adjacent_find(row.begin(), row.end()) == row.end());
            }
            // Row 0 has no score that is a number: all count as the lowest, and the first entries win.
            for (int64_t i = 0; i < k; ++i) CHECK(picks[static_cast<size_t>(i)] == i);
        }
    });
}

TEST_CASE_FIXTURE(Properties, "index_topk: a row's picks do not depend on its company") {
    Question question(kRows, 5);
    question.q = random_rows(in.random, kRows * 5, 112, 24);
    question.entries = random_rows(in.random, 1100, 112, 24);
    in.bf16(question.weights);
    for (int64_t r = 0; r < kRows; ++r) {
        question.visible.push_back(static_cast<int32_t>(in.random.below(1101)));
    }
    for (const FastOps& fast : fast_ops(Activations::kFp8)) {
        CAPTURE(fast.name);
        Indices expected;
        for (const int threads : fast.threads) {
            Pool some(threads);
            const auto cpu = fast.make(some);
            for (const int64_t batch : {int64_t{1}, int64_t{7}, kRows}) {
                CAPTURE(threads);
                CAPTURE(batch);
                Indices computed;
                for (int64_t r = 0; r < kRows; r += batch) {
                    const Indices part = question.ask(*cpu, 33, r, std::min(batch, kRows - r));
                    computed.insert(computed.end(), part.begin(), part.end());
                }
                if (expected.empty()) expected = computed;
                CHECK(computed == expected);
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties, "the selection sorts all that bf16 can hold") {
    for (const uint64_t kinds : {uint64_t{1} << 16, uint64_t{300}, uint64_t{2}}) {
        std::vector<Bf16> scores;
        while (scores.size() < 20011) {
            const auto bits = static_cast<uint16_t>(in.random.below(kinds) * 40503);
            const bool nan = (bits & 0x7FFF) > 0x7F80;
            if (!nan && bits != 0x8000) scores.push_back(Bf16{bits});
        }
        Indices order(scores.size());
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
            const float x = to_float(scores[static_cast<size_t>(a)]);
            const float y = to_float(scores[static_cast<size_t>(b)]);
            return x != y ? x > y : a < b;
        });
        for (const Isa isa : available_isas()) {
            for (const int64_t kept : {1, 2, 511, 512, 20010, 20011}) {
                std::vector<Bf16> room = scores;
                room.resize((scores.size() + 15) / 16 * 16, Bf16{0x7F80});
                Indices picks(static_cast<size_t>(kept)), scratch(picks.size());
                kernels_of(isa).indexer.select(room.data(), 20011, kept, scratch.data(),
                                               picks.data());
                CHECK(std::equal(picks.begin(), picks.end(), order.begin()));
            }
        }
    }
}

}  // namespace millrace
