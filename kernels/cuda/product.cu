// y = x·Wᵀ (spec §2.5): linear, linear_bf16, linear_f32, compressor_rows. Most of it is tile_product.cu's; the kernel here
// is for F32 weights (router, hyper-connections), which tensor cores would round, and for addresses that vectors do not
// fit, as only odd files have them.
//
//   F32    Σ x·w                                         4 · rows·cols bytes
//   FP8, FP4, low-bit and BF16 at odd addresses: as in tile_product.cu, sums of 16 or 32 columns of a lane in place of 128
//   y → bf16, or stays fp32
//
// Bound: bandwidth of the weight, which is read once for up to 4 rows. The one idea: a lane takes 16 bytes of a row of W at
// a time, a warp 512 neighbouring bytes of each of 4 outputs, so that four loads are under way before the first is used and
// each value of x is decoded once for four weights. The warps of a block share the columns and add up through shared memory
// at the end.
//
// A row's sum: a lane's columns in order, its chunks in order, lanes as a tree, warps in order. Nothing of it depends on
// the number of rows.

#include <cmath>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/codes.cuh"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/product_task.cuh"
#include "kernels/cuda/device/warp.cuh"

namespace millrace::cuda {
namespace {

// Columns that are decoded together, and so often a lane's 16 bytes hold them.
template <WeightFormat kFormat>
inline constexpr int kTogether = lane_columns(kFormat) < 16 ? lane_columns(kFormat) : 16;

// kTogether values of row `row` from column `col` on, of which `count` exist.
template <InputFormat kInput, bool kVectors, int kCount>
__device__ inline void load_input(const ProductTask& t, int64_t row, int64_t col, int count,
                                  float (&out)[kCount]) {
    if constexpr (kInput == InputFormat::kFp8) {
        const uint8_t* at = t.x_codes + row * t.x_codes_stride + col;
        const uint4 codes = kVectors ? load_vector<uint4>(at) : load_bytes(at, count);
        decode_e4m3(codes, out);
    } else if constexpr (kVectors && kCount >= 8) {
        for (int part = 0; part < kCount / 8; ++part) {
            const auto chunk =
                load_vector<Bf16x8>(t.x + row * t.x_stride + blockIdx.z * t.cols + col + part * 8);
            for (int i = 0; i < 8; ++i) out[part * 8 + i] = to_float(chunk.at[i]);
        }
    } else {
        const Bf16* at = t.x + row * t.x_stride + blockIdx.z * t.cols + col;
        for (int i = 0; i < kCount; ++i) out[i] = i < count ? to_float(at[i]) : 0;
    }
}

template <WeightFormat kFormat, bool kVectors>
__device__ inline uint4 load_codes(const ProductTask& t, int64_t output, int64_t col, int count) {
    const int64_t at = output * t.cols + col;
    const auto bytes_of = [](int64_t columns) {
        if constexpr (kFormat == WeightFormat::kF32) return columns * 4;
        if constexpr (kFormat == WeightFormat::kBf16) return columns * 2;
        if constexpr (kFormat == WeightFormat::kFp4) return columns / 2;
        if constexpr (is_low_bit(kFormat)) return columns / kLowBitBlock * block_bytes(kFormat);
        return columns;
    };
    const uint8_t* from = t.codes + bytes_of(at);
    return kVectors ? load_streaming(from) : load_bytes(from, static_cast<int>(bytes_of(count)));
}

template <WeightFormat kFormat>
__device__ inline float scale_of(const ProductTask& t, int64_t output, int64_t col) {
    int64_t index = 0;
    if constexpr (kFormat == WeightFormat::kFp8) {
        index = output / 128 * ((t.cols + 127) / 128) + col / 128;
    } else if constexpr (kFormat == WeightFormat::kFp4) {
        index = (output * t.cols + col) / 32;
    } else {
        return 1;
    }
    return t.float_scales ? load_float(t.scales + 4 * index) : e8m0_value(t.scales[index]);
}

// A block's byte, and what it and the base of its row are worth.
__device__ inline uint32_t mark_of(const ProductTask& t, int64_t output, int64_t col) {
    return t.scales[gridDim.z * t.outputs + (output * t.cols + col) / kLowBitBlock];
}
__device__ inline float block_scale_of(const ProductTask& t, int64_t output, uint32_t mark) {
    return step_of(mark) * e8m0_value(t.scales[output]);
}

// What a warp adds up: kOutputs outputs of kRows rows over its share of the columns.
template <WeightFormat kFormat, InputFormat kInput, int kRows, bool kVectors>
__device__ inline void multiply(const ProductTask& t, int64_t first_output, int64_t first_row,
                                float (&totals)[kOutputs][kRows]) {
    constexpr int kLane = lane_columns(kFormat);
    constexpr int kPart = kTogether<kFormat>;
    const int64_t last_output = (blockIdx.z + int64_t{1}) * t.outputs - 1;
    const int64_t stride = static_cast<int64_t>(blockDim.x) * kLane;
    for (int64_t col = static_cast<int64_t>(threadIdx.x) * kLane; col < t.cols; col += stride) {
        const int count = t.cols - col < kLane ? static_cast<int>(t.cols - col) : kLane;
        uint4 codes[kOutputs];
        float scales[kOutputs];
        uint32_t marks[kOutputs] = {};
#pragma unroll
        for (int o = 0; o < kOutputs; ++o) {
            // Outputs and rows that do not exist repeat the last one.
            const int64_t output = first_output + o < last_output ? first_output + o : last_output;
            codes[o] = load_codes<kFormat, kVectors>(t, output, col, count);
            if constexpr (is_low_bit(kFormat)) {
                marks[o] = mark_of(t, output, col);
                scales[o] = block_scale_of(t, output, marks[o]);
            } else {
                scales[o] = scale_of<kFormat>(t, output, col);
            }
        }
        float sums[kOutputs][kRows] = {};
#pragma unroll
        for (int part = 0; part < kLane / kPart; ++part) {
            float x[kRows][kPart];
#pragma unroll
            for (int r = 0; r < kRows; ++r) {
                const int64_t row = first_row + r < t.rows ? first_row + r : t.rows - 1;
                load_input<kInput, kVectors>(t, row, col + part * kPart, count - part * kPart,
                                             x[r]);
            }
#pragma unroll
            for (int o = 0; o < kOutputs; ++o) {
                float w[kPart];
                decode_part<kFormat>(codes[o], part, w, marks[o]);
#pragma unroll
                for (int i = 0; i < kPart; ++i) {
                    for (int r = 0; r < kRows; ++r)
                        sums[o][r] = std::fma(w[i], x[r][i], sums[o][r]);
                }
            }
        }
        for (int r = 0; r < kRows; ++r) {
            float x_scale = 1;
            if constexpr (kInput == InputFormat::kFp8) {
                const int64_t row = first_row + r < t.rows ? first_row + r : t.rows - 1;
                x_scale = e8m0_value(t.x_scales[row * t.x_scales_stride + col / 128]);
            }
            // Two products: that of both scales might not be a normal number.
            for (int o = 0; o < kOutputs; ++o) totals[o][r] += sums[o][r] * x_scale * scales[o];
        }
    }
}

// Blocks that should fit on a processor together: 24 warps with what they have under way keep the memory busy in a decode
// step. Several rows need their registers more than company, and odd addresses are nobody's hurry.
template <int kRows, bool kVectors>
inline constexpr int kBlocksTogether = kRows > 1  ? 1
                                       : kVectors ? 3
                                                  : 2;

template <WeightFormat kFormat, InputFormat kInput, int kRows, bool kVectors>
__global__ void __launch_bounds__(kSplitsMax* kWarp, (kBlocksTogether<kRows, kVectors>))
    product_kernel(ProductTask t) {
    __shared__ float partial[kSplitsMax][kOutputs * kRows];
    const int64_t first_in_group = static_cast<int64_t>(blockIdx.x) * kOutputs;
    const int64_t first_output = blockIdx.z * t.outputs + first_in_group;
    const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
    float totals[kOutputs][kRows] = {};
    multiply<kFormat, kInput, kRows, kVectors>(t, first_output, first_row, totals);
    for (int o = 0; o < kOutputs; ++o) {
        for (int r = 0; r < kRows; ++r) {
            const float sum = sum_of_warp(totals[o][r]);
            if (lane_of_thread() == 0) partial[warp_of_thread()][o * kRows + r] = sum;
        }
    }
    __syncthreads();
    if (threadIdx.x >= kOutputs * kRows) return;
    const auto own = static_cast<int>(threadIdx.x);
    const int64_t row = first_row + own % kRows;
    if (first_in_group + own / kRows >= t.outputs || row >= t.rows) return;
    float sum = 0;
    for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) sum += partial[w][own];
    put(t, row, first_output + own / kRows, sum);
}

template <WeightFormat kFormat, InputFormat kInput>
void launch_rows(int64_t groups, Stream stream, ProductTask task) {
    // F32 weights take four columns of the input at once, element by element.
    constexpr int64_t kLane = lane_columns(kFormat);
    const bool input_fits =
        kInput == InputFormat::kFp8
            ? fits_vectors({task.x_codes}, {task.x_codes_stride})
            : kLane == 4 || fits_vectors({task.x}, {2 * task.x_stride, 2 * task.cols});
    const bool rows_fit = task.cols % (is_low_bit(kFormat) ? 128 : kLane) == 0;
    const bool vectors = input_fits && rows_fit && fits_vectors({task.codes}, {});
    const ProductConfig config =
        product_config({kFormat, task.rows, task.cols, task.outputs, groups,
                        vectors ? Alignment::kVectors : Alignment::kBytes});
    task.splits = config.splits;
    if (config.shape != ProductShape::kNoTiles) {
        launch_tiles(kFormat, kInput, config, stream, task);
    } else if (!vectors) {
        launch<product_kernel<kFormat, kInput, 1, false>>(config.launch, stream, task);
    } else if constexpr (kFormat == WeightFormat::kF32) {
        if (config.rows == 1) {
            launch<product_kernel<kFormat, kInput, 1, true>>(config.launch, stream, task);
        } else {
            launch<product_kernel<kFormat, kInput, kRowsAtOnce, true>>(config.launch, stream, task);
        }
    }
}

template <InputFormat kInput>
void launch_quantised(WeightFormat format, int64_t groups, Stream stream, const ProductTask& task) {
    using enum WeightFormat;
    switch (format) {
        case kFp8: return launch_rows<kFp8, kInput>(groups, stream, task);
        case kFp4: return launch_rows<kFp4, kInput>(groups, stream, task);
        case kQ3s: return launch_rows<kQ3s, kInput>(groups, stream, task);
        case kQ2s: return launch_rows<kQ2s, kInput>(groups, stream, task);
        case kQ2v: return launch_rows<kQ2v, kInput>(groups, stream, task);
        default: ENSURE(false);
    }
}

ProductTask task_of(const LinearWeight& weight, int64_t rows, int64_t groups) {
    ENSURE(CudaOps::multiplies(weight) &&
           ((weight.format != WeightFormat::kFp4 && !weight.low_bit()) || weight.cols % 32 == 0));
    ProductTask task{};
    task.codes = reinterpret_cast<const uint8_t*>(weight.codes);
    task.scales = reinterpret_cast<const uint8_t*>(weight.scales);
    task.float_scales = weight.scale_format == ScaleFormat::kF32;
    task.rows = rows;
    task.cols = weight.cols;
    task.outputs = weight.rows / groups;
    return task;
}

// Rows that were not quantised, with any weight.
void multiply_rows(ProductTask task, MatrixView<const Bf16> x, WeightFormat format, int64_t groups,
                   Stream stream) {
    if (task.rows == 0) return;
    task.x = x.data;
    task.x_stride = x.stride;
    if (format == WeightFormat::kBf16) {
        launch_rows<WeightFormat::kBf16, InputFormat::kBf16>(groups, stream, task);
    } else if (format == WeightFormat::kF32) {
        launch_rows<WeightFormat::kF32, InputFormat::kBf16>(groups, stream, task);
    } else {
        launch_quantised<InputFormat::kBf16>(format, groups, stream, task);
    }
}

}  // namespace

