// Attention of every ISA against the exact function, with bounds that follow from the number formats.

#include <doctest/doctest.h>

#include <limits>

#include "tests/kernels/cpu_fixture.h"
#include "tests/kernels/properties.h"
#include "tests/support/golden.h"

namespace millrace {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Queries, keys and sinks, and the lists of keys of each query.
struct Attention {
    Attention(int64_t queries, int64_t heads, size_t keys)
        : q(queries, heads * kHeadDim), sink(static_cast<size_t>(heads)), rows(keys) {}
    // Random codes of all sizes, and queries for which a few keys count.
    void fill(Inputs& in) {
        in.bf16(q, 0.5F);
        for (float& v : sink) v = in.real();
        for (KvRow& row : rows) {
            for (uint8_t& code : row.codes)
                code = static_cast<uint8_t>(in.random.below(2) * 128 + in.random.below(0x50));
            for (uint8_t& scale : row.scales)
                scale = static_cast<uint8_t>(121 + in.random.below(4));
            for (Bf16& v : row.rope) v = to_bf16(in.real() * 0.3F);
        }
    }
    // The first `window` rows and then `entries` others.
    void add_list(size_t window, size_t entries) {
        if (pointers.empty()) {
            for (const KvRow& row : rows) pointers.push_back(&row);
        }
        const std::span<const KvRow* const> all(pointers);
        lists.push_back({all.first(window), all.subspan(window, entries)});
    }
    [[nodiscard]] int64_t heads() const { return static_cast<int64_t>(sink.size()); }

    Rows<Bf16> q;
    std::vector<float> sink;
    std::vector<KvRow> rows;
    std::vector<const KvRow*> pointers;
    std::vector<KeyList> lists;
};

struct Bounds {
    Bf16 low, high;
};

// Between which bf16 values a channel must lie, for each of 512 channels of one head, when sums are fp32 in any order that
// adds at most kSteps terms one after another. u = 2⁻²⁴ is the error of one rounding.
//
// * A score a = Σ q·k·512^−½ is wrong by at most (kSteps + 4)·u·Σ|q·k|·512^−½; so is M.
// * P = exp(a − M) is wrong by ρ = errors of a and M + u·|a − M| + 4u (exp), relatively.
// * b(P) is then the exact one, or where a tie of bf16 lies within ρ of P, that one's neighbour: 2⁻⁷·P away at most.
// * Σ b(P)·V is wrong by kSteps·u·Σ b(P)·|V| besides. Products below the normal numbers may be lost (AVX-512 BF16 does so).
// * Σ P + exp(sink − M) is wrong by kSteps·u, and by the ρ of its terms, relatively.
std::vector<Bounds> bounds_of(std::span<const Bf16> q, const std::vector<std::vector<float>>& keys,
                              float sink) {
    constexpr double u = 0x1p-24;
    constexpr double kSteps = 200;
    const double scale = 1 / std::sqrt(512.0);
    std::vector<double> a, wrong;
    double most = -std::numeric_limits<double>::infinity();
    double most_wrong = 0;
    for (const auto& key : keys) {
        double sum = 0, size = 0;
        for (size_t i = 0; i < kHeadDim; ++i) {
            const double product =
                static_cast<double>(to_float(q[i])) * static_cast<double>(key[i]);
            sum += product;
            size += std::fabs(product);
        }
        a.push_back(sum * scale);
        wrong.push_back((kSteps + 4) * u * size * scale);
        most = std::max(most, a.back());
        most_wrong = std::max(most_wrong, wrong.back());
    }
    std::vector<double> exact(kHeadDim), error(kHeadDim), size(kHeadDim);
    double total = std::exp(static_cast<double>(sink) - most);
    double total_error =
        total * (most_wrong + u * std::fabs(static_cast<double>(sink) - most) + 4 * u);
    for (size_t k = 0; k < keys.size(); ++k) {
        const double p = std::exp(a[k] - most);
        const double rho = wrong[k] + most_wrong + u * std::fabs(a[k] - most) + 4 * u;
        const auto rounded = [](double x) { return to_bf16(static_cast<float>(x)); };
        const bool sure = rounded(p * (1 - rho)) == rounded(p * (1 + rho)) && p > 0x1p-125;
        const double weight = static_cast<double>(to_float(rounded(p)));
        total += p;
        total_error += p * rho;
        for (size_t i = 0; i < kHeadDim; ++i) {
            const double v = std::fabs(static_cast<double>(keys[k][i]));
            exact[i] += weight * static_cast<double>(keys[k][i]);
            size[i] += weight * v;
            if (!sure) error[i] += p > 0x1p-125 ? 0x1p-7 * p * v : p * v;
            error[i] += std::min(weight * v, 0x1p-126);
        }
    }
    std::vector<Bounds> out;
    const double relative = total_error / total + kSteps * u;
    for (size_t i = 0; i < kHeadDim; ++i) {
        const double value = exact[i] / total;
        const double e = (error[i] + kSteps * u * size[i]) / total + std::fabs(value) * relative;
        out.push_back(
            {to_bf16(static_cast<float>(value - e)), to_bf16(static_cast<float>(value + e))});
    }
    return out;
}

// How many channels of `computed` lie outside, and how wide the bounds are beside what they hold.
struct Verdict {
    int64_t outside = 0;
    double width = 0, size = 0;
};
Verdict judge(const Attention& problem, MatrixView<const Bf16> computed) {
    Verdict out;
    for (int64_t r = 0; r < computed.rows; ++r) {
        const KeyList& list = problem.lists[static_cast<size_t>(r)];
        std::vector<std::vector<float>> keys;
        for (const KvRow* row : list.window) keys.push_back(unpack(*row));
        for (const KvRow* row : list.entries) keys.push_back(unpack(*row));
        for (int64_t h = 0; h < problem.heads(); ++h) {
            const auto at = static_cast<size_t>(h * kHeadDim);
            const auto bounds = bounds_of(problem.q.view.row(r).subspan(at, kHeadDim), keys,
                                          problem.sink[static_cast<size_t>(h)]);
            for (size_t i = 0; i < kHeadDim; ++i) {
                const float y = to_float(computed.row(r)[at + i]);
                const bool inside = to_float(bounds[i].low) <= y && y <= to_float(bounds[i].high);
                out.outside += inside ? 0 : 1;
                out.width +=
                    static_cast<double>(to_float(bounds[i].high) - to_float(bounds[i].low));
                out.size += static_cast<double>(std::fabs(y));
            }
        }
    }
    return out;
}

std::string attended(Ops& ops, const Attention& problem, int64_t first, int64_t count) {
    Rows<Bf16> out(count, problem.q.view.cols);
    ops.attend(
        problem.q.view.slice_rows(first, count),
        std::span(problem.lists).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
        problem.sink, out.view);
    std::string bytes;
    add_bytes(bytes, out.view);
    return bytes;
}

// One query of one head over `problem.rows`.
std::vector<float> attend_one(Ops& ops, Attention& problem) {
    problem.lists.clear();
    problem.add_list(problem.rows.size(), 0);
    Rows<Bf16> out(1, problem.q.view.cols, Bf16{0x4444});
    ops.attend(problem.q.view, problem.lists, problem.sink, out.view);
    std::vector<float> floats;
    for (const Bf16 v : out.view.row(0)) floats.push_back(to_float(v));
    return floats;
}

}  // namespace

