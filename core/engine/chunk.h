#pragma once
// What every part of a step knows about the rows it works on.

#include <cstdint>
#include <span>

#include "core/base/types.h"
#include "core/model/config.h"
#include "kernels/ops.h"

namespace millrace {

class StepRecordings;

// Consecutive tokens of one sequence: row r is token tokens[r] at position first + r.
struct Chunk {
    std::span<const TokenId> tokens;
    int64_t first = 0;
    // No less than end(): how much is launched may follow from it, no result does.
    int64_t limit = 0;
    // In the ops' memory, so that what a step launches need not know them:
    std::span<const int32_t> positions;
    std::span<const int32_t> visible;  // how many entries of ratio 4 each row sees
    // Where parts of the step may be recorded.
    StepRecordings* recordings = nullptr;

    [[nodiscard]] int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
    [[nodiscard]] int64_t end() const { return first + rows(); }
};

// The frequencies of both kinds of layers (spec §4.4).
struct RopeTables {
    RopeTable plain;       // ratio 0, drafts
    RopeTable compressed;  // ratio 4 and 128
    [[nodiscard]] static RopeTables of(const RopeConfig& config) {
        return {RopeTable::plain(config.theta),
                RopeTable::yarn(config.compress_theta, config.yarn_factor, config.beta_fast,
                                config.beta_slow, config.original_positions)};
    }
    [[nodiscard]] const RopeTable& of(LayerKind kind) const {
        return kind == LayerKind::kWindow ? plain : compressed;
    }
};

// What does not change from step to step.
struct StepContext {
    const ModelConfig& config;
    Ops& ops;
    // Where routed experts are computed: where their bytes land. The same, unless `ops` has memory of its own.
    Ops& expert_ops;
    const RopeTables& rope;
};

}  // namespace millrace
