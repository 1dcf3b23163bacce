#pragma once
// Routed experts on a GPU (spec §4.9): for every pair of a row and one of its experts
//
//   out = w2·aq128(weight · silu(min(w1·x, limit)) · clamp(w3·x, ±limit))
//
// with the rounding points of Ops::expert and every pointer one of the GPU's memory. Which experts are wanted is read there,
// so that the launches follow from shapes alone. A pair's bits are the same in any company. One thread at a time may call;
// nothing is allocated; calls return before the work is done.
//
// Codes begin at multiples of 16 bytes, scales anywhere; layout kRows. w1 and w3
// have one format, w2 may have another: FP8, FP4 and low-bit ones. Hidden and inner columns are multiples of 128.

#include <cstdint>
#include <span>

#include "core/base/tensor.h"
#include "kernels/cuda/config.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/gpu_experts.h"
#include "kernels/ops.h"

namespace millrace::cuda {

inline constexpr int kExpertsTotalMax = 1024;  // of a layer
inline constexpr int kCallsTogether = 24;      // calls that share their launches

// The experts of a layer, those that are not in the GPU's memory with null codes of w1.
struct ExpertTable {
    std::span<const ExpertWeights> experts;  // in the GPU's memory, too
    int64_t hidden = 0;
    int64_t inner = 0;
    ExpertFormats formats;  // of those that may be there
};

// Whether there are kernels for this expert: formats, shapes, alignment of codes.
[[nodiscard]] bool computes(const ExpertWeights& weights);

// Bytes of scratch for so many pairs at once; of calls, of a run of kCallsTogether.
[[nodiscard]] int64_t expert_scratch_bytes(int64_t pairs, int64_t inner, int64_t experts);

// Row r·k + j of `out` [n·k, hidden] is expert ids[r][j] on row r of x. Pairs whose expert is not there, or has no such id,
// leave their row alone.
void experts(const ExpertTable& table, const Fp8Rows& x, MatrixView<const int32_t> ids,
             MatrixView<const float> weights, float limit, MatrixView<Bf16> out,
             const DeviceMemory& scratch, Stream stream);

// Ops::experts; the list itself lies in the host's memory. Of x only the quantised rows are read. All calls have the first
// one's shape and weights that computes() accepts.
void experts(const LinearInput& x, std::span<const ExpertCall> calls, float limit,
             const DeviceMemory& scratch, Stream stream);

// Where the parts of the scratch lie, in bytes.
struct ExpertScratch {
    int64_t codes = 0, scales = 0;  // of aq128 in the middle: [pairs, inner], [pairs, inner/128]
    int64_t order = 0, jobs = 0;
    // What calls have instead of the router's: a table, ids, rows of x, weights, rows of out.
    int64_t table = 0, ids = 0, rows = 0, weights = 0, outs = 0;
    int64_t bytes = 0;
};
[[nodiscard]] ExpertScratch expert_scratch(int64_t pairs, int64_t inner, int64_t experts);

// Rows of one expert are computed together, in tiles of eight.
struct ExpertConfig {
    int tiles = 1;         // in one pass over the expert's weights: 1 or kExpertTiles
    bool grouped = false;  // or each pair by itself
    int64_t jobs = 0;      // at most
};
inline constexpr int kExpertTiles = 4;
inline constexpr int kGroupThreads = 128;
[[nodiscard]] ExpertConfig expert_config(int64_t rows, int64_t pairs, int64_t experts);

}  // namespace millrace::cuda