TEST_CASE_FIXTURE(
    Properties, "attention lies within the bounds of fp32 sums, for any number of keys and heads") {
    // Numbers of keys around every tile and chunk; of heads as models and small models have them.
    struct Size {
        int64_t heads;
        size_t window, entries;
    };
    for (const Size size :
         {Size{1, 1, 0}, Size{3, 0, 2}, Size{12, 3, 0}, Size{16, 7, 8}, Size{17, 16, 15},
          Size{5, 31, 1}, Size{2, 20, 13}, Size{4, 63, 0}, Size{1, 40, 24}, Size{3, 64, 1},
          Size{2, 127, 0}, Size{33, 64, 65}, Size{64, 128, 65}, Size{128, 9, 24}, Size{1, 128, 513},
          Size{2, 128, 2048}}) {
        CAPTURE(size.heads);
        CAPTURE(size.window + size.entries);
        Attention problem(1, size.heads, size.window + size.entries);
        problem.fill(in);
        problem.add_list(size.window, size.entries);
        Rows<Bf16> computed(1, problem.q.view.cols);
        ops->attend(problem.q.view, problem.lists, problem.sink, computed.view);
        CHECK(judge(problem, computed.view).outside == 0);
        for_every_isa(pool, [&](Ops& cpu) {
            cpu.attend(problem.q.view, problem.lists, problem.sink, computed.view);
            const Verdict verdict = judge(problem, computed.view);
            CHECK(verdict.outside == 0);
            // The bounds say something: on the average they are less than two steps of bf16 apart.
            CHECK(verdict.width < verdict.size * 0x1p-6);
        });
    }
}