bool CudaOps::multiplies(const LinearWeight& weight) {
    return weight.layout == WeightLayout::kRows;
}

void CudaOps::linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y) {
    ENSURE(y.cols == weight.rows);
    ProductTask task = task_of(weight, y.rows, 1);
    task.y_bf16 = y.data;
    task.y_stride = y.stride;
    if (!weight.quantised()) {
        ENSURE(x.rows.cols == weight.cols && x.rows.rows == y.rows);
        multiply_rows(task, x.rows, weight.format, 1, stream_);
        return;
    }
    const Fp8Rows& q = x.quantised;
    ENSURE(q.codes.cols == weight.cols && q.codes.rows == y.rows &&
           q.scales.cols == (weight.cols + 127) / 128);
    if (y.rows == 0) return;
    task.x_codes = q.codes.data;
    task.x_codes_stride = q.codes.stride;
    task.x_scales = q.scales.data;
    task.x_scales_stride = q.scales.stride;
    launch_quantised<InputFormat::kFp8>(weight.format, 1, stream_, task);
}

void CudaOps::linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                          MatrixView<Bf16> y) {
    ENSURE(x.cols == groups * weight.cols && weight.rows % groups == 0 && y.cols == weight.rows &&
           x.rows == y.rows);
    ProductTask task = task_of(weight, y.rows, groups);
    task.y_bf16 = y.data;
    task.y_stride = y.stride;
    multiply_rows(task, x, weight.format, groups, stream_);
}

