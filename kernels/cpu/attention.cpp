// Attention over packed keys: cutting one query, or many, over the threads.

#include <atomic>
#include <cmath>

#include "kernels/cpu/cpu_ops.h"

namespace millrace {
namespace {

// Everything that one query in flight needs between its passes.
struct Flight {
    const KvRow** keys;
    Bf16* queries;  // [256][lanes] pairs
    float* scores;  // [keys][lanes]
    Bf16* weights;  // [keys / 2][lanes] pairs
    float* most;    // [chunks][lanes]; the first row then holds that of all keys
    float* totals;  // likewise
};

struct Query {
    std::span<const Bf16> q;
    const KeyList& keys;
    std::span<const float> sink;
    std::span<Bf16> out;
};

[[nodiscard]] int64_t chunks_of(int64_t keys) { return (keys + kKeyChunk - 1) / kKeyChunk; }

// Σ P + exp(sink − M) of each head, and M, from what the chunks have; both end in their first rows.
void merge_most(float* most, int64_t chunks, int64_t lanes) {
    for (int64_t i = 1; i < chunks; ++i) {
        for (int64_t l = 0; l < lanes; ++l) most[l] = std::max(most[l], most[i * lanes + l]);
    }
}
void merge_totals(const Flight& flight, int64_t chunks, int64_t lanes,
                  std::span<const float> sink) {
    for (int64_t i = 1; i < chunks; ++i) {
        for (int64_t l = 0; l < lanes; ++l) flight.totals[l] += flight.totals[i * lanes + l];
    }
    for (size_t h = 0; h < sink.size(); ++h) {
        const float beyond = sink[h] - flight.most[h] * kScoreScale;
        flight.totals[h] += static_cast<float>(std::exp(static_cast<double>(beyond)));
    }
}

// The three passes of one query. run(count, body) calls body(i) for every i < count and returns when all are done;
// `threads` is how many may do so at a time.
template <class Run>
void attend_query(const AttentionKernels& kernels, const Query& query, const Flight& flight,
                  int threads, const Run& run) {
    const auto heads = static_cast<int64_t>(query.sink.size());
    const int64_t lanes = (heads + 15) / 16 * 16;
    const KvRow** end = std::ranges::copy(query.keys.window, flight.keys).out;
    end = std::ranges::copy(query.keys.entries, end).out;
    const int64_t count = end - flight.keys;
    if (count == 0) {
        std::ranges::fill(query.out, Bf16{});
        return;
    }
    const int64_t chunks = chunks_of(count);
    const auto keys_of = [count](int64_t chunk) {
        return std::min(kKeyChunk, count - chunk * kKeyChunk);
    };
    kernels.turn_queries(query.q.data(), heads, lanes, flight.queries);
    run(chunks, [&](int64_t i) {
        kernels.scores(flight.keys + i * kKeyChunk, keys_of(i), flight.queries, lanes,
                       flight.scores + i * kKeyChunk * lanes, flight.most + i * lanes);
    });
    merge_most(flight.most, chunks, lanes);
    run(chunks, [&](int64_t i) {
        const int64_t at = i * kKeyChunk * lanes;
        kernels.weights(flight.scores + at, keys_of(i), lanes, flight.most, flight.weights + at,
                        flight.totals + i * lanes);
    });
    merge_totals(flight, chunks, lanes, query.sink);
    // Fewer heads a piece mean that more pieces decode the same keys.
    int64_t block = kValueHeads;
    while (block > 16 && (heads + block - 1) / block * kKeyGroups < 2 * int64_t{threads})
        block /= 2;
    run((heads + block - 1) / block * kKeyGroups, [&](int64_t i) {
        const int64_t first = i / kKeyGroups * block;
        const int64_t group = i % kKeyGroups;
        kernels.values(flight.keys, count, static_cast<int>(group), flight.weights + 2 * first,
                       lanes, std::min(block, heads - first), flight.totals + first,
                       query.out.data() + first * kHeadDim + group * kKvGroup);
    });
}

// Vectors are loaded twice as fast when none lies across two cache lines.
template <class T>
[[nodiscard]] T* take_aligned(Workspace<T>& workspace, int64_t count) {
    constexpr size_t kLine = 64;
    T* const at = workspace.take(static_cast<size_t>(count) + kLine / sizeof(T)).data();
    const size_t beyond = reinterpret_cast<uintptr_t>(at) % kLine;
    return at + (kLine - beyond) % kLine / sizeof(T);
}

}  // namespace

void CpuOps::attend(MatrixView<const Bf16> q, const KeyLists& keys, std::span<const float> sink,
                    MatrixView<Bf16> out) {
    ENSURE(q.cols == static_cast<int64_t>(sink.size()) * kHeadDim && out.cols == q.cols);
    ENSURE(keys.lists.size() == static_cast<size_t>(q.rows) && out.rows == q.rows);
    if (q.rows == 0) return;
    // With few queries all threads work on each in turn; with many each thread has its own.
    const int threads = pool_.threads();
    const int64_t rounds = (q.rows + threads - 1) / threads;
    const bool each_its_own = rounds * threads * 4 <= q.rows * 5;
    const int64_t flights = each_its_own ? threads : 1;

    const auto most_keys = keys.longest;
    const int64_t chunks = std::max<int64_t>(chunks_of(most_keys), 1);
    const int64_t lanes = (static_cast<int64_t>(sink.size()) + 15) / 16 * 16;
    const int64_t scores = chunks * kKeyChunk * lanes;
    const Flight first{
        .keys = attention_.keys.take(static_cast<size_t>(flights * most_keys)).data(),
        .queries = take_aligned(attention_.queries, flights * kHeadDim * lanes),
        .scores = take_aligned(attention_.scores, flights * scores),
        .weights = take_aligned(attention_.weights, flights * scores),
        .most = take_aligned(attention_.most, flights * chunks * lanes),
        .totals = take_aligned(attention_.totals, flights * chunks * lanes)};
    const auto attend_row = [&](int64_t r, int64_t flight, int helping, const auto& run) {
        attend_query(kernels_.attention,
                     {q.row(r), keys.lists[static_cast<size_t>(r)], sink, out.row(r)},
                     {.keys = first.keys + flight * most_keys,
                      .queries = first.queries + flight * kHeadDim * lanes,
                      .scores = first.scores + flight * scores,
                      .weights = first.weights + flight * scores,
                      .most = first.most + flight * chunks * lanes,
                      .totals = first.totals + flight * chunks * lanes},
                     helping, run);
    };
    if (!each_its_own) {
        for (int64_t r = 0; r < q.rows; ++r) {
            attend_row(r, 0, threads,
                       [this](int64_t count, const auto& body) { pool_.run(count, body); });
        }
        return;
    }
    std::atomic<int64_t> next{0};
    pool_.run(threads, [&](int64_t flight) {
        for (;;) {
            const int64_t r = next.fetch_add(1, std::memory_order_relaxed);
            if (r >= q.rows) return;
            attend_row(r, flight, 1, [](int64_t count, const auto& body) {
                for (int64_t i = 0; i < count; ++i) body(i);
            });
        }
    });
}

}  // namespace millrace