TEST_CASE_FIXTURE(Properties,
                  "attention of the golden queries lies within the bounds of fp32 sums") {
    const test::GoldenTensors file{"model/ops.safetensors"};
    auto q = file.values<Bf16>("attend.q");
    auto kv = file.values<Bf16>("attend.kv");
    const auto ids = file.values<int32_t>("attend.ids");
    const auto cols = static_cast<int64_t>(q.size() / 3);
    Attention problem(3, cols / kHeadDim, kv.size() / kHeadDim);
    problem.sink = file.values<float>("attend.sink");
    ops->pack_kv({kv.data(), static_cast<int64_t>(problem.rows.size()), kHeadDim}, problem.rows);
    std::vector<const KvRow*> present[3];
    for (size_t r = 0; r < 3; ++r) {
        std::ranges::copy(
            std::span(q).subspan(r * static_cast<size_t>(cols), static_cast<size_t>(cols)),
            problem.q.view.row(static_cast<int64_t>(r)).begin());
        for (const int32_t id : std::span(ids).subspan(r * ids.size() / 3, ids.size() / 3)) {
            if (id >= 0) present[r].push_back(&problem.rows[static_cast<size_t>(id)]);
        }
        const size_t window = std::min<size_t>(7, present[r].size());
        problem.lists.push_back({std::span<const KvRow* const>(present[r]).first(window),
                                 std::span<const KvRow* const>(present[r]).subspan(window)});
    }
    Rows<Bf16> computed(3, cols);
    for_every_isa(pool, [&](Ops& cpu) {
        cpu.attend(problem.q.view, problem.lists, problem.sink, computed.view);
        CHECK(judge(problem, computed.view).outside == 0);
    });
}

TEST_CASE_FIXTURE(
    Properties, "an attended query has the same bits in any company, with any number of threads") {
    // 20 heads cut over many threads fall into pieces of 16 and 4.
    constexpr int64_t kQueries = 11;
    Attention problem(kQueries, 20, 300);
    problem.fill(in);
    for (int64_t r = 0; r < kQueries; ++r)
        problem.add_list(in.random.below(140), r == 4 ? 0 : in.random.below(160));
    for (const FastOps& fast : fast_ops(Activations::kFp8)) {
        CAPTURE(fast.name);
        Pool one(1);
        const auto alone = fast.make(one);
        std::string expected;
        for (int64_t r = 0; r < kQueries; ++r) expected += attended(*alone, problem, r, 1);
        std::vector<int> thread_counts = fast.threads;
        if (thread_counts.size() > 1) thread_counts.push_back(9);
        for (const int threads : thread_counts) {
            CAPTURE(threads);
            Pool several(threads);
            const auto cpu = fast.make(several);
            for (const int64_t batch : {int64_t{1}, int64_t{2}, int64_t{7}, kQueries}) {
                CAPTURE(batch);
                std::string computed;
                for (int64_t r = 0; r < kQueries; r += batch)
                    computed += attended(*cpu, problem, r, std::min(batch, kQueries - r));
                CHECK(computed == expected);
            }
        }
    }
}

TEST_CASE_FIXTURE(Properties,
                  "where keys lie and which of them are in the window does not show in attention") {
    Attention problem(1, 6, 130);
    problem.fill(in);
    problem.add_list(130, 0);
    problem.add_list(41, 89);
    // The same rows at addresses that are multiples of 2 only, among others.
    std::vector<std::byte> elsewhere(131 * sizeof(KvRow) + 2);
    Attention moved(1, 6, 130);
    moved.sink = problem.sink;
    std::ranges::copy(problem.q.values, moved.q.values.begin());
    auto* const rows = reinterpret_cast<KvRow*>(elsewhere.data() + 2);
    for (size_t k = 0; k < 130; ++k) {
        const size_t at = k * 37 % 131;
        std::memcpy(rows + at, &problem.rows[k], sizeof(KvRow));
        moved.pointers.push_back(rows + at);
    }
    moved.add_list(64, 66);
    for_every_isa(pool, [&](Ops& cpu) {
        const std::string expected = attended(cpu, problem, 0, 1);
        problem.lists[0] = problem.lists[1];
        CHECK(attended(cpu, problem, 0, 1) == expected);
        CHECK(attended(cpu, moved, 0, 1) == expected);
    });
}

