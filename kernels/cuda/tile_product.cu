// y = x·Wᵀ on tensor cores (spec §2.5), for any number of rows: FP8, FP4 and BF16 weights at addresses of 16 bytes.

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/product_task.cuh"
#include "kernels/cuda/device/tile_product.cuh"

namespace millrace::cuda {
namespace {

// Eight columns of a row from `col` on, as they are stored; zero where there is none.
template <InputFormat kInput>
__device__ inline typename RowOf<kInput>::Lane load_row(const ProductTask& t, int64_t row,
                                                        int64_t col) {
    using Lane = typename RowOf<kInput>::Lane;
    if (row >= t.rows || col >= t.cols) return Lane{};
    if constexpr (kInput == InputFormat::kFp8) {
        return load_vector<Lane>(t.x_codes + row * t.x_codes_stride + col);
    } else {
        return load_vector<Lane>(t.x + row * t.x_stride + blockIdx.z * t.cols + col);
    }
}
// And the scale of its 128 columns around `col`.
__device__ inline float load_row_scale(const ProductTask& t, int64_t row, int64_t col) {
    if (row >= t.rows || col >= t.cols) return 0;
    return e8m0_value(t.x_scales[row * t.x_scales_stride + col / 128]);
}

// Outputs [first, last] of the block's group, from `first` on a warp's.
struct Outputs {
    int64_t first, last;
};

template <WeightFormat kFormat, InputFormat kInput>
__global__ void __launch_bounds__(kSplitsMax* kWarp, 2) few_rows_kernel(ProductTask t) {
    using Format = Codes<kFormat>;
    constexpr int kUnits = Format::kStageUnits;
    constexpr int kScales = kUnits < 4 ? 1 : kUnits / 4;
    const TileWeight weight{t.codes, t.scales, t.float_scales, t.cols, gridDim.z * t.outputs};
    const int64_t first_in_group = static_cast<int64_t>(blockIdx.x) * kTileOutputs;
    const Outputs outputs{blockIdx.z * t.outputs + first_in_group,
                          (blockIdx.z + int64_t{1}) * t.outputs - 1};
    const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kTileRows;
    const int64_t stages = (t.cols + kStageColumns<kFormat> - 1) / kStageColumns<kFormat>;
    const int lane = lane_of_thread(), warp = warp_of_thread();
    auto* ring = dynamic_shared<uint8_t>() + warp * kRing * kStageBytes;
    const auto ask_for = [&](int64_t stage, int slot) {
        if (stage < stages) {
            copy_stage<kFormat>(weight, outputs.first, outputs.last, stage,
                                ring + slot * kStageBytes);
        }
        commit_copies();
    };
    for (int i = 0; i < kRing - 1; ++i) ask_for(warp + i * t.splits, i);
    Sums totals[1] = {};
    int slot = 0;
    for (int64_t stage = warp; stage < stages; stage += t.splits) {
        const int64_t col = stage * kStageColumns<kFormat>;
        typename RowOf<kInput>::Lane rows[kUnits];
#pragma unroll
        for (int i = 0; i < kUnits; ++i)
            rows[i] = load_row<kInput>(t, first_row + lane / 4, col + i * kUnit + lane % 4 * 8);
        const auto scales = StageScales<kFormat>::load(weight, outputs.first, outputs.last, stage);
        float row_scales[kScales][2] = {};
        for (int i = 0; kInput == InputFormat::kFp8 && i < 2 * kScales; ++i) {
            row_scales[i / 2][i % 2] =
                load_row_scale(t, first_row + lane % 4 * 2 + i % 2, col + i / 2 * 128);
        }
        wait_for_copies<kRing - 2>();
        __syncwarp();
        // The slot that all lanes have left before the barrier.
        ask_for(stage + (kRing - 1) * t.splits, slot == 0 ? kRing - 1 : slot - 1);
        multiply_units<kFormat, kInput, kUnits>(
            ring + slot * kStageBytes, 0, scales,
            [&](int unit, int) { return pairs_of<Format::kPairs>(rows[unit]); },
            [&](int unit, int, int i) { return row_scales[unit / 4][i]; }, totals);
        slot = slot == kRing - 1 ? 0 : slot + 1;
    }
    // [row][20 of which 16 outputs]: no bank twice, here and below.
    constexpr int kStride = 20;
    __syncwarp();
    auto* partial = reinterpret_cast<float*>(ring);
    for (int i = 0; i < 4; ++i)
        partial[(lane % 4 * 2 + i % 2) * kStride + lane / 4 + i / 2 * 8] = totals[0].at[i];
    __syncthreads();
    const auto* all = dynamic_shared<float>();
    for (auto own = static_cast<int>(threadIdx.x); own < kTileRows * kTileOutputs;
         own += t.splits * kWarp) {
        const int output = own % kTileOutputs, r = own / 16 % 2 * 4 + own / 32;
        if (first_in_group + output >= t.outputs || first_row + r >= t.rows) continue;
        float sum = 0;
        for (int w = 0; w < t.splits; ++w)
            sum += all[w * kRing * kStageBytes / 4 + r * kStride + output];
        put(t, first_row + r, outputs.first + output, sum * kTotalUnit<kFormat, kInput>);
    }
}

template <WeightFormat kFormat, InputFormat kInput>
void launch_shape(const ProductConfig& config, Stream stream, const ProductTask& task) {
    launch<few_rows_kernel<kFormat, kInput>>(config.launch, stream, task);
}

}  // namespace

void launch_tiles(WeightFormat format, InputFormat input, const ProductConfig& config,
                  Stream stream, const ProductTask& task) {
    if (format == WeightFormat::kBf16) {
        launch_shape<WeightFormat::kBf16, InputFormat::kBf16>(config, stream, task);
    } else if (format == WeightFormat::kFp8) {
        if (input == InputFormat::kFp8) {
            launch_shape<WeightFormat::kFp8, InputFormat::kFp8>(config, stream, task);
        } else {
            launch_shape<WeightFormat::kFp8, InputFormat::kBf16>(config, stream, task);
        }
    } else if (input == InputFormat::kFp8) {
        launch_shape<WeightFormat::kFp4, InputFormat::kFp8>(config, stream, task);
    } else {
        launch_shape<WeightFormat::kFp4, InputFormat::kBf16>(config, stream, task);
    }
}

}  // namespace millrace::cuda