void CudaOps::linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight,
                         MatrixView<float> y) {
    ENSURE(x.cols == weight.cols && y.cols == weight.rows && x.rows == y.rows);
    ProductTask task = task_of(weight, y.rows, 1);
    task.y_f32 = y.data;
    task.y_stride = y.stride;
    multiply_rows(task, x, weight.format, 1, stream_);
}

void CudaOps::compressor_rows(MatrixView<const Bf16> x, const LinearWeight& wkv,
                              const LinearWeight& wgate, std::span<const float> ape, int ratio,
                              std::span<const int32_t> positions, MatrixView<float> rows) {
    const int64_t width = wkv.rows;
    ENSURE(rows.cols == 2 * width && wgate.rows == width && rows.rows == x.rows);
    ENSURE(ape.size() == static_cast<size_t>(ratio * width) &&
           positions.size() == static_cast<size_t>(x.rows));
    linear_f32(x, wkv, {rows.data, rows.rows, width, rows.stride});
    ENSURE(x.cols == wgate.cols);
    ProductTask task = task_of(wgate, rows.rows, 1);
    task.y_f32 = rows.data + width;
    task.y_stride = rows.stride;
    task.shift = ape.data();
    task.positions = positions.data();
    task.ratio = ratio;
    multiply_rows(task, x, wgate.format, 1, stream_);
}

}  // namespace millrace::cuda
