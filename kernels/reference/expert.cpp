// One expert (spec §4.9): y = w2·aq128(weight·silu(g)·u), g = w1·x, u = w3·x, clamped; and the sum over experts.

#include "kernels/reference/canonical.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

void ReferenceOps::expert(const LinearInput& x, std::span<const int32_t> rows,
                          const ExpertWeights& weights, std::span<const float> route_weights,
                          float limit, MatrixView<Bf16> out) {
    const auto n = static_cast<int64_t>(rows.size());
    const int64_t inner = weights.w1.rows;
    ENSURE(out.rows == n && out.cols == weights.w2.rows && weights.w2.cols == inner);
    ENSURE(route_weights.empty() || route_weights.size() == rows.size());
    const int64_t d = weights.w1.cols;
    const auto count = [](int64_t rows_wanted, int64_t cols) {
        return static_cast<size_t>(rows_wanted * cols);
    };
    const MatrixView<Bf16> gate(gate_.take(count(n, inner)).data(), n, inner);
    const MatrixView<Bf16> up(up_.take(count(n, inner)).data(), n, inner);

    // The chosen rows, side by side.
    LinearInput chosen;
    if (weights.w1.quantised()) {
        const int64_t groups = x.quantised.scales.cols;
        chosen.quantised = {{codes_.take(count(n, d)).data(), n, d},
                            {scales_.take(count(n, groups)).data(), n, groups}};
        for (int64_t i = 0; i < n; ++i) {
            const int32_t from = rows[static_cast<size_t>(i)];
            std::ranges::copy(x.quantised.codes.row(from), chosen.quantised.codes.row(i).begin());
            std::ranges::copy(x.quantised.scales.row(from), chosen.quantised.scales.row(i).begin());
        }
    } else {
        const MatrixView<Bf16> copy(rows_.take(count(n, d)).data(), n, d);
        for (int64_t i = 0; i < n; ++i) {
            std::ranges::copy(x.rows.row(rows[static_cast<size_t>(i)]), copy.row(i).begin());
        }
        chosen.rows = copy;
    }
    linear(chosen, weights.w1, gate);
    linear(chosen, weights.w3, up);

    swiglu(gate, up, route_weights, limit, gate);

    LinearInput hidden;
    hidden.rows = gate;
    if (weights.w2.quantised()) {
        const int64_t groups = (inner + 127) / 128;
        hidden.quantised = {{codes_.take(count(n, inner)).data(), n, inner},
                            {scales_.take(count(n, groups)).data(), n, groups}};
        quantise(gate, hidden.quantised);
    }
    linear(hidden, weights.w2, out);
}

void ReferenceOps::swiglu(MatrixView<const Bf16> gate, MatrixView<const Bf16> up,
                          std::span<const float> route_weights, float limit, MatrixView<Bf16> out) {
    for (int64_t r = 0; r < gate.rows; ++r) {
        const double weight = route_weights.empty()
                                  ? 1.0
                                  : static_cast<double>(route_weights[static_cast<size_t>(r)]);
        for (size_t i = 0; i < static_cast<size_t>(gate.cols); ++i) {
            // The gate has no lower clamp.
            const double g = std::min(to_float(gate.row(r)[i]), limit);
            const double u = std::clamp(to_float(up.row(r)[i]), -limit, limit);
            out.row(r)[i] = bf(weight * (g * sigmoid(g) * u));
        }
    }
}

void ReferenceOps::combine(MatrixView<const Bf16> expert_out, MatrixView<const int32_t> ids,
                           MatrixView<const Bf16> shared, MatrixView<Bf16> out) {
    const int64_t k = ids.cols;
    ENSURE(expert_out.rows == ids.rows * k && out.rows == ids.rows && shared.rows == out.rows);
    const std::span order = order_.take(static_cast<size_t>(k));
    for (int64_t r = 0; r < out.rows; ++r) {
        for (size_t j = 0; j < order.size(); ++j) order[j] = static_cast<int32_t>(j);
        std::ranges::sort(order, [&](int32_t x, int32_t y) {
            return ids.row(r)[static_cast<size_t>(x)] < ids.row(r)[static_cast<size_t>(y)];
        });
        for (size_t i = 0; i < static_cast<size_t>(out.cols); ++i) {
            float sum = 0;
            for (const int32_t j : order) sum += to_float(expert_out.row(r * k + j)[i]);
            out.row(r)[i] = b(sum + to_float(shared.row(r)[i]));
        }
    }
}

}  // namespace millrace
