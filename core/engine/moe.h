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

// What the router says and was asked about. The host looks at it, or computes routed experts from it, and has the same in
// its own memory: in this order, so that one copy brings what of one row is wanted.
struct MoeRowCounts {
    int64_t rows = 0, logits = 0, inputs = 0;
};
struct MoeRows {
    MatrixView<float> guess;    // [1, E], of the next layer's router
    MatrixView<float> logits;   // [n, E]; the host's [min(n, kRankedRows), E]
    MatrixView<int32_t> ids;    // [n, k]
    MatrixView<float> weights;  // [n, k]
    Fp8Rows x8;                 // [n, d]
    MatrixView<Bf16> x;         // [n, d]; of several rows only the host has it here

    [[nodiscard]] static MoeRows take(Arena& arena, const ModelConfig& config,
                                      const MoeRowCounts& counts);
};

struct MoeScratch {
    // In the ops' memory:
    MoeRows chunk, one;           // of a chunk, and of a single row
    MatrixView<int32_t> fixed;    // [n, k], hash layers
    MatrixView<Bf16> shared;      // [n, d]
    MatrixView<Bf16> outputs;     // [n·k, d]
    std::span<int32_t> all_rows;  // [n], 0 … n−1: written once, by Step::create
    // Where the ops have memory of their own: rows of host_outputs on their way, and their places in outputs.
    MatrixView<Bf16> arriving;           // [some, d]
    std::span<int32_t> arriving_places;  // [some]
    // In the host's:
    MoeRows host, host_one;
    bool pinned = false;             // these, so that copies to them may be recorded
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

// What the host computes routed experts from.
struct MoeInput {
    LinearInput x;                    // in the host's memory
    MatrixView<const float> weights;  // [n, k], there too
    float limit = 0;
};

// One layer's experts for a chunk, and what they work with; all of it outlives them.
struct MoeCall {
    const StepContext& context;
    const Chunk& chunk;
    LayerId layer;
    const MoeWeights& weights;
    MatrixView<const Bf16> x;  // the normed input [n, d]
    const Experts& experts;
    const MoeScratch& scratch;
    StepObserver* observer = nullptr;
};

// y = moe(x) in parts, in this order. What a GPU is asked for in `choose` and `sum` may be recorded with what comes before
// and behind them; `compute` has a recording of its own.
class MoeHalf {
public:
    explicit MoeHalf(const MoeCall& call);
    // What the host knows before anything of the layer is computed.
    [[nodiscard]] Status prepare();
    // Whether choose() asks the next layer's router, too. Known from prepare() on.
    [[nodiscard]] bool guesses() const { return guess_.rows > 0; }
    // The router, and what the host wants to know of it on its way.
    [[nodiscard]] Status choose();
    // All experts. Waits once, for what was asked for before. Fails when the drive does, naming file and expert, and when it
    // is cancelled: then what it still waited for is called off. For an observer that wants rows every expert is computed
    // where it can look.
    [[nodiscard]] Status compute();
    // What they gave, to y [n, d]. Knows nothing of the layer.
    static void sum(const StepContext& context, const MoeScratch& scratch, MatrixView<Bf16> y);

private:
    // Whether choose() begins to read, too.
    [[nodiscard]] bool sends() const {
        return call_.chunk.recordings != nullptr && call_.scratch.pinned;
    }
    void decide_guess();
    void ask_next();
    void compute_shared();
    // What a GPU computes without the host.
    [[nodiscard]] Status begin_compute();

    const MoeCall call_;
    Ops& ops_;
    GpuTier* const gpu_;
    const bool single_;
    const MoeRows of_;         // the ops'
    MatrixView<float> guess_;  // no rows: it is not asked for
    MatrixView<int32_t> fixed_;
    HostReads reads_;
    // As the host reads them; no logits of hash layers.
    MatrixView<const float> host_guess_, logits_;
    MatrixView<const int32_t> chosen_;
    MoeInput input_;
    RoutedRows on_gpu_;
};

// All of them.
[[nodiscard]] Status run_moe(const MoeCall& call, MatrixView<Bf16> y);

// Where the input of `n` rows is put best: a single row's beside what else the host wants of it. `rows`: others.
[[nodiscard]] MatrixView<Bf16> moe_input(const MoeScratch& scratch, MatrixView<Bf16> rows);

// Tells the cache which experts a hash layer will want for these tokens: they are known before anything is computed.
void hint_hash_layer(LayerId layer, const MoeWeights& weights, std::span<const TokenId> tokens,
                     int experts_per_token, const Experts& experts, const MoeScratch& scratch);

}  // namespace millrace
