#pragma once
// Sixteen outputs of a weight by rows, on tensor cores, from codes as they are stored: the core of every product with
// quantised weights. Weights are the left operand (m16n8k16: 16 outputs), rows the columns of the right one.
//
//   unit    32 columns of a row: two steps of the tensor cores. Lane 4g + t holds columns 8t … 8t + 7 of outputs g, g + 8
//           and of row g, as four pairs; in which order the eight are paired is the format's affair, if both sides agree
//   stage   128 bytes (or less) of each of the 16 outputs, which one warp copies into its shared memory while it
//           multiplies earlier ones; 16 bytes a lane whatever the format. Pieces of 16 bytes lie at
//           piece ^ (row · kSwizzle) % 8, so that lanes of all rows meet no bank twice
//   total   the units of one scale are summed from zero by the tensor cores; then
//           total = fma(sum · row's scale, scale, total)
//
// What a format's units look like and decode to: tile_codes.cuh.

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "kernels/cuda/config.h"
#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/tensor_core.cuh"
#include "kernels/cuda/device/tile_codes.cuh"
#include "kernels/cuda/device/warp.cuh"

namespace millrace::cuda {

template <WeightFormat kFormat>
inline constexpr int kStageColumns = Codes<kFormat>::kStageUnits* kUnit;

// A warp asks for stage `stage` of outputs `first` … first + 15; those beyond `last` repeat it, columns beyond the last are
// zero. `to`: kStageBytes of shared memory that the warp's lanes are done with. The caller commits.
template <WeightFormat kFormat>
__device__ inline void copy_stage(const TileWeight& w, int64_t first, int64_t last, int64_t stage,
                                  uint8_t* to) {
    using Format = Codes<kFormat>;
    constexpr int kPieces = Format::kStageUnits * Format::kUnitBytes / 16;
    // A power of two: the eight lanes that write together then have one row, or two that kSwizzle keeps apart.
    constexpr int kLanes = kPieces == 6 ? 8 : kPieces;
    static_assert(kTileOutputs * kLanes % kWarp == 0 && 16 * kPieces <= kStageRowBytes);
    static_assert(stage_columns(kFormat) ==
                  kStageColumns<kFormat>);  // as who shares them out thinks
    const int64_t row_bytes =
        w.cols / kUnit * Format::kUnitBytes + w.cols % kUnit * Format::kUnitBytes / kUnit;
    for (int i = 0; i < kTileOutputs * kLanes / kWarp; ++i) {
        const int number = lane_of_thread() + kWarp * i;
        const int row = number / kLanes, piece = number % kLanes;
        if (piece >= kPieces) continue;
        const int64_t output = first + row < last ? first + row : last;
        const int64_t at = (stage * kPieces + piece) * 16;
        uint8_t* own = to + row * kStageRowBytes + (piece ^ (row * Format::kSwizzle & 7)) * 16;
        if (at < row_bytes) {
            copy_async(own, w.codes + output * row_bytes + at);
        } else {
            store_vector(own, uint4{});
        }
    }
}

// A lane's part of unit `unit` of output `row` of a stage.
template <WeightFormat kFormat>
__device__ inline typename Codes<kFormat>::Lane load_unit(const uint8_t* stage, int row, int unit) {
    using Format = Codes<kFormat>;
    const auto place = [&](int at) {
        const int piece = (at / 16) ^ (row * Format::kSwizzle & 7);
        return stage + row * kStageRowBytes + piece * 16 + at % 16;
    };
    const int first = unit * Format::kUnitBytes, quarter = lane_of_thread() % 4;
    if constexpr (is_low_bit(kFormat)) {
        return load_codes_of<kFormat>(quarter, [&](int byte) { return place(first + byte); });
    } else {
        return load_vector<typename Format::Lane>(
            place(first + quarter * (Format::kUnitBytes / 4)));
    }
}

// The scales of kUnits units from column `col` on, of a lane's two outputs: where there are several, each lane of four
// keeps every fourth, and gives it to the others.
template <WeightFormat kFormat, int kUnits>
struct UnitScales {
    using Format = Codes<kFormat>;
    static_assert(kUnits % Format::kScaleUnits == 0);
    static constexpr int kScales = kUnits / Format::kScaleUnits;
    static constexpr int kOwn = kScales < 4 ? kScales : kScales / 4;
    float own[2][kOwn];

