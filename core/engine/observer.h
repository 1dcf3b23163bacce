#pragma once
// Taps into a step, for tests and traces. Called on the engine thread with views that are valid during the call only.

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/tensor.h"
#include "core/base/types.h"
#include "kernels/ops.h"

namespace millrace {

enum class Tap {
    kAttentionInput,   // after attn_norm [n, d]
    kAttentionOutput,  // after wo_b [n, d]
    kMoeInput,         // after ffn_norm [n, d]
    kMoeOutput,        // experts and shared expert, combined [n, d]
    kBlockOutput,      // streams after the block [n, 4d]
};

// Where the time of a step goes.
enum class StepPart : uint8_t {
    kEnds,              // embedding, head
    kHyperConnections,  // hyper-connections and the norms behind them
    kProjections,       // of attention: q, kv, output
    kCompressor,
    kIndexer,  // with its own compressor
    kAttend,
    kRouter,
    kExperts,  // routed, and the sum of all
    kShared,   // the shared expert
    kWait,     // for experts that are not in memory
};
inline constexpr size_t kStepParts = 10;

// Where a step is: experts_done of the `experts` that `layer` asked for are added up.
struct StepPlace {
    int32_t layer = 0, layers = 0;
    int32_t experts_done = 0, experts = 0;
};

// Who waits for a step. Engine thread.
class StepWatch {
public:
    virtual ~StepWatch() = default;
    // Asked before every layer and before every wait for an expert: then the step ends with kCancelled.
    [[nodiscard]] virtual bool cancelled() const = 0;
    // Told just after it was asked.
    virtual void reached(const StepPlace& /*place*/) {}
};

class StepObserver {
public:
    virtual ~StepObserver() = default;
    // Whether it looks at rows (tap, picked): where they lie on a GPU, each costs a wait.
    [[nodiscard]] virtual bool wants_rows() const { return false; }
    // What is done from now on, until the next call, belongs to `part`.
    virtual void begins(StepPart /*part*/) {}
    virtual void tap(Tap, LayerId, MatrixView<const Bf16>) {}
    // Expert ids best first (hash layers: in the table's order) and their weights, [n, k].
    virtual void routed(LayerId, MatrixView<const int32_t> /*ids*/,
                        MatrixView<const float> /*weights*/) {}
    // An expert is about to be computed for some rows of x (kernels/ops.h, expert).
    virtual void expert(ExpertKey /*key*/, const LinearInput& /*x*/,
                        std::span<const int32_t> /*rows*/, const ExpertWeights& /*weights*/,
                        std::span<const float> /*route_weights*/) {}
    // Where all experts stood (router_ranks.h), of the chunk's last min(n, kRankedRows) rows [·, experts].
    virtual void ranked(LayerId, MatrixView<const uint8_t> /*ranks*/) {}
    // Entries the indexer picked, best first, −1 for none [n, k].
    virtual void picked(LayerId, MatrixView<const int32_t>) {}
};

[[nodiscard]] inline bool wants_rows(const StepObserver* observer) {
    return observer != nullptr && observer->wants_rows();
}
inline void begin_part(StepObserver* observer, StepPart part) {
    if (observer != nullptr) observer->begins(part);
}

}  // namespace millrace
