// The router (spec §4.9): scores sqrt(softplus(l)), the k largest of score + bias (lower id first on a tie), weights from
// the scores alone, normalised, times route_scale.
//
//   logits [n, E] fp32 → ids, weights [n, k]                     reads 8E, writes 8k a row
//
// Bound: latency, a few microseconds of one block a row. The one idea: every thread counts how many experts come before
// its own, which is that expert's place: no rounds of maxima and no barrier but one. Logarithm and exponential are double
// ones as in the reference, since a choice must not differ from it; that is three of them for each expert and costs about as
// much as the trip to memory on GPUs with few fp64 units.

#include <cmath>
#include <limits>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/launch.cuh"

namespace millrace::cuda {
namespace {

struct RouteTask {
    const float* logits;
    const float* bias;
    const int32_t* fixed;  // or null
    int32_t* ids;
    float* weights;
    int64_t logits_stride, fixed_stride, ids_stride, weights_stride;
    int experts, count;
    float scale;
};

// Above 20 softplus is the identity. A root of fp32 taken in fp32 is what one of double rounds to.
__device__ inline float sqrt_softplus(float logit) {
    const auto l = static_cast<double>(logit);
    const float soft = l > 20 ? logit : static_cast<float>(std::log1p(std::exp(l)));
    return std::sqrt(soft);
}

__global__ void __launch_bounds__(kRowThreads) route_kernel(RouteTask t) {
    auto* scores = dynamic_shared<float>();
    float* choices = scores + t.experts;
    __shared__ int chosen[kExpertsMax];
    const int64_t row = blockIdx.x;
    const auto thread = static_cast<int>(threadIdx.x);
    for (int e = thread; e < t.experts; e += kRowThreads) {
        scores[e] = sqrt_softplus(t.logits[row * t.logits_stride + e]);
        if (t.fixed == nullptr) {
            // NaN would be before and behind everything at once: it comes last.
            const float choice = scores[e] + t.bias[e];
            choices[e] = choice == choice ? choice : -std::numeric_limits<float>::infinity();
        }
    }
    if (t.fixed != nullptr && thread < t.count)
        chosen[thread] = t.fixed[row * t.fixed_stride + thread];
    __syncthreads();
    if (t.fixed == nullptr) {
        for (int e = thread; e < t.experts; e += kRowThreads) {
            const float own = choices[e];
            int place = 0;
            for (int other = 0; other < t.experts; ++other) {
                const float choice = choices[other];
                place += choice > own || (choice == own && other < e) ? 1 : 0;
            }
            if (place < t.count) chosen[place] = e;
        }
        __syncthreads();
    }
    if (thread >= t.count) return;
    double sum = 0;
    for (int j = 0; j < t.count; ++j) {
        const int id = chosen[j];
        sum += static_cast<double>(id >= 0 && id < t.experts ? scores[id] : 0);
    }
    const int id = chosen[thread];
    const float score = id >= 0 && id < t.experts ? scores[id] : 0;
    t.ids[row * t.ids_stride + thread] = id;
    t.weights[row * t.weights_stride + thread] = score / static_cast<float>(sum) * t.scale;
}

}  // namespace

void CudaOps::route(MatrixView<const float> logits, std::span<const float> bias,
                    MatrixView<const int32_t> fixed, const RouterConfig& config,
                    MatrixView<int32_t> ids, MatrixView<float> weights) {
    const int k = config.experts_per_token;
    ENSURE(k <= logits.cols && k <= kExpertsMax && ids.cols == k && weights.cols == k);
    ENSURE(ids.rows == logits.rows && weights.rows == logits.rows);
    ENSURE(fixed.data != nullptr ? fixed.rows == logits.rows && fixed.cols == k
                                 : bias.size() == static_cast<size_t>(logits.cols));
    const RouteTask task{logits.data,
                         bias.data(),
                         fixed.data,
                         ids.data,
                         weights.data,
                         logits.stride,
                         fixed.stride,
                         ids.stride,
                         weights.stride,
                         static_cast<int>(logits.cols),
                         k,
                         config.route_scale};
    const auto shared = static_cast<uint32_t>(2 * logits.cols) * uint32_t{sizeof(float)};
    launch<route_kernel>(row_config(logits.rows, shared), stream_, task);
}

}  // namespace millrace::cuda
