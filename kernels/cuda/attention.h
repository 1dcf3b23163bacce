#pragma once
// Attention on a GPU (spec §4.7): Ops::attend with every pointer one of the GPU's memory, those inside of lists too. A row's
// bits are the same in any company, whatever the scratch holds, and on every GPU; no atomic is used. One thread at a time
// may call; nothing is allocated; the call returns before the work is done.

#include <cstdint>
#include <span>

#include "core/base/tensor.h"
#include "core/base/types.h"
#include "kernels/cuda/config.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/ops.h"

namespace millrace::cuda {

// Constants of a key's place in its list and of nothing else: they decide the order of sums.
inline constexpr int kTileKeys = 16;   // scored by one block
inline constexpr int kSplitKeys = 64;  // whose values one block adds up
inline constexpr int kTileHeads = 16;
inline constexpr int kValueHeads = 64;
inline constexpr int kAttendThreads = 128;
static_assert(kSplitKeys % kTileKeys == 0 && kValueHeads % kTileHeads == 0);

struct AttendProblem {
    int64_t rows = 0;
    int64_t heads = 0;
    int64_t keys = 0;  // of the longest list, or more
};

struct AttendConfig {
    LaunchConfig scores, values, merge;
};
[[nodiscard]] AttendConfig attend_config(const AttendProblem& problem);

// Parts of a scratch, in bytes from its beginning. Lanes are heads, rounded up to whole tiles.
struct AttendScratch {
    int64_t rows = 0;  // at the same time
    int64_t lanes = 0, tiles = 0, splits = 0;
    int64_t scores = 0;     // [rows][tiles · kTileKeys][lanes]
    int64_t tile_most = 0;  // [rows][tiles][lanes]
    int64_t totals = 0;     // [rows][splits][lanes]
    int64_t most = 0;       // [rows][lanes]
    int64_t sums = 0;       // [rows][splits][lanes][kHeadDim]
    int64_t bytes = 0;
};
// For all rows, or as many of them as the bytes have room for.
[[nodiscard]] AttendScratch attend_scratch(const AttendProblem& problem, int64_t bytes_max);
// The least that attend needs; with less than rows times as much it works on some rows after others.
[[nodiscard]] int64_t attend_scratch_bytes(int64_t heads, int64_t keys);

// Keys beyond the first `keys_max` of a list (which lies on the GPU, so that only the caller knows) are not looked at.
void attend(MatrixView<const Bf16> q, std::span<const KeyList> keys, int64_t keys_max,
            std::span<const float> sink, MatrixView<Bf16> out, const DeviceMemory& scratch,
            Stream stream);

}  // namespace millrace::cuda
