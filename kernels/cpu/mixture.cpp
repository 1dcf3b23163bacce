// The mixture of experts besides its matrices (spec §4.9): the router, the middle of an expert, the sum over experts.

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/pieces.h"
#include "kernels/reference/formulas.h"

namespace millrace {
namespace {

// The k largest of sqrt_softplus(logit) + bias, best first, lower id first on a tie. `best` holds k sums meanwhile.
void take_best(std::span<const float> logits, std::span<const float> bias, std::span<float> best,
               std::span<int32_t> ids) {
    for (size_t e = 0; e < logits.size(); ++e) {
        const float choice = reference::sqrt_softplus(logits[e]) + bias[e];
        size_t place = std::min(e, ids.size());
        if (place == ids.size() && (place == 0 || !(choice > best[place - 1]))) continue;
        if (place == ids.size()) --place;  // the worst so far makes room
        while (place > 0 && choice > best[place - 1]) {
            best[place] = best[place - 1];
            ids[place] = ids[place - 1];
            --place;
        }
        best[place] = choice;
        ids[place] = static_cast<int32_t>(e);
    }
}

// A router's score costs a logarithm, an exponential and a root in double, the reference's: choices cannot differ from it.
constexpr int64_t kScoreCost = 32;
constexpr int64_t kSwigluCost = 8;

}  // namespace

void CpuOps::route(MatrixView<const float> logits, std::span<const float> bias,
                   MatrixView<const int32_t> fixed, const RouterConfig& config,
                   MatrixView<int32_t> ids, MatrixView<float> weights) {
    const auto experts = static_cast<size_t>(logits.cols);
    const auto k = static_cast<size_t>(config.experts_per_token);
    ENSURE(k <= experts && ids.cols == config.experts_per_token && weights.cols == ids.cols);
    ENSURE(ids.rows == logits.rows && weights.rows == logits.rows);
    ENSURE(fixed.data != nullptr ? fixed.rows == logits.rows && fixed.cols == ids.cols
                                 : bias.size() == experts);
    in_pieces(pool_, logits.rows, logits.cols * kScoreCost, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const std::span row = logits.row(r);
            const std::span chosen = ids.row(r);
            const std::span out = weights.row(r);
            if (fixed.data != nullptr) {
                std::ranges::copy(fixed.row(r), chosen.begin());
            } else {
                take_best(row, bias, out, chosen);
            }
            double sum = 0;
            for (size_t j = 0; j < k; ++j) {
                ENSURE(chosen[j] >= 0 && static_cast<size_t>(chosen[j]) < experts);
                out[j] = reference::sqrt_softplus(row[static_cast<size_t>(chosen[j])]);
                sum += static_cast<double>(out[j]);
            }
            const auto total = static_cast<double>(static_cast<float>(sum));
            for (float& w : out)
                w = static_cast<float>(static_cast<double>(w) / total) * config.route_scale;
        }
    });
}

void CpuOps::swiglu(MatrixView<const Bf16> gate, MatrixView<const Bf16> up,
                    std::span<const float> route_weights, float limit, MatrixView<Bf16> out) {
    ENSURE(gate.rows == up.rows && up.rows == out.rows && gate.cols == up.cols &&
           up.cols == out.cols);
    ENSURE(route_weights.empty() || route_weights.size() == static_cast<size_t>(gate.rows));
    in_pieces(pool_, gate.rows, gate.cols * kSwigluCost, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const float weight = route_weights.empty() ? 1 : route_weights[static_cast<size_t>(r)];
            kernels_.mixture.swiglu(gate.row(r).data(), up.row(r).data(), weight, limit, gate.cols,
                                    out.row(r).data());
        }
    });
}

void CpuOps::combine(MatrixView<const Bf16> expert_out, MatrixView<const int32_t> ids,
                     MatrixView<const Bf16> shared, MatrixView<Bf16> out) {
    const int64_t k = ids.cols;
    ENSURE(expert_out.rows == ids.rows * k && out.rows == ids.rows && shared.rows == out.rows);
    ENSURE(expert_out.cols == out.cols && shared.cols == out.cols);
    const std::span orders = order_.take(static_cast<size_t>(ids.rows * k));
    in_pieces(pool_, out.rows, (k + 1) * out.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const std::span id = ids.row(r);
            const std::span order = orders.subspan(static_cast<size_t>(r * k), id.size());
            for (size_t j = 0; j < order.size(); ++j) order[j] = static_cast<int32_t>(j);
            std::ranges::sort(order, [id](int32_t x, int32_t y) {
                return id[static_cast<size_t>(x)] < id[static_cast<size_t>(y)];
            });
            kernels_.mixture.sum_rows(expert_out.data + r * k * expert_out.stride,
                                      expert_out.stride, order.data(), k, shared.row(r).data(),
                                      out.cols, out.row(r).data());
        }
    });
}

}  // namespace millrace
