// Attention over window and compressed rows with a sink (spec §4.7): the same 512-vector is key and value.

#include "kernels/reference/canonical.h"
#include "kernels/reference/formulas.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

namespace {

// Doubles that one query row needs: its heads, and their sums over values.
[[nodiscard]] size_t row_doubles(size_t heads) { return 2 * heads * kHeadDim; }

// One query row, all heads, over `count` keys; decode_key(i, out) gives the 512 values of key i. probabilities:
// [heads][keys].
template <class DecodeKey>
void attend_row(std::span<const Bf16> q, size_t count, const DecodeKey& decode_key,
                std::span<const float> sink, float* probabilities, double* doubles,
                std::span<Bf16> out) {
    const size_t heads = sink.size();
    const float scale = f(1.0 / std::sqrt(static_cast<double>(kHeadDim)));
    double* queries = doubles;
    double* sums = doubles + heads * kHeadDim;
    for (size_t i = 0; i < q.size(); ++i) queries[i] = value(q[i]);
    double row[kHeadDim];
    for (size_t k = 0; k < count; ++k) {
        decode_key(k, row);
        for (size_t h = 0; h < heads; ++h) {
            probabilities[h * count + k] = f(dot(queries + h * kHeadDim, row, kHeadDim)) * scale;
        }
    }
    // The queries are used up: the first `heads` of them now hold the denominators.
    double* totals = doubles;
    for (size_t h = 0; h < heads; ++h) {
        float* p = probabilities + h * count;
        const float most = *std::max_element(p, p + count);
        totals[h] = static_cast<double>(f(std::exp(static_cast<double>(sink[h] - most))));
        for (size_t k = 0; k < count; ++k) {
            p[k] = f(std::exp(static_cast<double>(p[k] - most)));
            totals[h] += static_cast<double>(p[k]);
        }
    }
    std::fill(sums, sums + heads * kHeadDim, 0.0);
    for (size_t k = 0; k < count; ++k) {
        decode_key(k, row);
        for (size_t h = 0; h < heads; ++h) {
            const double weight = value(b(probabilities[h * count + k]));
            for (size_t i = 0; i < kHeadDim; ++i) sums[h * kHeadDim + i] += weight * row[i];
        }
    }
    for (size_t i = 0; i < out.size(); ++i) out[i] = bf(sums[i] / totals[i / kHeadDim]);
}

}  // namespace

namespace reference {

void attend_bf16(std::span<const Bf16> q, std::span<const Bf16* const> keys,
                 std::span<const float> sink, std::span<Bf16> out) {
    std::vector<float> probabilities(sink.size() * keys.size());
    std::vector<double> doubles(row_doubles(sink.size()));
    const auto decode_key = [keys](size_t k, double* row) {
        for (size_t i = 0; i < kHeadDim; ++i) row[i] = value(keys[k][i]);
    };
    attend_row(q, keys.size(), decode_key, sink, probabilities.data(), doubles.data(), out);
}

}  // namespace reference

void ReferenceOps::attend(MatrixView<const Bf16> q, const KeyLists& keys,
                          std::span<const float> sink, MatrixView<Bf16> out) {
    ENSURE(q.cols == static_cast<int64_t>(sink.size()) * kHeadDim && out.cols == q.cols);
    ENSURE(keys.lists.size() == static_cast<size_t>(q.rows) && out.rows == q.rows);
    const auto most = static_cast<size_t>(keys.longest);
    const int64_t in_flight = int64_t{4} * pool_.threads();
    const size_t each = most * sink.size();
    const size_t doubles = row_doubles(sink.size());
    const auto flights = static_cast<size_t>(in_flight);
    const std::span probabilities = probabilities_.take(flights * each);
    const std::span workspace = inputs_.take(flights * doubles);
    for (int64_t first = 0; first < q.rows; first += in_flight) {
        pool_.run(std::min(in_flight, q.rows - first), [&](int64_t i) {
            const KeyList& list = keys.lists[static_cast<size_t>(first + i)];
            const size_t in_window = list.window.size();
            const auto decode_key = [&](size_t k, double* row) {
                decode_row(k < in_window ? *list.window[k] : *list.entries[k - in_window], row);
            };
            attend_row(q.row(first + i), in_window + list.entries.size(), decode_key, sink,
                       probabilities.data() + static_cast<size_t>(i) * each,
                       workspace.data() + static_cast<size_t>(i) * doubles, out.row(first + i));
        });
    }
}

}  // namespace millrace