    __device__ static UnitScales load(const TileWeight& w, int64_t first, int64_t last,
                                      int64_t col) {
        UnitScales out;
        for (int half = 0; half < 2; ++half) {
            const int64_t row = first + lane_of_thread() / 4 + 8 * half;
            for (int i = 0; i < kOwn; ++i) {
                const int number = kScales < 4 ? i : lane_of_thread() % 4 + 4 * i;
                const int64_t at = col + number * Format::kScaleUnits * kUnit;
                out.own[half][i] = at < w.cols ? Format::scale(w, row < last ? row : last, at) : 0;
            }
        }
        return out;
    }
    // All lanes of the warp together.
    __device__ float of(int unit, int half) const {
        const int number = unit / Format::kScaleUnits;
        if constexpr (kScales < 4) {
            return own[half][kOwn == 1 ? 0 : number];
        } else {
            return __shfl_sync(kAllLanes, own[half][kOwn == 1 ? 0 : number / 4],
                               (lane_of_thread() & ~3) | number % 4);
        }
    }
};

// Of low-bit formats the marks of the units, given likewise, and the bases of both outputs.
template <WeightFormat kFormat, int kUnits>
requires(is_low_bit(kFormat)) struct UnitScales<kFormat, kUnits> {
    using Format = Codes<kFormat>;
    static_assert(kUnits % 4 == 0);
    static constexpr int kOwn = kUnits / 4;
    uint32_t own[2][kOwn];
    float bases[2];

    __device__ static UnitScales load(const TileWeight& w, int64_t first, int64_t last,
                                      int64_t col) {
        UnitScales out;
        for (int half = 0; half < 2; ++half) {
            const int64_t row = first + lane_of_thread() / 4 + 8 * half;
            const int64_t output = row < last ? row : last;
            for (int i = 0; i < kOwn; ++i) {
                const int64_t at = col + (lane_of_thread() % 4 + 4 * i) * kUnit;
                out.own[half][i] = at < w.cols ? Format::mark(w, output, at) : 0;
            }
            out.bases[half] = Format::base(w, output);
        }
        return out;
    }
    __device__ uint32_t mark(int unit, int half) const {
        return __shfl_sync(kAllLanes, own[half][kOwn == 1 ? 0 : unit / 4],
                           (lane_of_thread() & ~3) | unit % 4);
    }
};

// Both outputs' parts of unit `unit` of a stage, and what their sums are to be multiplied with; `i` is its number in scales.
struct UnitPair {
    Eight low, high;
    float scale[2];
};
template <WeightFormat kFormat, InputFormat kInput, int kUnits>
__device__ inline UnitPair decode_unit(const uint8_t* stage, int unit,
                                       const UnitScales<kFormat, kUnits>& scales, int i) {
    using Format = Codes<kFormat>;
    const int g = lane_of_thread() / 4;
    const auto low = load_unit<kFormat>(stage, g, unit);
    const auto high = load_unit<kFormat>(stage, g + 8, unit);
    if constexpr (is_low_bit(kFormat)) {
        const uint32_t marks[2] = {scales.mark(i, 0), scales.mark(i, 1)};
        return {Format::template decode<kInput>(low, marks[0]),
                Format::template decode<kInput>(high, marks[1]),
                {step_of(marks[0]) * scales.bases[0], step_of(marks[1]) * scales.bases[1]}};
    } else {
        UnitPair out{
            Format::template decode<kInput>(low), Format::template decode<kInput>(high), {}};
        if (i % Format::kScaleUnits == Format::kScaleUnits - 1) {
            for (int half = 0; half < 2; ++half) out.scale[half] = scales.of(i, half);
        }
        return out;
    }
}

// totals += kUnits units of a stage from `first_unit` on, where a scale begins, by kTiles times 8 rows.
// right(i, tile): the lane's Eight of row `lane / 4` of a tile, in the i-th of these units; row_scale(i, tile, c): the scale
// of its row 2t + c there (none for bf16 rows). A row's sum is made by the same operations in the same order whatever
// kTiles and kUnits are.
template <WeightFormat kFormat, InputFormat kInput, int kUnits, int kTiles, class RightOf,
          class RowScale>
__device__ inline void multiply_units(const uint8_t* stage, int first_unit,
                                      const UnitScales<kFormat, kUnits>& scales,
                                      const RightOf& right, const RowScale& row_scale,
                                      Sums (&totals)[kTiles]) {
    using Format = Codes<kFormat>;
    Sums sums[kTiles];
    // Of many tiles two units keep the tensor cores busy; more of them at once would not fit into registers.
    [[maybe_unused]] constexpr int kTogether = kTiles > 1 ? 2 : kUnits;
#pragma unroll kTogether
    for (int i = 0; i < kUnits; ++i) {
        const auto [low, high, scale] =
            decode_unit<kFormat, kInput, kUnits>(stage, first_unit + i, scales, i);
        const Left steps[2] = {{{low.at[0], high.at[0], low.at[1], high.at[1]}},
                               {{low.at[2], high.at[2], low.at[3], high.at[3]}}};
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
            if (i % Format::kScaleUnits == 0) sums[tile] = {};
            const Eight b = right(i, tile);
#pragma unroll
            for (int step = 0; step < 2; ++step) {
                const Right two{{b.at[2 * step], b.at[2 * step + 1]}};
                if constexpr (kInput == InputFormat::kFp8) {
                    multiply_f16(steps[step], two, sums[tile]);
                } else {
                    multiply_bf16(steps[step], two, sums[tile]);
                }
            }
        }
        if (i % Format::kScaleUnits != Format::kScaleUnits - 1) continue;
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                float sum = sums[tile].at[c];
                // Two products: that of both scales might not be a normal number.
                if constexpr (kInput == InputFormat::kFp8) sum *= row_scale(i, tile, c % 2);
                float& total = totals[tile].at[c];
                total = Format::kScaled ? std::fma(sum, scale[c / 2], total) : total + sum;
            }
        }
    }
}

}  // namespace millrace::cuda
