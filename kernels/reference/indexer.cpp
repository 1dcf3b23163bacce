// The lightning indexer (spec §4.6): score_s = Σ_h relu(q_h·k_s)·w_h, and the best k entries.

#include <algorithm>

#include "kernels/reference/canonical.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

void ReferenceOps::index_weights(MatrixView<Bf16> weights) {
    const double heads = static_cast<double>(weights.cols);
    const float factor =
        f(1.0 / std::sqrt(static_cast<double>(kIndexDim)) * (1.0 / std::sqrt(heads)));
    for (int64_t r = 0; r < weights.rows; ++r) {
        for (Bf16& w : weights.row(r)) w = b(to_float(w) * factor);
    }
}

void ReferenceOps::index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                              std::span<const IndexRow> entries, std::span<const int32_t> visible,
                              MatrixView<int32_t> picks) {
    const int64_t n = picks.rows;
    const auto heads = static_cast<size_t>(weights.cols);
    ENSURE(q.size() == static_cast<size_t>(n) * heads && visible.size() == static_cast<size_t>(n));
    const int64_t in_flight = int64_t{4} * pool_.threads();
    const auto flights = static_cast<size_t>(in_flight);
    const std::span all_scores = scores_.take(flights * entries.size());
    const std::span all_orders = order_.take(flights * entries.size());
    const std::span all_queries = inputs_.take(flights * heads * kIndexDim);
    for (int64_t first = 0; first < n; first += in_flight) {
        pool_.run(std::min(in_flight, n - first), [&](int64_t i) {
            const auto r = static_cast<size_t>(first + i);
            const std::span scores(all_scores.data() + static_cast<size_t>(i) * entries.size(),
                                   entries.size());
            const auto count = static_cast<size_t>(visible[r]);
            ENSURE(count <= entries.size());
            double* queries = all_queries.data() + static_cast<size_t>(i) * heads * kIndexDim;
            for (size_t h = 0; h < heads; ++h)
                decode_row(q[r * heads + h], queries + h * kIndexDim);
            double key[kIndexDim];
            for (size_t s = 0; s < count; ++s) {
                decode_row(entries[s], key);
                double score = 0;
                for (size_t h = 0; h < heads; ++h) {
                    const float relu =
                        std::max(to_float(bf(dot(queries + h * kIndexDim, key, kIndexDim))), 0.0F);
                    score += value(b(relu * to_float(weights.row(first + i)[h])));
                }
                scores[s] = value(bf(score));
            }
            const std::span order(all_orders.data() + static_cast<size_t>(i) * entries.size(),
                                  count);
            for (size_t s = 0; s < count; ++s) order[s] = static_cast<int32_t>(s);
            const auto row = picks.row(first + i);
            const size_t kept = std::min(row.size(), count);
            std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept),
                              order.end(), [&scores](int32_t x, int32_t y) {
                                  const double sx = scores[static_cast<size_t>(x)];
                                  const double sy = scores[static_cast<size_t>(y)];
                                  return sx != sy ? sx > sy : x < y;
                              });
            std::copy_n(order.begin(), kept, row.begin());
            std::fill(row.begin() + static_cast<std::ptrdiff_t>(kept), row.end(), -1);
        });
    }
}

}  // namespace millrace
