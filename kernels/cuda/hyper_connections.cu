// Hyper-connections (spec §4.2, §4.10): hc_reduce, hc_expand, hc_head.
//
//   m = f(fn·x) · inv_rms(x), 24 (a head: 4) numbers of a row x of 4d columns
//   pre, post from sigmoids, comb [4][4] by 20 Sinkhorn rounds;   y = Σ_j pre_j·X_j → bf16
//   hc_expand: X'_k = post_k·y + Σ_j comb_jk·X_j → bf16, in place
//
// Bytes: fn is 24·4d·4 (Flash 1.6 MB, Pro 2.8 MB) and is read once for up to 8 rows; a row is 8d, read twice, the second
// time from the caches. 86 times a token: 135 MB of Flash, so bandwidth is the bound. The one idea: the columns of fn are
// cut into pieces of 128, one block each, so that every processor reads a part of it; sums of pieces go to scratch, and
// every block that makes a part of y adds them up again in the order of columns. No atomics; the Sinkhorn rounds (four
// shuffles and two quotients each) run in one warp of a row's first block instead of in a third launch.

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/arithmetic.cuh"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/warp.cuh"

namespace millrace::cuda {
namespace {

constexpr int kWarps = kRowThreads / kWarp;
constexpr int kColumns = kMixColumns / kWarp;  // of a lane
constexpr int kSums = kMixes + 1;              // the products, and the sum of squares

struct MixTask {
    const Bf16* streams;
    const float* fn;
    float* sums;  // [rows][pieces][kSums]
    int64_t stride, cols, rows, pieces;
};

struct alignas(16) Floats4 {
    float at[kColumns];
};

template <bool kVectors>
__device__ inline void load_fn(const float* fn, int64_t first, int64_t cols,
                               float (&out)[kColumns]) {
    if constexpr (kVectors) {
        const auto four = load_vector<Floats4>(fn + first);
        for (int i = 0; i < kColumns; ++i) out[i] = four.at[i];
    } else {
        for (int i = 0; i < kColumns; ++i) out[i] = first + i < cols ? fn[first + i] : 0;
    }
}
__device__ inline float dot(const float (&a)[kColumns], const float (&b)[kColumns]) {
    float sum = 0;
    for (int i = 0; i < kColumns; ++i) sum = std::fma(a[i], b[i], sum);
    return sum_of_warp(sum);
}

// A block: one piece of columns, up to kMixRows rows. Warp w has the outputs w, w + 8, w + 16; the last one the squares too.
template <int kResults, bool kVectors>
__global__ void __launch_bounds__(kRowThreads) mix_kernel(MixTask t) {
    constexpr int kOwn = (kResults + kWarps - 1) / kWarps;
    const int warp = warp_of_thread();
    const int64_t piece = blockIdx.x;
    const int64_t first = piece * kMixColumns + lane_of_thread() * kColumns;
    const bool inside = !kVectors || first < t.cols;
    float fn[kOwn][kColumns] = {};
    for (int own = 0; own < kOwn; ++own) {
        const int output = warp + own * kWarps;
        if (output < kResults && inside)
            load_fn<kVectors>(t.fn + output * t.cols, first, t.cols, fn[own]);
    }
    const int64_t begin = static_cast<int64_t>(blockIdx.y) * kMixRows;
    for (int64_t row = begin; row < begin + kMixRows && row < t.rows; ++row) {
        float x[kColumns] = {};
        if (inside) load_chunk<kVectors>(t.streams + row * t.stride, first, t.cols, x);
        float* sums = t.sums + (row * t.pieces + piece) * kSums;
        for (int own = 0; own < kOwn; ++own) {
            const int output = warp + own * kWarps;
            if (output >= kResults) break;
            const float sum = dot(fn[own], x);
            if (lane_of_thread() == 0) sums[output] = sum;
        }
        if (warp == kWarps - 1) {
            const float squares = dot(x, x);
            if (lane_of_thread() == 0) sums[kMixes] = squares;
        }
    }
}

struct ReduceTask {
    const Bf16* streams;
    const float* sums;
    const float* base;
    const float* scale;
    Bf16* y;
    float* post;
    float* comb;
    int64_t streams_stride, y_stride, post_stride, comb_stride;
    int64_t hidden, pieces;
    float norm_eps, eps;
    int rounds;
};

// The sums over all pieces of a row's kResults products and, behind them at kMixes, its squares, to `totals`.
template <int kResults>
__device__ inline void add_pieces(const ReduceTask& t, float (&parts)[kWarps][kSums],
                                  float (&totals)[kSums]) {
    const int lane = lane_of_thread();
    const bool wanted = lane < kResults || lane == kMixes;
    if (wanted) {
        const float* sums = t.sums + static_cast<int64_t>(blockIdx.x) * t.pieces * kSums + lane;
        float sum = 0;
        for (int64_t piece = warp_of_thread(); piece < t.pieces; piece += kWarps)
            sum += sums[piece * kSums];
        parts[warp_of_thread()][lane] = sum;
    }
    __syncthreads();
    if (warp_of_thread() == 0 && wanted) {
        float sum = 0;
        for (int w = 0; w < kWarps; ++w) sum += parts[w][lane];
        totals[lane] = sum;
    }
    __syncthreads();
}

// Lane l of a warp has comb[l / 4 % 4][l % 4]; all 32 lanes take part.
__device__ inline float row_sum(float c) {
    const float two = c + __shfl_xor_sync(kAllLanes, c, 1);
    return two + __shfl_xor_sync(kAllLanes, two, 2);
}
__device__ inline float column_sum(float c) {
    const float two = c + __shfl_xor_sync(kAllLanes, c, 4);
    return two + __shfl_xor_sync(kAllLanes, two, 8);
}
__device__ inline float row_most(float c) {
    for (int distance = 1; distance <= 2; distance *= 2) {
        const float other = __shfl_xor_sync(kAllLanes, c, distance);
        c = c < other ? other : c;
    }
    return c;
}

// Softmax of the rows (+ eps), then columns and rows in turn, ending on columns.
__device__ inline float sinkhorn(float c, int rounds, float eps) {
    c = exponential(c - row_most(c));
    c = c / row_sum(c) + eps;
    for (int round = 0; round < rounds; ++round) {
        if (round > 0) c = c / (row_sum(c) + eps);
        c = c / (column_sum(c) + eps);
    }
    return c;
}

// y of this block's columns: two columns a thread.
template <bool kVectors>
__device__ inline void weighted_sum(const ReduceTask& t, const float (&weights)[kStreams]) {
    const Bf16* streams = t.streams + static_cast<int64_t>(blockIdx.x) * t.streams_stride;
    const int64_t first = static_cast<int64_t>(blockIdx.y) * kReduceColumns + threadIdx.x * 2;
    if (first >= t.hidden) return;
    float sum[2] = {};
    for (int64_t j = 0; j < kStreams; ++j) {
        float x[2];
        load_chunk<kVectors>(streams + j * t.hidden, first, t.hidden, x);
        for (int i = 0; i < 2; ++i)
            sum[i] = j == 0 ? weights[0] * x[i] : std::fma(weights[j], x[i], sum[i]);
    }
    store_chunk<kVectors>(sum, first, t.hidden,
                          t.y + static_cast<int64_t>(blockIdx.x) * t.y_stride);
}

__device__ inline float inv_rms(const ReduceTask& t, float squares) {
    const auto count = static_cast<float>(kStreams * t.hidden);
    return 1.0F / std::sqrt(squares / count + t.norm_eps);
}

template <bool kVectors>
__global__ void __launch_bounds__(kRowThreads) reduce_kernel(ReduceTask t) {
    __shared__ float parts[kWarps][kSums];
    __shared__ float totals[kSums];
    __shared__ float pre[kStreams];
    add_pieces<kMixes>(t, parts, totals);
    if (warp_of_thread() == 0) {
        const int lane = lane_of_thread();
        const float factor = inv_rms(t, totals[kMixes]);
        const auto logit = [&](int m, int part) {
            return std::fma(totals[m] * factor, t.scale[part], t.base[m]);
        };
        const bool writes = blockIdx.y == 0;
        if (lane < kStreams) {
            pre[lane] = sigmoid(logit(lane, 0)) + t.eps;
        } else if (lane < 2 * kStreams && writes) {
            t.post[static_cast<int64_t>(blockIdx.x) * t.post_stride + lane - kStreams] =
                2.0F * sigmoid(logit(lane, 1));
        }
        if (writes) {
            const float c = sinkhorn(logit(2 * kStreams + lane % 16, 2), t.rounds, t.eps);
            if (lane < 16) t.comb[static_cast<int64_t>(blockIdx.x) * t.comb_stride + lane] = c;
        }
    }
    __syncthreads();
    weighted_sum<kVectors>(t, pre);
}

template <bool kVectors>
__global__ void __launch_bounds__(kRowThreads) head_kernel(ReduceTask t) {
    __shared__ float parts[kWarps][kSums];
    __shared__ float totals[kSums];
    __shared__ float weights[kStreams];
    add_pieces<kStreams>(t, parts, totals);
    if (threadIdx.x < kStreams) {
        const float mix = totals[threadIdx.x] * inv_rms(t, totals[kMixes]);
        weights[threadIdx.x] = sigmoid(std::fma(mix, t.scale[0], t.base[threadIdx.x])) + t.eps;
    }
    __syncthreads();
    weighted_sum<kVectors>(t, weights);
}

struct ExpandTask {
    const Bf16* y;
    const float* post;
    const float* comb;
    Bf16* streams;
    int64_t y_stride, post_stride, comb_stride, streams_stride, hidden;
};

template <bool kVectors>
__global__ void expand_kernel(ExpandTask t) {
    const int64_t row = blockIdx.x;
    const int64_t first = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kChunk;
    if (first >= t.hidden) return;
    const float* post = t.post + row * t.post_stride;
    const float* comb = t.comb + row * t.comb_stride;
    Bf16* streams = t.streams + row * t.streams_stride;
    float y[kChunk];
    float old[kStreams][kChunk];
    load_chunk<kVectors>(t.y + row * t.y_stride, first, t.hidden, y);
    for (int j = 0; j < kStreams; ++j)
        load_chunk<kVectors>(streams + j * t.hidden, first, t.hidden, old[j]);
    for (int k = 0; k < kStreams; ++k) {
        float out[kChunk];
        for (int i = 0; i < kChunk; ++i) {
            // The first index of comb is the source stream.
            out[i] = post[k] * y[i];
            for (int j = 0; j < kStreams; ++j)
                out[i] = std::fma(comb[j * kStreams + k], old[j][i], out[i]);
        }
        store_chunk<kVectors>(out, first, t.hidden, streams + k * t.hidden);
    }
}

int64_t pieces_of(int64_t cols) { return (cols + kMixColumns - 1) / kMixColumns; }

}  // namespace

int64_t CudaOps::mix_scratch_bytes(int64_t rows, int64_t hidden) {
    return rows * pieces_of(kStreams * hidden) * kSums * static_cast<int64_t>(sizeof(float));
}

template <int kResults>
void CudaOps::mix(MatrixView<const Bf16> streams, std::span<const float> fn) {
    ENSURE(fn.size() == static_cast<size_t>(kResults * streams.cols));
    ENSURE(mix_scratch_bytes(streams.rows, streams.cols / kStreams) <=
           static_cast<int64_t>(scratch_.bytes()));
    const MixTask task{streams.data, fn.data(),    scratch_.as<float>(),   streams.stride,
                       streams.cols, streams.rows, pieces_of(streams.cols)};
    const LaunchConfig config = mix_config(streams.rows, streams.cols);
    if (fits_vectors({streams.data, fn.data()}, {2 * streams.stride, 4 * streams.cols})) {
        launch<mix_kernel<kResults, true>>(config, stream_, task);
    } else {
        launch<mix_kernel<kResults, false>>(config, stream_, task);
    }
}

void CudaOps::hc_reduce(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                        MatrixView<Bf16> y, MatrixView<float> post, MatrixView<float> comb) {
    ENSURE(streams.cols == kStreams * y.cols && site.base.size() == kMixes &&
           site.scale.size() == 3 && streams.rows == y.rows);
    mix<kMixes>(streams, site.fn);
    const ReduceTask task{streams.data,
                          scratch_.as<float>(),
                          site.base.data(),
                          site.scale.data(),
                          y.data,
                          post.data,
                          comb.data,
                          streams.stride,
                          y.stride,
                          post.stride,
                          comb.stride,
                          y.cols,
                          pieces_of(streams.cols),
                          site.norm_eps,
                          site.eps,
                          site.rounds};
    const LaunchConfig config = reduce_config(y.rows, y.cols);
    if (fits_vectors({streams.data, y.data}, {2 * y.cols, 2 * streams.stride, 2 * y.stride})) {
        launch<reduce_kernel<true>>(config, stream_, task);
    } else {
        launch<reduce_kernel<false>>(config, stream_, task);
    }
}

void CudaOps::hc_head(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                      MatrixView<Bf16> z) {
    ENSURE(streams.cols == kStreams * z.cols && site.base.size() == kStreams &&
           site.scale.size() == 1 && streams.rows == z.rows);
    mix<kStreams>(streams, site.fn);
    const ReduceTask task{streams.data,
                          scratch_.as<float>(),
                          site.base.data(),
                          site.scale.data(),
                          z.data,
                          nullptr,
                          nullptr,
                          streams.stride,
                          z.stride,
                          0,
                          0,
                          z.cols,
                          pieces_of(streams.cols),
                          site.norm_eps,
                          site.eps,
                          0};
    const LaunchConfig config = reduce_config(z.rows, z.cols);
    if (fits_vectors({streams.data, z.data}, {2 * z.cols, 2 * streams.stride, 2 * z.stride})) {
        launch<head_kernel<true>>(config, stream_, task);
    } else {
        launch<head_kernel<false>>(config, stream_, task);
    }
}

void CudaOps::hc_expand(MatrixView<const Bf16> y, MatrixView<const float> post,
                        MatrixView<const float> comb, MatrixView<Bf16> streams) {
    ENSURE(streams.cols == kStreams * y.cols && streams.rows == y.rows);
    const ExpandTask task{y.data,      post.data,   comb.data,      streams.data, y.stride,
                          post.stride, comb.stride, streams.stride, y.cols};
    const LaunchConfig config = elementwise_config(y.rows, y.cols);
    if (fits_vectors({y.data, streams.data}, {2 * y.cols, 2 * y.stride, 2 * streams.stride})) {
        launch<expand_kernel<true>>(config, stream_, task);
    } else {
        launch<expand_kernel<false>>(config, stream_, task);
    }
}

}  // namespace millrace::cuda
