// y = x·Wᵀ on tensor cores (spec §2.5), for any number of rows: FP8, FP4, low-bit and BF16 weights at addresses of
// 16 bytes.
//
//   FP8    Σ over 128-blocks of (Σ e4m3·e4m3)·sb·sa     rows·cols bytes + scales
//   FP4    Σ over 128-blocks of (Σ over 32-blocks of (Σ e2m1·e4m3)·sb)·sa     rows·cols/2 + rows·cols/32
//   low bits  the same with levels and their blocks' scales            rows·cols·(2.25 or 3.25)/8 + rows
//   BF16   Σ over 64-blocks of (Σ bf16·bf16), or, with bf16 rows, FP8 and FP4 decoded to bf16 without sa
//   y → bf16, or stays fp32
//
// Two shapes with one arithmetic (device/tile_product.cuh). Shares of the columns are every splits-th stage, a function of
// format and columns; a share's total is summed in the order of its stages, the shares' totals in theirs.
//
// Few rows (up to 32, eight a block, whose neighbours take the others of the same outputs): a warp a share of 16 outputs,
// its stages in a ring in shared memory, two of them (4 KiB) under way while one is multiplied. Bound: bandwidth of the
// weight, 7.8 of the 11 GB that a token of Flash reads. A stage is 64 weights a lane of FP8, 128 of FP4. Counted in what
// nvcc makes for sm_90, paths that are not taken included, a weight takes 4.8 instructions of FP8 or FP4, where an H200 has
// time for 6.2 and 3.3 at its full bandwidth, an A100 (7.1 and 5.7) for 9.7 and 5.1, consumer cards for several times as
// many: FP4 on an H200 is bound by instructions, at 0.7 of its bandwidth or somewhat more.
//
// Many: a block 128 outputs by 64 rows, a warp 16 outputs, whose codes it decodes once in its registers; rows are decoded
// once a block, by all of its threads, into one of two buffers while the other is multiplied. Shares of the columns follow
// each other, and their totals are added in registers. Bound: counted for 128 columns of an FP8 weight, where a warp has 64
// products of the tensor cores and there are two warps a scheduler:
//
//                         A100      H200
//   tensor cores          1024       512 clocks (an H200's reach that only through wgmma, 60 % of it through mma.sync)
//   instructions          1460      1180 (FP4: 1570, 1450)
//   shared memory         1400      1400 (rows 1024, weights 128, what is written 256)
//
// so, if they overlap well, 0.65 to 0.7 of the bf16 peak of an A100, and 0.35 of an H200's, where half of it would take
// wgmma. From the second-level cache a block takes 24 KiB for 1.05 million products, 16 bytes a clock. None of it measured.

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/product_task.cuh"
#include "kernels/cuda/device/rows_tile.cuh"
#include "kernels/cuda/device/tile_product.cuh"

