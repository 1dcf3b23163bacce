// One expert (spec §4.9): gate and up are one product over the same rows, then SwiGLU, the grid, and down.

#include <array>

#include "kernels/cpu/cpu_ops.h"

namespace millrace {
namespace {

[[nodiscard]] bool take_one_row_each(std::span<const ExpertCall> calls) {
    return calls.size() > 1 && std::ranges::all_of(calls, [&](const ExpertCall& call) {
               const ExpertWeights& first = calls.front().weights;
               const auto same = [](const LinearWeight& a, const LinearWeight& b) {
                   return a.format == b.format && a.rows == b.rows && a.cols == b.cols;
               };
               return call.rows.size() == 1 && same(call.weights.w1, first.w1) &&
                      same(call.weights.w3, first.w1) && same(call.weights.w2, first.w2);
           });
}

}  // namespace

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

    linear(hidden_input(gate, weights.w2), weights.w2, out);
}

LinearInput CpuOps::hidden_input(MatrixView<const Bf16> hidden, const LinearWeight& w2) {
    LinearInput input;
    input.rows = hidden;
    if (w2.quantised() && options_.activations == Activations::kFp8) {
        const int64_t n = hidden.rows, groups = (hidden.cols + 127) / 128;
        input.quantised = {
            {expert_.codes.take(static_cast<size_t>(n * hidden.cols)).data(), n, hidden.cols},
            {expert_.scales.take(static_cast<size_t>(n * groups)).data(), n, groups}};
        quantise(hidden, input.quantised);
    }
    return input;
}

// One row of each expert: all gates and ups are one round of the pool, then all downs. A row alone makes a register tile,
// so each has its own place among the ready rows.
void CpuOps::experts(const LinearInput& x, std::span<const ExpertCall> calls, float limit) {
    if (!take_one_row_each(calls)) {
        Ops::experts(x, calls, limit);
        return;
    }
    const auto count = static_cast<int64_t>(calls.size());
    const ExpertWeights& shape = calls.front().weights;
    const int64_t inner = shape.w1.rows;
    const std::span rows = expert_.rows.take(calls.size());
    const std::span route_weights = expert_.route_weights.take(calls.size());
    for (size_t i = 0; i < calls.size(); ++i) {
        ENSURE(calls[i].out.cols == shape.w2.rows && shape.w2.cols == inner);
        rows[i] = calls[i].rows.front();
        route_weights[i] = calls[i].route_weights.empty() ? 1 : calls[i].route_weights.front();
    }
    const auto elements = static_cast<size_t>(count * inner);
    const MatrixView<Bf16> gate(expert_.gate.take(elements).data(), count, inner);
    const MatrixView<Bf16> up(expert_.up.take(elements).data(), count, inner);

    const std::span products = products_.take(2 * calls.size());
    const ReadyRows in = ready(x, rows, shape.w1, 1, tiles_of(count, shape.w1.cols, 1));
    for (int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<size_t>(i);
        const ExpertWeights& weights = calls[at].weights;
        products[2 * at] = {whole(weights.w1, gate.slice_rows(i, 1)), in.one_row(),
                            in.tiles.place(i)};
        products[2 * at + 1] = {whole(weights.w3, up.slice_rows(i, 1)), in.one_row(),
                                in.tiles.place(i)};
    }
    multiply(products);

    swiglu(gate, up, route_weights, limit, gate);

    const ReadyRows hidden =
        ready(hidden_input(gate, shape.w2), {}, shape.w2, 1, tiles_of(count, inner, 1));
    for (int64_t i = 0; i < count; ++i) {
        const ExpertCall& call = calls[static_cast<size_t>(i)];
        products[static_cast<size_t>(i)] = {whole(call.weights.w2, call.out), hidden.one_row(),
                                            hidden.tiles.place(i)};
    }
    multiply(products.first(calls.size()));
}

}  // namespace millrace
