// Rows in and out of the streams and the sums beside them: embed, add, stream_mean, combine, swiglu, index_weights,
// place_rows.
//
//   embed          streams[r][j] = table[token_r], j = 0…3              reads 2d, writes 8d bytes a row
//   add            out = a + b → bf16                                   reads 2d + 2cd, writes 2cd
//   stream_mean    out = Σ_j X_j / 4 → bf16                             reads 8d, writes 2d
//   combine        out = Σ experts in increasing id, then shared        reads 2d(k + 1), writes 2d
//   swiglu         weight · silu(min(g, limit)) · clamp(u) → bf16       reads 4i, writes 2i
//   index_weights  w · factor → bf16, in place                          reads and writes 2h
//   place_rows     out[places[i]] = rows[i]                             reads and writes 2d
//
// Bound: a row is a few ten kilobytes, so a decode step waits for one trip to memory (a few microseconds), a prefill for
// bandwidth. The one idea: each thread owns 8 neighbouring columns, 16 bytes, of all that a column needs; nothing is shared,
// and no sum crosses threads.

#include <cmath>
#include <limits>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/formulas.cuh"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"

namespace millrace::cuda {
namespace {

__device__ inline int64_t first_column() {
    return (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kChunk;
}

struct EmbedTask {
    const uint8_t* table;
    const TokenId* tokens;
    int64_t vocabulary, cols;
    Bf16* streams;
    int64_t stride;
};

template <bool kVectors>
__global__ void embed_kernel(EmbedTask t) {
    const int64_t row = blockIdx.x;
    const int64_t first = first_column();
    const int64_t token = t.tokens[row].value;
    if (first >= t.cols || token < 0 || token >= t.vocabulary) return;
    const uint8_t* from = t.table + (token * t.cols + first) * 2;
    Bf16* to = t.streams + row * t.stride + first;
    if constexpr (kVectors) {
        const auto chunk = load_vector<Bf16x8>(from);
        for (int64_t j = 0; j < kStreams; ++j) store_vector(to + j * t.cols, chunk);
    } else {
        for (int i = 0; i < kChunk && first + i < t.cols; ++i) {
            const Bf16 value{static_cast<uint16_t>(from[2 * i] | from[2 * i + 1] << 8)};
            for (int64_t j = 0; j < kStreams; ++j) to[j * t.cols + i] = value;
        }
    }
}

struct AddTask {
    const Bf16* a;
    const Bf16* b;
    Bf16* out;
    int64_t a_stride, b_stride, out_stride;
    int64_t cols;  // of a
    int count;
};

template <bool kVectors>
__global__ void add_kernel(AddTask t) {
    const int64_t row = blockIdx.x;
    const int64_t first = first_column();
    if (first >= t.cols) return;
    float a[kChunk];
    load_chunk<kVectors>(t.a + row * t.a_stride, first, t.cols, a);
    for (int64_t v = 0; v < t.count; ++v) {
        float b[kChunk];
        load_chunk<kVectors>(t.b + row * t.b_stride + v * t.cols, first, t.cols, b);
        for (int i = 0; i < kChunk; ++i) b[i] = a[i] + b[i];
        store_chunk<kVectors>(b, first, t.cols, t.out + row * t.out_stride + v * t.cols);
    }
}

struct MeanTask {
    const Bf16* streams;
    Bf16* out;
    int64_t streams_stride, out_stride, cols;
};

template <bool kVectors>
__global__ void stream_mean_kernel(MeanTask t) {
    const int64_t row = blockIdx.x;
    const int64_t first = first_column();
    if (first >= t.cols) return;
    float sum[kChunk] = {};
    for (int64_t j = 0; j < kStreams; ++j) {
        float x[kChunk];
        load_chunk<kVectors>(t.streams + row * t.streams_stride + j * t.cols, first, t.cols, x);
        for (int i = 0; i < kChunk; ++i) sum[i] += x[i];
    }
    for (float& v : sum) v *= 1.0F / kStreams;
    store_chunk<kVectors>(sum, first, t.cols, t.out + row * t.out_stride);
}

struct CombineTask {
    const Bf16* experts;
    const int32_t* ids;
    const Bf16* shared;
    Bf16* out;
    int64_t experts_stride, ids_stride, shared_stride, out_stride;
    int64_t cols;
    int count;
};

template <bool kVectors>
__global__ void combine_kernel(CombineTask t) {
    const int64_t row = blockIdx.x;
    const int64_t first = first_column();
    // order[p]: which of the row's experts comes p-th by id.
    __shared__ int order[kExpertsMax];
    const int32_t* ids = t.ids + row * t.ids_stride;
    for (int j = static_cast<int>(threadIdx.x); j < t.count; j += static_cast<int>(blockDim.x)) {
        int place = 0;
        for (int other = 0; other < t.count; ++other)
            place += ids[other] < ids[j] || (ids[other] == ids[j] && other < j) ? 1 : 0;
        order[place] = j;
    }
    __syncthreads();
    if (first >= t.cols) return;
    float sum[kChunk] = {};
    for (int p = 0; p < t.count; ++p) {
        float x[kChunk];
        load_chunk<kVectors>(t.experts + (row * t.count + order[p]) * t.experts_stride, first,
                             t.cols, x);
        for (int i = 0; i < kChunk; ++i) sum[i] += x[i];
    }
    float x[kChunk];
    load_chunk<kVectors>(t.shared + row * t.shared_stride, first, t.cols, x);
    for (int i = 0; i < kChunk; ++i) sum[i] += x[i];
    store_chunk<kVectors>(sum, first, t.cols, t.out + row * t.out_stride);
}

struct SwigluTask {
    const Bf16* gate;
    const Bf16* up;
    Bf16* out;
    const float* weights;  // one a row, or null
    int64_t gate_stride, up_stride, out_stride, cols;
    float limit;
};

template <bool kVectors>
__global__ void swiglu_kernel(SwigluTask t) {
    const int64_t row = blockIdx.x;
    const int64_t first = first_column();
    if (first >= t.cols) return;
    float gate[kChunk];
    float up[kChunk];
    load_chunk<kVectors>(t.gate + row * t.gate_stride, first, t.cols, gate);
    load_chunk<kVectors>(t.up + row * t.up_stride, first, t.cols, up);
    const float weight = t.weights == nullptr ? 1 : t.weights[row];
    for (int i = 0; i < kChunk; ++i) gate[i] = weight * swiglu_of(gate[i], up[i], t.limit);
    store_chunk<kVectors>(gate, first, t.cols, t.out + row * t.out_stride);
}

struct ScaleTask {
    Bf16* values;
    int64_t stride, cols;
    float factor;
};

template <bool kVectors>
__global__ void scale_kernel(ScaleTask t) {
    const int64_t first = first_column();
    if (first >= t.cols) return;
    Bf16* row = t.values + static_cast<int64_t>(blockIdx.x) * t.stride;
    float x[kChunk];
    load_chunk<kVectors>(row, first, t.cols, x);
    for (float& v : x) v *= t.factor;
    store_chunk<kVectors>(x, first, t.cols, row);
}

struct PlaceTask {
    const Bf16* rows;
    const int32_t* places;
    Bf16* out;
    int64_t rows_stride, out_stride, out_rows, cols;
};

// Bits as they are: a NaN stays the one that it was.
template <bool kVectors>
__global__ void place_kernel(PlaceTask t) {
    const int64_t row = blockIdx.x;
    const int64_t first = first_column();
    const int64_t place = t.places[row];
    if (first >= t.cols || place < 0 || place >= t.out_rows) return;
    const Bf16* from = t.rows + row * t.rows_stride + first;
    Bf16* to = t.out + place * t.out_stride + first;
    if constexpr (kVectors) {
        store_vector(to, load_vector<Bf16x8>(from));
    } else {
        for (int i = 0; i < kChunk && first + i < t.cols; ++i) to[i] = from[i];
    }
}

}  // namespace

void CudaOps::embed(const LinearWeight& table, std::span<const TokenId> tokens,
                    MatrixView<Bf16> streams) {
    ENSURE(table.format == WeightFormat::kBf16 && streams.cols == kStreams * table.cols &&
           static_cast<size_t>(streams.rows) == tokens.size());
    const EmbedTask task{reinterpret_cast<const uint8_t*>(table.codes),
                         tokens.data(),
                         table.rows,
                         table.cols,
                         streams.data,
                         streams.stride};
    const LaunchConfig config = elementwise_config(streams.rows, table.cols);
    if (fits_vectors({table.codes, streams.data}, {2 * table.cols, 2 * streams.stride})) {
        launch<embed_kernel<true>>(config, stream_, task);
    } else {
        launch<embed_kernel<false>>(config, stream_, task);
    }
}

void CudaOps::add(MatrixView<const Bf16> a, MatrixView<const Bf16> b, int count,
                  MatrixView<Bf16> out) {
    ENSURE(b.cols == a.cols * count && out.cols == b.cols && a.rows == b.rows &&
           b.rows == out.rows);
    const AddTask task{a.data, b.data, out.data, a.stride, b.stride, out.stride, a.cols, count};
    const LaunchConfig config = elementwise_config(a.rows, a.cols);
    if (fits_vectors({a.data, b.data, out.data},
                     {2 * a.cols, 2 * a.stride, 2 * b.stride, 2 * out.stride})) {
        launch<add_kernel<true>>(config, stream_, task);
    } else {
        launch<add_kernel<false>>(config, stream_, task);
    }
}

void CudaOps::stream_mean(MatrixView<const Bf16> streams, MatrixView<Bf16> out) {
    ENSURE(streams.cols == kStreams * out.cols && streams.rows == out.rows);
    const MeanTask task{streams.data, out.data, streams.stride, out.stride, out.cols};
    const LaunchConfig config = elementwise_config(out.rows, out.cols);
    if (fits_vectors({streams.data, out.data},
                     {2 * out.cols, 2 * streams.stride, 2 * out.stride})) {
        launch<stream_mean_kernel<true>>(config, stream_, task);
    } else {
        launch<stream_mean_kernel<false>>(config, stream_, task);
    }
}

void CudaOps::combine(MatrixView<const Bf16> expert_out, MatrixView<const int32_t> ids,
                      MatrixView<const Bf16> shared, MatrixView<Bf16> out) {
    const int64_t k = ids.cols;
    ENSURE(k <= kExpertsMax && expert_out.rows == ids.rows * k && out.rows == ids.rows &&
           shared.rows == out.rows && expert_out.cols == out.cols && shared.cols == out.cols);
    const CombineTask task{expert_out.data,   ids.data,           shared.data,   out.data,
                           expert_out.stride, ids.stride,         shared.stride, out.stride,
                           out.cols,          static_cast<int>(k)};
    const LaunchConfig config = elementwise_config(out.rows, out.cols);
    if (fits_vectors({expert_out.data, shared.data, out.data},
                     {2 * out.cols, 2 * expert_out.stride, 2 * shared.stride, 2 * out.stride})) {
        launch<combine_kernel<true>>(config, stream_, task);
    } else {
        launch<combine_kernel<false>>(config, stream_, task);
    }
}

void CudaOps::swiglu(MatrixView<const Bf16> gate, MatrixView<const Bf16> up,
                     std::span<const float> route_weights, float limit, MatrixView<Bf16> out) {
    ENSURE(gate.rows == up.rows && up.rows == out.rows && gate.cols == up.cols &&
           up.cols == out.cols);
    ENSURE(route_weights.empty() || route_weights.size() == static_cast<size_t>(gate.rows));
    const SwigluTask task{
        gate.data,   up.data,   out.data,   route_weights.empty() ? nullptr : route_weights.data(),
        gate.stride, up.stride, out.stride, out.cols,
        limit};
    const LaunchConfig config = elementwise_config(out.rows, out.cols);
    if (fits_vectors({gate.data, up.data, out.data},
                     {2 * out.cols, 2 * gate.stride, 2 * up.stride, 2 * out.stride})) {
        launch<swiglu_kernel<true>>(config, stream_, task);
    } else {
        launch<swiglu_kernel<false>>(config, stream_, task);
    }
}

void CudaOps::index_weights(MatrixView<Bf16> weights) {
    // As the official code has it: one factor, rounded to fp32 once.
    const auto factor = static_cast<float>(1.0 / std::sqrt(static_cast<double>(kIndexDim)) *
                                           (1.0 / std::sqrt(static_cast<double>(weights.cols))));
    const ScaleTask task{weights.data, weights.stride, weights.cols, factor};
    const LaunchConfig config = elementwise_config(weights.rows, weights.cols);
    if (fits_vectors({weights.data}, {2 * weights.cols, 2 * weights.stride})) {
        launch<scale_kernel<true>>(config, stream_, task);
    } else {
        launch<scale_kernel<false>>(config, stream_, task);
    }
}

void CudaOps::place_rows(MatrixView<const Bf16> rows, std::span<const int32_t> places,
                         MatrixView<Bf16> out) {
    ENSURE(rows.cols == out.cols && static_cast<int64_t>(places.size()) == rows.rows);
    const PlaceTask task{rows.data,  places.data(), out.data, rows.stride,
                         out.stride, out.rows,      rows.cols};
    const LaunchConfig config = elementwise_config(rows.rows, rows.cols);
    if (fits_vectors({rows.data, out.data}, {2 * rows.cols, 2 * rows.stride, 2 * out.stride})) {
        launch<place_kernel<true>>(config, stream_, task);
    } else {
        launch<place_kernel<false>>(config, stream_, task);
    }
}

}  // namespace millrace::cuda
