// Shapes of the indexer's launches and of its scratch.

#include "kernels/cuda/indexer.h"

#include <algorithm>

#include "core/base/check.h"

namespace millrace::cuda {
namespace {

constexpr int64_t kAlignment = 16;
constexpr int64_t kRowsMax = 65535;  // blocks of the grid's second dimension

int64_t pieces(int64_t count, int64_t size) { return (count + size - 1) / size; }
int64_t aligned(int64_t bytes) { return pieces(bytes, kAlignment) * kAlignment; }

SelectStage stage_of(const IndexProblem& problem, int64_t positions) {
    // The network that sorts the picks has two of them a thread.
    if (positions <= int64_t{kFewThreads} * kSelectKeys &&
        std::min(positions, problem.picks) <= 2 * kFewThreads) {
        return {positions, {{1, static_cast<uint32_t>(problem.rows)}, kFewThreads}};
    }
    // A row without entries has a block too: it says that there is nothing.
    const int64_t blocks = std::max<int64_t>(pieces(positions, kSelectEntries), 1);
    ENSURE(blocks <= INT32_MAX);
    return {positions,
            {{static_cast<uint32_t>(blocks), static_cast<uint32_t>(problem.rows)},
             static_cast<uint32_t>(kSelectThreads)}};
}

IndexScratch scratch_of(const IndexProblem& problem, int64_t rows) {
    IndexScratch out;
    out.rows = rows;
    out.key_stride = pieces(problem.entries, kWarpEntries) * kWarpEntries;
    out.bytes = aligned(2 * rows * out.key_stride);
    SelectStage stage = first_stage(problem);
    for (int i = 0; i < 2 && !stage.last(); ++i) {
        stage = next_stage(stage, problem);
        out.candidate_stride[i] = stage.positions;
        out.candidate_keys[i] = out.bytes;
        out.bytes += aligned(2 * rows * stage.positions);
        out.candidate_indices[i] = out.bytes;
        out.bytes += aligned(4 * rows * stage.positions);
    }
    return out;
}

}  // namespace

ScoreConfig score_config(const IndexProblem& problem) {
    // Decoding the queries' heads costs as much as half a round: several rounds a block where there are blocks enough.
    constexpr int64_t kBlocksWanted = 512;
    const int64_t rounds = pieces(problem.entries, kScoreEntries);
    ScoreConfig config;
    config.rounds =
        static_cast<int>(std::clamp<int64_t>(rounds * problem.rows / kBlocksWanted, 1, 16));
    const int64_t blocks = pieces(rounds, config.rounds);
    ENSURE(blocks <= INT32_MAX && problem.rows <= kRowsMax);
    config.launch = {{static_cast<uint32_t>(blocks), static_cast<uint32_t>(problem.rows)},
                     static_cast<uint32_t>(kScoreThreads)};
    return config;
}

SelectStage first_stage(const IndexProblem& problem) { return stage_of(problem, problem.entries); }

SelectStage next_stage(const SelectStage& stage, const IndexProblem& problem) {
    return stage_of(problem, int64_t{stage.launch.blocks.x} * problem.picks);
}

IndexScratch index_scratch(const IndexProblem& problem, int64_t bytes_max) {
    int64_t rows = std::min(problem.rows, kRowsMax);
    IndexScratch out = scratch_of(problem, rows);
    if (out.bytes > bytes_max) {
        rows = std::max<int64_t>(bytes_max / scratch_of(problem, 1).bytes, 1);
        out = scratch_of(problem, rows);
    }
    return out;
}

int64_t index_scratch_bytes(int64_t entries, int64_t picks) {
    return scratch_of({1, entries, picks}, 1).bytes;
}

}  // namespace millrace::cuda
