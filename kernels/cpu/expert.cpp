// One expert (spec §4.9): gate and up are one product over the same rows, then SwiGLU, the grid, and down.

#include <array>

#include "kernels/cpu/cpu_ops.h"

namespace millrace {

void CpuOps::expert(const LinearInput& x, std::span<const int32_t> rows,
                    const ExpertWeights& weights, std::span<const float> route_weights, float limit,
                    MatrixView<Bf16> out) {
    const auto n = static_cast<int64_t>(rows.size());
    const int64_t inner = weights.w1.rows;
    ENSURE(out.rows == n && out.cols == weights.w2.rows && weights.w2.cols == inner);
    ENSURE(route_weights.empty() || route_weights.size() == rows.size());
    ENSURE(weights.w1.format == weights.w3.format && weights.w1.cols == weights.w3.cols);
    if (n == 0) return;
    const auto count = static_cast<size_t>(n * inner);
    const MatrixView<Bf16> gate(expert_.gate.take(count).data(), n, inner);
    const MatrixView<Bf16> up(expert_.up.take(count).data(), n, inner);
    const ReadyRows both = ready(x, rows, weights.w1, 1, tiles_of(n, weights.w1.cols));
    const std::array products = {Product{whole(weights.w1, gate), both},
                                 Product{whole(weights.w3, up), both}};
    multiply(products);

    swiglu(gate, up, route_weights, limit, gate);

    LinearInput hidden;
    hidden.rows = gate;
    if (weights.w2.quantised() && options_.activations == Activations::kFp8) {
        const int64_t groups = (inner + 127) / 128;
        hidden.quantised = {
            {expert_.codes.take(count).data(), n, inner},
            {expert_.scales.take(static_cast<size_t>(n * groups)).data(), n, groups}};
        quantise(gate, hidden.quantised);
    }
    linear(hidden, weights.w2, out);
}

}  // namespace millrace
