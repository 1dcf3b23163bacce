#pragma once
// The mixture-of-experts half of a block (spec §4.9). Expert bytes come through leases; the shared expert and the experts
// that are there run while the others land. Which experts were waiting never shows in the result: every expert's rows are
// kept and summed in increasing id at the end. Where a GPU computes, experts in its memory do so there (gpu_tier.h).

#include "core/base/result.h"
#include "core/engine/chunk.h"
#include "core/engine/gpu_tier.h"
#include "core/engine/observer.h"
#include "core/engine/scratch.h"
#include "core/model/expert_source.h"
#include "core/model/weights.h"
#include "offload/expert_cache.h"

namespace millrace {

// What the host looks at, or routed experts are computed from, in the host's memory.
struct MoeHostRooms {
    MatrixView<Bf16> x;         // [n, d]
    Fp8Rows x8;                 // [n, d]
    MatrixView<float> logits;   // [min(n, kRankedRows), E]
    MatrixView<float> guess;    // [1, E]
    MatrixView<int32_t> ids;    // [n, k]
    MatrixView<float> weights;  // [n, k]
};

struct MoeScratch {
    // In the ops' memory:
    Fp8Rows x8;
    MatrixView<float> logits;     // [n, E]
    MatrixView<float> guess;      // [1, E]
    MatrixView<int32_t> fixed;    // [n, k], hash layers
    MatrixView<int32_t> ids;      // [n, k]
    MatrixView<float> weights;    // [n, k]
    MatrixView<Bf16> shared;      // [n, d]
    MatrixView<Bf16> outputs;     // [n·k, d]
    std::span<int32_t> all_rows;  // [n], 0 … n−1
    // Where the ops have memory of their own: rows of host_outputs on their way, and their places in outputs.
    MatrixView<Bf16> arriving;           // [some, d]
    std::span<int32_t> arriving_places;  // [some]
    // In the host's:
    MoeHostRooms host;
    MatrixView<int32_t> host_fixed;  // [n, k]
    MatrixView<Bf16> host_outputs;   // [n·k, d]; `outputs` themselves where memory is one
    MatrixView<uint8_t> ranks;       // [min(n, kRankedRows), E]
    MatrixView<Bf16> expert_rows;    // [n, d] of the expert at work, if it has several
    // Rows grouped by expert: those of expert e are begin[e] … begin[e+1]−1 of `pairs` (row·k + place).
    std::span<int32_t> begin;      // [E + 1]
    std::span<int32_t> pairs;      // [n·k]
    std::span<int32_t> rows;       // [n·k], of each pair
    std::span<float> row_weights;  // [n·k]
    std::span<int32_t> home;       // [n·k] the row of host_outputs for each pair
    std::span<int32_t> placed;     // [n·k] the pair of each row of host_outputs
    std::span<ExpertCall> calls;   // [k], experts of one row each that wait for each other
    std::span<ExpertId> used;      // [E]
    std::span<ExpertId> guesses;   // [k]

    [[nodiscard]] static MoeScratch take(Arenas& arenas, const ModelConfig& config,
                                         int64_t chunk_max);
};

struct Experts {
    ExpertCache& cache;
    const ExpertSource& source;
    // What lies on the GPU; null: nothing.
    GpuTier* gpu = nullptr;
    // The next layer's router, if it has one to guess with.
    const MoeWeights* next = nullptr;
    StepWatch* watch = nullptr;
};

// kCancelled if `watch` says so; otherwise it is told the place.
[[nodiscard]] Status go_on(StepWatch* watch, const StepPlace& place);

// y = moe(x): x is the normed input [n, d], y [n, d]. Fails when the drive does, naming file and expert, and
// when it is cancelled: then what it still waited for is called off. For an observer that wants rows every expert is
// computed where it can look.
[[nodiscard]] Status run_moe(const StepContext& context, const Chunk& chunk, LayerId layer,
                             const MoeWeights& weights, MatrixView<const Bf16> x,
                             const Experts& experts, const MoeScratch& scratch,
                             StepObserver* observer, MatrixView<Bf16> y);

// Tells the cache which experts a hash layer will want for these tokens: they are known before anything is computed.
void hint_hash_layer(LayerId layer, const MoeWeights& weights, std::span<const TokenId> tokens,
                     int experts_per_token, const Experts& experts, const MoeScratch& scratch);

}  // namespace millrace