namespace millrace::cuda {
namespace {

template <InputFormat kInput>
inline constexpr int kColumnBytes = kInput == InputFormat::kFp8 ? 1 : 2;

// Where rows begin, in bytes; those beyond the last repeat it.
template <InputFormat kInput>
__device__ inline const uint8_t* row_at(const ProductTask& t, int64_t row) {
    row = row < t.rows ? row : t.rows - 1;
    if constexpr (kInput == InputFormat::kFp8) return t.x_codes + row * t.x_codes_stride;
    return reinterpret_cast<const uint8_t*>(t.x + row * t.x_stride + blockIdx.z * t.cols);
}
__device__ inline const uint8_t* row_scales_at(const ProductTask& t, int64_t row) {
    return t.x_scales + (row < t.rows ? row : t.rows - 1) * t.x_scales_stride;
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
    const int64_t first_in_group = static_cast<int64_t>(blockIdx.y) * kTileOutputs;
    const Outputs outputs{blockIdx.z * t.outputs + first_in_group,
                          (blockIdx.z + int64_t{1}) * t.outputs - 1};
    const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kTileRows;
    const auto stages =
        static_cast<int>((t.cols + kStageColumns<kFormat> - 1) / kStageColumns<kFormat>);
    const int lane = lane_of_thread(), warp = warp_of_thread();
    auto* ring = dynamic_shared<uint8_t>() + warp * kRing * kStageBytes;
    const StageCopy<kFormat> copy(weight, outputs.first, outputs.last);
    const auto ask_for = [&](int stage, int slot) {
        if (stage < stages) copy.ask_for(stage, ring + slot * kStageBytes);
        commit_copies();
    };
    for (int i = 0; i < kRing - 1; ++i) ask_for(warp + i * t.splits, i);
    using Lane = typename RowOf<kInput>::Lane;
    const uint8_t* row =
        row_at<kInput>(t, first_row + lane / 4) + lane % 4 * 8 * kColumnBytes<kInput>;
    const uint8_t* const row_scales_from = row_scales_at(t, first_row + lane % 4 * 2);
    const auto next_row_scales = static_cast<int>(
        row_scales_at(t, first_row + lane % 4 * 2 + 1) - row_scales_from);
    Sums totals[1] = {};
    int slot = 0;
    for (int stage = warp; stage < stages; stage += t.splits) {
        const int64_t col = int64_t{stage} * kStageColumns<kFormat>;
        const int left = t.cols - col < kStageColumns<kFormat> ? static_cast<int>(t.cols - col)
                                                               : kStageColumns<kFormat>;
        Lane rows[kUnits];
#pragma unroll
        for (int i = 0; i < kUnits; ++i) {
            rows[i] = {};
            if (i * kUnit + lane % 4 * 8 < left) {
                rows[i] =
                    load_vector<Lane>(row + (col + i * kUnit) * kColumnBytes<kInput>);
            }
        }
        const auto scales =
            UnitScales<kFormat, kUnits>::load(weight, outputs.first, outputs.last, col);
        float row_scales[kScales][2] = {};
#pragma unroll
        for (int i = 0; kInput == InputFormat::kFp8 && i < 2 * kScales; ++i) {
            if (i / 2 * 128 < left) {
                row_scales[i / 2][i % 2] =
                    e8m0_of(row_scales_from[col / 128 + i / 2 + i % 2 * next_row_scales]);
            }
        }
        wait_for_copies<kRing - 2>();
        __syncwarp();
        // The slot that all lanes have left before the barrier.
        ask_for(stage + (kRing - 1) * t.splits, slot == 0 ? kRing - 1 : slot - 1);
        multiply_units<kFormat, kInput>(
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

// The stages of a product in the order of their sums: those of the first share of the columns, then those of the next.
struct Walk {
    int64_t stages;
    int splits;
    int split = 0;
    int64_t stage = 0;
    [[nodiscard]] __device__ bool done() const { return split >= splits; }
    [[nodiscard]] __device__ bool ends_split() const { return stage + splits >= stages; }
    __device__ void next() {
        const bool ends = ends_split();
        split += ends ? 1 : 0;
        stage = ends ? split : stage + splits;
    }
};

template <WeightFormat kFormat>
using RowsOfBlock = RowsTile<kBlockRows, rows_columns(kFormat)>;

// What a thread brings of it from memory: kPerThread pieces as they are stored, all of one column, rows kRowsApart apart.
template <WeightFormat kFormat, InputFormat kInput>
struct RowsPart {
    using Tile = RowsOfBlock<kFormat>;
    using Lane = typename RowOf<kInput>::Lane;
    static constexpr int kRowsApart = kSplitsMax * kWarp / Tile::kPieces;
    static constexpr int kPerThread = kBlockRows / kRowsApart;
    const uint8_t* from;
    const uint8_t* scales;
    uint32_t offsets[kPerThread];
    int64_t cols;
    Lane lanes[kPerThread];
    float scale;

    __device__ static int first() { return static_cast<int>(threadIdx.x) / Tile::kPieces; }
    __device__ static int piece() { return static_cast<int>(threadIdx.x) % Tile::kPieces; }
    __device__ static bool brings_scale() {
        return kInput == InputFormat::kFp8 && threadIdx.x < kBlockRows;
    }

    __device__ RowsPart(const ProductTask& t, int64_t first_row)
        : from(row_at<kInput>(t, first_row)),
          scales(row_scales_at(t, first_row + threadIdx.x % kBlockRows)),
          cols(t.cols),
          scale(1) {
        for (int i = 0; i < kPerThread; ++i) {
            offsets[i] = static_cast<uint32_t>(
                row_at<kInput>(t, first_row + first() + i * kRowsApart) - from +
                piece() * 8 * kColumnBytes<kInput>);
        }
    }
    __device__ void load(int64_t col) {
        const bool exists = col + piece() * 8 < cols;
#pragma unroll
        for (int i = 0; i < kPerThread; ++i) {
            lanes[i] = {};
            if (exists)
                lanes[i] = load_vector<Lane>(from + col * kColumnBytes<kInput> + offsets[i]);
        }
        if (brings_scale()) scale = col < cols ? e8m0_of(scales[col / 128]) : 0;
    }
    __device__ void store(Tile& to) const {
#pragma unroll
        for (int i = 0; i < kPerThread; ++i) {
            const Eight e = pairs_of<Codes<kFormat>::kPairs>(lanes[i]);
            store_vector(&to.pieces[Tile::place(first() + i * kRowsApart, piece())],
                         uint4{e.at[0], e.at[1], e.at[2], e.at[3]});
        }
        if (brings_scale()) to.scales[threadIdx.x] = scale;
    }
};

// Sums of a share of the columns to those of the shares before it.
__device__ inline void merge(Sums (&merged)[kBlockTiles], Sums (&totals)[kBlockTiles]) {
#pragma unroll
    for (int tile = 0; tile < kBlockTiles; ++tile) {
        for (int i = 0; i < 4; ++i) merged[tile].at[i] += totals[tile].at[i];
        totals[tile] = {};
    }
}

template <WeightFormat kFormat, InputFormat kInput>
__global__ void __launch_bounds__(kSplitsMax* kWarp) many_rows_kernel(ProductTask t) {
    using Tile = RowsOfBlock<kFormat>;
    constexpr int kUnits = rows_columns(kFormat) / kUnit;
    constexpr int kParts = Codes<kFormat>::kStageUnits / kUnits;
    const TileWeight weight{t.codes, t.scales, t.float_scales, t.cols, gridDim.z * t.outputs};
    const int lane = lane_of_thread(), warp = warp_of_thread();
    const int64_t first_in_group =
        static_cast<int64_t>(blockIdx.x) * kBlockOutputs + warp * kTileOutputs;
    const Outputs outputs{blockIdx.z * t.outputs + first_in_group,
                          (blockIdx.z + int64_t{1}) * t.outputs - 1};
    const bool works = first_in_group < t.outputs;  // others help with the rows
    const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kBlockRows;
    auto* tiles =
        reinterpret_cast<Tile*>(dynamic_shared<uint8_t>() + kSplitsMax * kRing * kStageBytes);
    auto* ring = dynamic_shared<uint8_t>() + warp * kRing * kStageBytes;
    Walk now{(t.cols + kStageColumns<kFormat> - 1) / kStageColumns<kFormat>, t.splits};
    Walk ahead = now;
    const StageCopy<kFormat> copy(weight, outputs.first, outputs.last);
    const auto ask_ahead = [&](int slot) {
        if (works && !ahead.done()) {
            copy.ask_for(ahead.stage, ring + slot * kStageBytes);
            ahead.next();
        }
        commit_copies();
    };
    for (int i = 0; i < kRing - 1; ++i) ask_ahead(i);
    RowsPart<kFormat, kInput> part(t, first_row);
    part.load(0);
    part.store(tiles[0]);
    __syncthreads();
    Sums totals[kBlockTiles] = {}, merged[kBlockTiles] = {};
    int slot = 0, buffer = 0;
    while (!now.done()) {
        const int64_t stage = now.stage;
        const bool ends_split = now.ends_split();
        now.next();
        wait_for_copies<kRing - 2>();
        __syncwarp();
        // The slot that all lanes have left before the barrier.
        ask_ahead(slot == 0 ? kRing - 1 : slot - 1);
#pragma unroll 1
        for (int i = 0; i < kParts; ++i) {
            const auto scales = UnitScales<kFormat, kUnits>::load(
                weight, outputs.first, outputs.last, (stage * kParts + i) * rows_columns(kFormat));
            const int64_t coming = i + 1 < kParts ? stage * kParts + i + 1 : now.stage * kParts;
            part.load(coming * rows_columns(kFormat));
            const Tile& rows = tiles[buffer];
            if (works) {
                multiply_units<kFormat, kInput>(
                    ring + slot * kStageBytes, i * kUnits, scales,
                    [&](int unit, int tile) {
                        return rows.eight(tile * kTileRows + lane / 4, unit);
                    },
                    [&](int, int tile, int c) {
                        return rows.scales[tile * kTileRows + lane % 4 * 2 + c];
                    },
                    totals);
            }
            buffer ^= 1;
            part.store(tiles[buffer]);
            __syncthreads();
        }
        if (ends_split) merge(merged, totals);
        slot = slot == kRing - 1 ? 0 : slot + 1;
    }
#pragma unroll
    for (int tile = 0; tile < kBlockTiles; ++tile) {
        for (int i = 0; i < 4; ++i) {
            const int64_t output = first_in_group + lane / 4 + i / 2 * 8;
            const int64_t row = first_row + tile * kTileRows + lane % 4 * 2 + i % 2;
            if (output < t.outputs && row < t.rows) {
                put(t, row, blockIdx.z * t.outputs + output,
                    merged[tile].at[i] * kTotalUnit<kFormat, kInput>);
            }
        }
    }
}

template <WeightFormat kFormat, InputFormat kInput>
void launch_shape(const ProductConfig& config, Stream stream, const ProductTask& task) {
    static_assert(sizeof(RowsOfBlock<kFormat>) == kBlockRows * (2 * rows_columns(kFormat) + 4));
    if (config.shape == ProductShape::kFewRows) {
        launch<few_rows_kernel<kFormat, kInput>>(config.launch, stream, task);
    } else {
        launch<many_rows_kernel<kFormat, kInput>>(config.launch, stream, task);
    }
}

template <WeightFormat kFormat>
void launch_input(InputFormat input, const ProductConfig& config, Stream stream,
                  const ProductTask& task) {
    if (input == InputFormat::kFp8) {
        launch_shape<kFormat, InputFormat::kFp8>(config, stream, task);
    } else {
        launch_shape<kFormat, InputFormat::kBf16>(config, stream, task);
    }
}

}  // namespace

void launch_tiles(WeightFormat format, InputFormat input, const ProductConfig& config,
                  Stream stream, const ProductTask& task) {
    using enum WeightFormat;
    switch (format) {
        case kBf16: return launch_shape<kBf16, InputFormat::kBf16>(config, stream, task);
        case kFp8: return launch_input<kFp8>(input, config, stream, task);
        case kFp4: return launch_input<kFp4>(input, config, stream, task);
        case kQ3s: return launch_input<kQ3s>(input, config, stream, task);
        case kQ2s: return launch_input<kQ2s>(input, config, stream, task);
        case kQ2v: return launch_input<kQ2v>(input, config, stream, task);
        case kF32: break;
    }
    ENSURE(false);  // fp32 weights have no tiles
}

}  // namespace millrace::cuda
