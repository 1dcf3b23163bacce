#pragma once
// Sixteen outputs of a weight by rows, on tensor cores, from codes as they are stored: the core of every product with
// quantised weights. Weights are the left operand (m16n8k16: 16 outputs), rows the columns of the right one.
//
//   unit    32 columns of a row: two steps of the tensor cores. Lane 4g + t holds columns 8t … 8t + 7 of outputs g, g + 8
//           and of row g, as four pairs; in which order the eight are paired is the format's affair, if both sides agree
//   stage   128 bytes (or less) of each of the 16 outputs, which one warp copies into its shared memory while it
//           multiplies earlier ones; 16 bytes a lane whatever the format. Pieces of 16 bytes lie at
//           piece ^ (row · kSwizzle) % 8, so that lanes of all rows meet no bank twice
//   total   the units of one scale are summed from zero by the tensor cores, such sums with their scales by fma over the
//           128 columns of a row's scale, and those with that by fma again (the product of both scales might be no normal
//           number); bf16 rows have no scale
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
inline constexpr int kStageColumns = Codes<kFormat>::kStageUnits * kUnit;

// Stages of outputs `first` … first + 15 on their way to a warp's shared memory; outputs beyond `last` repeat it, columns
// beyond the last are zero.
template <WeightFormat kFormat>
struct StageCopy {
    using Format = Codes<kFormat>;
    static constexpr int kPieces = Format::kStageUnits * Format::kUnitBytes / 16;  // of an output
    // Lanes for an output, a power of two: eight that write together have one row, or two that kSwizzle keeps apart.
    static constexpr int kLanes = kPieces == 6 ? 8 : kPieces;
    static constexpr int kCopies = kTileOutputs * kLanes / kWarp;
    static_assert(kTileOutputs * kLanes % kWarp == 0 && 16 * kPieces <= kStageRowBytes);
    static_assert(stage_columns(kFormat) == kStageColumns<kFormat>);  // as who shares them out thinks
    const uint8_t* from;
    int64_t row_bytes;
    uint32_t offsets[kCopies];  // of the lane's pieces, from there

    __device__ StageCopy(const TileWeight& w, int64_t first, int64_t last)
        : row_bytes(w.cols / kUnit * Format::kUnitBytes +
                    w.cols % kUnit * Format::kUnitBytes / kUnit) {
        from = w.codes + first * row_bytes;
        for (int i = 0; i < kCopies; ++i) {
            const int64_t row = (lane_of_thread() + kWarp * i) / kLanes;
            const int64_t output = first + row < last ? row : last - first;
            offsets[i] = static_cast<uint32_t>(output * row_bytes + piece(i) * 16);
        }
    }
    __device__ static int piece(int i) { return (lane_of_thread() + kWarp * i) % kLanes; }

    // `to`: kStageBytes that the warp's lanes are done with. The caller commits.
    __device__ void ask_for(int64_t stage, uint8_t* to) const {
        const int64_t at = stage * kPieces * 16;
#pragma unroll
        for (int i = 0; i < kCopies; ++i) {
            const int row = (lane_of_thread() + kWarp * i) / kLanes;
            uint8_t* own =
                to + row * kStageRowBytes + (piece(i) ^ (row * Format::kSwizzle & 7)) * 16;
            if (kLanes != kPieces && piece(i) >= kPieces) continue;
            if (at + piece(i) * 16 < row_bytes) {
                copy_async(own, from + at + offsets[i]);
            } else {
                store_vector(own, uint4{});
            }
        }
    }
};

