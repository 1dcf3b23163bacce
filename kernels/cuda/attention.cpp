// Shapes of attention's launches and of its scratch.

#include "kernels/cuda/attention.h"

#include <algorithm>

#include "core/base/check.h"

namespace millrace::cuda {
namespace {

constexpr int64_t kAlignment = 16;
constexpr int64_t kRowsMax = 65535;  // blocks of the grid's last dimensions

int64_t pieces(int64_t count, int64_t size) { return (count + size - 1) / size; }
uint32_t blocks(int64_t count) {
    ENSURE(count <= INT32_MAX);
    return static_cast<uint32_t>(count);
}

AttendScratch scratch_of(const AttendProblem& problem, int64_t rows) {
    AttendScratch out;
    out.rows = rows;
    out.lanes = pieces(problem.heads, kTileHeads) * kTileHeads;
    out.tiles = pieces(problem.keys, kTileKeys);
    out.splits = pieces(problem.keys, kSplitKeys);
    const auto take = [&](int64_t floats_of_row) {
        const int64_t at = out.bytes;
        out.bytes += pieces(4 * rows * floats_of_row, kAlignment) * kAlignment;
        return at;
    };
    out.scores = take(out.tiles * kTileKeys * out.lanes);
    out.tile_most = take(out.tiles * out.lanes);
    out.totals = take(out.splits * out.lanes);
    out.most = take(out.lanes);
    out.sums = take(out.splits * out.lanes * kHeadDim);
    return out;
}

}  // namespace

AttendConfig attend_config(const AttendProblem& problem) {
    constexpr int64_t kGroups = kHeadDim / kKvGroup;
    const uint32_t rows = blocks(problem.rows);
    AttendConfig config;
    config.scores = {
        {blocks(pieces(problem.keys, kTileKeys)), blocks(pieces(problem.heads, kTileHeads)), rows},
        kAttendThreads};
    config.values = {{blocks(pieces(problem.keys, kSplitKeys) * kGroups),
                      blocks(pieces(problem.heads, kValueHeads)), rows},
                     kAttendThreads};
    config.merge = {{blocks(problem.heads), rows}, kAttendThreads};
    return config;
}

AttendScratch attend_scratch(const AttendProblem& problem, int64_t bytes_max) {
    AttendScratch out = scratch_of(problem, std::min(problem.rows, kRowsMax));
    if (out.bytes > bytes_max) {
        const int64_t one = scratch_of(problem, 1).bytes;
        out = scratch_of(problem, std::max<int64_t>(bytes_max / one, 1));
    }
    return out;
}

int64_t attend_scratch_bytes(int64_t heads, int64_t keys) {
    return scratch_of({1, heads, keys}, 1).bytes;
}

}  // namespace millrace::cuda
