// The lightning indexer: one query is cut into pieces of its entries, many queries into groups as well, each of which
// reads an entry once.

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/pieces.h"

namespace millrace {

namespace {

constexpr int64_t kPieceEntries = 1024;
constexpr int64_t kGroupRows = 4;  // their 64 heads stay in the first-level cache
static_assert(kPieceEntries % kIndexBlock == 0);

}  // namespace

void CpuOps::index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                        std::span<const IndexRow> entries, std::span<const int32_t> visible,
                        MatrixView<int32_t> picks) {
    const int64_t n = picks.rows;
    ENSURE(weights.rows == n && q.size() == static_cast<size_t>(n * weights.cols) &&
           visible.size() == static_cast<size_t>(n));
    for (const int32_t count : visible) {
        ENSURE(count >= 0 && static_cast<size_t>(count) <= entries.size());
    }
    const int64_t in_flight =
        std::min(n, std::max<int64_t>(4 * kGroupRows, int64_t{2} * pool_.threads()));
    for (int64_t first = 0; first < n; first += in_flight) {
        const int64_t rows = std::min(in_flight, n - first);
        const auto here = static_cast<size_t>(first);
        index_flight(q.subspan(here * static_cast<size_t>(weights.cols)),
                     weights.slice_rows(first, rows), entries.data(),
                     visible.subspan(here, static_cast<size_t>(rows)),
                     picks.slice_rows(first, rows));
    }
}

// Some rows whose scores are kept at the same time.
void CpuOps::index_flight(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                          const IndexRow* entries, std::span<const int32_t> visible,
                          MatrixView<int32_t> picks) {
    const int64_t rows = picks.rows;
    const int64_t heads = weights.cols;
    const int64_t most = *std::max_element(visible.begin(), visible.end());
    const int64_t stride = (most + kIndexBlock - 1) / kIndexBlock * kIndexBlock;
    IndexHead* queries = index_heads_.take(static_cast<size_t>(rows * heads)).data();
    Bf16* scores = index_scores_.take(static_cast<size_t>(rows * stride)).data();
    int32_t* scratch = index_order_.take(static_cast<size_t>(rows * picks.cols)).data();

    in_pieces(pool_, rows, heads * kIndexDim, [&](int64_t from, int64_t to) {
        for (int64_t r = from; r < to; ++r) {
            kernels_.indexer.prepare(q.data() + r * heads, weights.row(r).data(), heads,
                                     queries + r * heads);
        }
    });
    const int64_t groups = (rows + kGroupRows - 1) / kGroupRows;
    const int64_t pieces = (most + kPieceEntries - 1) / kPieceEntries;
    pool_.run(groups * pieces, [&](int64_t i) {
        const int64_t row = i % groups * kGroupRows;
        const int64_t entry = i / groups * kPieceEntries;
        int64_t counts[kGroupRows] = {};
        const int64_t group = std::min(kGroupRows, rows - row);
        for (int64_t r = 0; r < group; ++r) {
            const int64_t left = visible[static_cast<size_t>(row + r)] - entry;
            counts[r] = std::clamp<int64_t>(left, 0, kPieceEntries);
        }
        kernels_.indexer.score({.queries = queries + row * heads,
                                .rows = group,
                                .heads = heads,
                                .entries = entries + entry,
                                .counts = counts,
                                .scores = scores + row * stride + entry,
                                .stride = stride});
    });
    pool_.run(rows, [&](int64_t r) {
        const int64_t count = visible[static_cast<size_t>(r)];
        const std::span row = picks.row(r);
        const int64_t kept = std::min(count, picks.cols);
        kernels_.indexer.select(scores + r * stride, count, kept, scratch + r * picks.cols,
                                row.data());
        std::fill(row.begin() + kept, row.end(), -1);
    });
}

}  // namespace millrace