// A lane's part of unit `unit` of output `row` of a stage.
template <WeightFormat kFormat>
__device__ inline typename Codes<kFormat>::Lane load_unit(const uint8_t* stage, int row, int unit) {
    using Format = Codes<kFormat>;
    constexpr unsigned kLane = Format::kUnitBytes / 4, kBytes = Format::kUnitBytes;
    const auto place = [&](unsigned at) {
        const unsigned piece = at / 16 ^ (static_cast<unsigned>(row) * Format::kSwizzle & 7u);
        return stage + row * kStageRowBytes + piece * 16 + at % 16;
    };
    const unsigned first = static_cast<unsigned>(unit) * kBytes;
    if constexpr (is_low_bit(kFormat)) {
        return load_codes_of<kFormat>(lane_of_thread() % 4, [&](int byte) {
            return place(first + static_cast<unsigned>(byte));
        });
    } else {
        const unsigned at = first + threadIdx.x % 4 * kLane;
        return load_vector<typename Format::Lane>(place(at));
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
        constexpr int kColumns = Format::kScaleUnits * kUnit;
        for (int half = 0; half < 2; ++half) {
            const int64_t row = first + lane_of_thread() / 4 + 8 * half;
            const int64_t index =
                Format::first_scale(w, row < last ? row : last) + col / kColumns;
            for (int i = 0; i < kOwn; ++i) {
                const int number = kScales < 4 ? i : lane_of_thread() % 4 + 4 * i;
                out.own[half][i] = Format::kScaled && col + number * kColumns < w.cols
                                       ? stored_scale(w, index + number)
                                       : 0;
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
    requires(is_low_bit(kFormat))
struct UnitScales<kFormat, kUnits> {
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
    __device__ float of(int unit, int half) const {
        return step_of(mark(unit, half)) * bases[half];
    }
};

// The lane's part of output `lane / 4`, or 8 more, of a unit. `i`: its number in scales.
template <WeightFormat kFormat, InputFormat kInput, int kUnits>
__device__ inline Eight decode_unit(const uint8_t* stage, int half, int unit,
                                    const UnitScales<kFormat, kUnits>& scales, int i) {
    const auto codes = load_unit<kFormat>(stage, lane_of_thread() / 4 + 8 * half, unit);
    if constexpr (is_low_bit(kFormat)) {
        return Codes<kFormat>::template decode<kInput>(codes, scales.mark(i, half));
    } else {
        return Codes<kFormat>::template decode<kInput>(codes);
    }
}

// sums += a unit of a stage by kTiles times 8 rows.
template <WeightFormat kFormat, InputFormat kInput, int kUnits, int kTiles, class RightOf>
__device__ inline void multiply_unit(const uint8_t* stage, int unit,
                                     const UnitScales<kFormat, kUnits>& scales, int i,
                                     const RightOf& right, Sums (&sums)[kTiles]) {
    const Eight low = decode_unit<kFormat, kInput, kUnits>(stage, 0, unit, scales, i);
    const Eight high = decode_unit<kFormat, kInput, kUnits>(stage, 1, unit, scales, i);
    const Left steps[2] = {{{low.at[0], high.at[0], low.at[1], high.at[1]}},
                           {{low.at[2], high.at[2], low.at[3], high.at[3]}}};
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
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
    // FP8 rows have a scale for 128 columns: sums are multiplied with the weight's scales first, and those with the row's.
    constexpr bool kRowScales = kInput == InputFormat::kFp8;
    static_assert(!kRowScales || (kUnits % 4 == 0 && 4 % Format::kScaleUnits == 0));
    Sums scaled[kTiles];
    // Of many tiles two units keep the tensor cores busy; more of them at once would not fit into registers.
    constexpr int kScale = Format::kScaleUnits;
    [[maybe_unused]] constexpr int kTogether = kTiles > 1 ? (kScale < 2 ? kScale : 2) : kScale;
    // (Nor two of low-bit formats, with their books.)
    constexpr bool kSingle = kScale > 1 || is_low_bit(kFormat);
    [[maybe_unused]] constexpr int kScales = kTiles == 1 ? kUnits : kSingle ? 1 : 2;
#pragma unroll kScales
    for (int i = 0; i < kUnits; i += kScale) {
        Sums sums[kTiles] = {};
#pragma unroll kTogether
        for (int j = i; j < i + kScale; ++j)
            multiply_unit<kFormat, kInput, kUnits>(stage, first_unit + j, scales, j, right, sums);
        const float scale[2] = {scales.of(i, 0), scales.of(i, 1)};
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const float sum = sums[tile].at[c];
                float& to = kRowScales ? scaled[tile].at[c] : totals[tile].at[c];
                if (kRowScales && i % 4 == 0) {
                    to = Format::kScaled ? sum * scale[c / 2] : sum;
                } else {
                    to = Format::kScaled ? std::fma(sum, scale[c / 2], to) : to + sum;
                }
                if (kRowScales && i % 4 == 4 - kScale) {
                    float& total = totals[tile].at[c];
                    total = std::fma(to, row_scale(i, tile, c % 2), total);
                }
            }
        }
    }
}

}  // namespace millrace::cuda
