#pragma once
// The lightning indexer on a GPU (spec §4.6): Ops::index_topk with every pointer one of the GPU's memory. A row's picks are
// the same in any company and whatever the scratch holds; no atomic is used. One thread at a time may call; nothing is
// allocated; the call returns before the work is done.

#include <cstdint>
#include <span>

#include "core/base/tensor.h"
#include "core/base/types.h"
#include "kernels/cuda/config.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/kv_rows.h"

namespace millrace::cuda {

inline constexpr int64_t kIndexHeadsMax = 64;
inline constexpr int64_t kIndexPicksMax = 2048;

// Scores: a warp takes kWarpEntries entries at a time, a block of four warps some rounds of that.
inline constexpr int kWarpEntries = 32;
inline constexpr int kScoreThreads = 128;
inline constexpr int64_t kScoreEntries = kScoreThreads / kWarp * kWarpEntries;  // of one round
// Selection: one block finds the best of so many; a smaller block where that is enough (barriers are cheaper).
inline constexpr int kSelectThreads = 1024;
inline constexpr int kFewThreads = 256;
inline constexpr int kSelectKeys = 8;  // of one thread
inline constexpr int64_t kSelectEntries = int64_t{kSelectThreads} * kSelectKeys;

struct IndexProblem {
    int64_t rows = 0;
    int64_t entries = 0;
    int64_t picks = 0;  // of a row
};

struct ScoreConfig {
    LaunchConfig launch;
    int rounds = 1;
};
[[nodiscard]] ScoreConfig score_config(const IndexProblem& problem);

// Selection goes on in stages until one block is enough: each block of a stage leaves `picks` candidates.
struct SelectStage {
    int64_t positions = 0;  // candidates of a row that the stage chooses from
    LaunchConfig launch;
    [[nodiscard]] bool last() const { return launch.blocks.x <= 1; }
};
[[nodiscard]] SelectStage first_stage(const IndexProblem& problem);
[[nodiscard]] SelectStage next_stage(const SelectStage& stage, const IndexProblem& problem);

// Where the parts of a scratch for `rows` rows lie, in bytes: keys, and what two stages leave in turn.
struct IndexScratch {
    int64_t rows = 0;        // at the same time
    int64_t key_stride = 0;  // numbers of a row
    int64_t candidate_stride[2] = {};
    int64_t candidate_keys[2] = {};
    int64_t candidate_indices[2] = {};
    int64_t bytes = 0;
};
// For all rows, or as many of them as the bytes have room for.
[[nodiscard]] IndexScratch index_scratch(const IndexProblem& problem, int64_t bytes_max);
// The least that index_topk needs; with less than rows times as much it works on some rows after others.
[[nodiscard]] int64_t index_scratch_bytes(int64_t entries, int64_t picks);

// q and entries begin at multiples of 4 bytes; at most kIndexHeadsMax heads and kIndexPicksMax picks. `visible` is trusted
// to be from 0 to entries.size() (larger numbers are taken as that).
void index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                std::span<const IndexRow> entries, std::span<const int32_t> visible,
                MatrixView<int32_t> picks, const DeviceMemory& scratch, Stream stream);

}  // namespace millrace::cuda