TEST_CASE_FIXTURE(Properties, "attention to nothing is nothing, and no query is no work") {
    Attention problem(3, 2, 5);
    problem.fill(in);
    problem.add_list(0, 0);
    problem.add_list(2, 3);
    problem.add_list(0, 0);
    for (const float sink : {-kInfinity, -3.0F, 1e30F}) {
        problem.sink[0] = sink;
        for_every_isa(pool, [&](Ops& cpu) {
            Rows<Bf16> out(3, 2 * kHeadDim, Bf16{0x4444});
            cpu.attend(problem.q.view, problem.lists, problem.sink, out.view);
            for (const int64_t r : {0, 2})
                for (const Bf16 v : out.view.row(r)) CHECK(v == Bf16{});
            CHECK(out.view.row(1)[600] != Bf16{});
            cpu.attend({problem.q.view.data, 0, 2 * kHeadDim}, {}, problem.sink,
                       {out.view.data, 0, 2 * kHeadDim});
        });
    }
}

TEST_CASE_FIXTURE(Properties, "one key without a sink is its own average; a large sink takes all") {
    Attention problem(1, 1, 1);
    problem.fill(in);
    const std::vector<float> value = unpack(problem.rows[0]);
    for_every_isa(pool, [&](Ops& cpu) {
        problem.sink[0] = -kInfinity;
        CHECK(attend_one(cpu, problem) == value);
        for (const float sink : {1e30F, kInfinity}) {
            problem.sink[0] = sink;
            for (const float y : attend_one(cpu, problem)) CHECK(y == 0);
        }
        problem.sink[0] = kNan;
        for (const float y : attend_one(cpu, problem)) CHECK(std::isnan(y));
    });
}

TEST_CASE_FIXTURE(Properties, "every code and every scale of a key is decoded exactly") {
    // One key without a sink gives the key back. 448 codes hold every number twice but one; group scales from 2⁻¹²⁷, whose
    // values are no longer normal, to the largest at which no value leaves bf16.
    Attention problem(1, 1, 1);
    problem.sink[0] = -kInfinity;
    KvRow& row = problem.rows[0];
    for (size_t i = 0; i < row.codes.size(); ++i) {
        const auto code = static_cast<uint8_t>(i % 256);
        row.codes[i] = code % 128 == 127 ? uint8_t{0} : code;
    }
    for (size_t i = 0; i < row.rope.size(); ++i)
        row.rope[i].bits = static_cast<uint16_t>(i * 1021 % 0x7F80);
    for (int scale = 0; scale <= 246; ++scale) {
        CAPTURE(scale);
        row.scales.fill(static_cast<uint8_t>(scale));
        std::vector<float> value = unpack(row);
        for (float& v : value) v = to_float(to_bf16(v));  // below 2⁻¹²⁶ bits are missing
        for_every_isa(pool, [&](Ops& cpu) {
            const std::vector<float> y = attend_one(cpu, problem);
            for (size_t i = 0; i < kHeadDim; ++i) {
                const bool normal = std::fabs(value[i]) >= 0x1p-126F;
                if (y[i] != value[i] && (normal || y[i] != 0))
                    FAIL_CHECK("channel ", i, ": ", y[i], " for ", value[i]);
            }
        });
    }
}

TEST_CASE_FIXTURE(Properties, "a head that meets NaN gives NaN, and no other does") {
    Attention problem(1, 18, 70);
    problem.fill(in);
    const auto check = [&](const char* what, const std::function<bool(int64_t head)>& is_lost) {
        CAPTURE(what);
        const std::vector<float> expected = attend_one(*ops, problem);
        for_every_isa(pool, [&](Ops& cpu) {
            const std::vector<float> y = attend_one(cpu, problem);
            for (size_t i = 0; i < y.size(); ++i) {
                const bool lost = is_lost(static_cast<int64_t>(i) / kHeadDim);
                if (std::isnan(y[i]) != lost || std::isnan(expected[i]) != lost)
                    FAIL_CHECK("element ", i, ": ", y[i], " where the reference has ", expected[i]);
            }
        });
    };
    check("nothing", [](int64_t) { return false; });
    Bf16& element = problem.q.view.row(0)[17 * kHeadDim + 5];
    element = to_bf16(kNan);
    check("query", [](int64_t head) { return head == 17; });
    element = to_bf16(kInfinity);
    check("infinite query", [](int64_t head) { return head == 17; });
    element = Bf16{};
    for (const size_t k : {size_t{0}, size_t{33}, size_t{69}}) {
        const KvRow kept = problem.rows[k];
        const auto all = [](int64_t) { return true; };
        problem.rows[k].codes[100] = 0xFF;
        check("code", all);
        problem.rows[k] = kept;
        problem.rows[k].scales[6] = 255;
        check("scale", all);
        problem.rows[k] = kept;
        problem.rows[k].rope[63] = to_bf16(kNan);
        check("rotated channel", all);
        problem.rows[k] = kept;
    }
}

}  // namespace millrace
