// The router (spec §4.9): sqrt(softplus), choice by score + bias, weights from the scores alone.

#include <algorithm>

#include "kernels/reference/canonical.h"
#include "kernels/reference/formulas.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

namespace reference {

float sqrt_softplus(float logit) {
    const auto l = static_cast<double>(logit);
    const float soft = l > 20 ? logit : f(std::log1p(std::exp(l)));
    return f(std::sqrt(static_cast<double>(soft)));
}

}  // namespace reference

void ReferenceOps::route(MatrixView<const float> logits, std::span<const float> bias,
                         MatrixView<const int32_t> fixed, const RouterConfig& config,
                         MatrixView<int32_t> ids, MatrixView<float> weights) {
    const auto experts = static_cast<size_t>(logits.cols);
    const auto k = static_cast<size_t>(config.experts_per_token);
    ENSURE(k <= experts && ids.cols == config.experts_per_token && weights.cols == ids.cols);
    ENSURE(fixed.data != nullptr || bias.size() == experts);
    double* scores = scores_.take(2 * experts).data();
    double* choice = scores + experts;
    const std::span order = order_.take(experts);
    for (int64_t r = 0; r < logits.rows; ++r) {
        for (size_t e = 0; e < experts; ++e) {
            const float score = sqrt_softplus(logits.row(r)[e]);
            scores[e] = static_cast<double>(score);
            if (fixed.data == nullptr) choice[e] = static_cast<double>(score + bias[e]);
            order[e] = static_cast<int32_t>(e);
        }
        if (fixed.data != nullptr) {
            std::copy_n(fixed.row(r).begin(), k, ids.row(r).begin());
        } else {
            std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k),
                              order.end(), [choice](int32_t x, int32_t y) {
                                  return choice[x] != choice[y] ? choice[x] > choice[y] : x < y;
                              });
            std::copy_n(order.begin(), k, ids.row(r).begin());
        }
        double sum = 0;
        for (const int32_t id : ids.row(r)) {
            ENSURE(id >= 0 && static_cast<size_t>(id) < experts);
            sum += scores[id];
        }
        const double total = static_cast<double>(f(sum));
        for (size_t j = 0; j < k; ++j) {
            weights.row(r)[j] = f(scores[ids.row(r)[j]] / total) * config.route_scale;
        }
    }
}

}  // namespace millrace
