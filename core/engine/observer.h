#pragma once
// Taps into a step, for tests and traces. Called on the engine thread with views that are valid during the call only.

#include "core/base/tensor.h"
#include "core/base/types.h"

namespace millrace {

enum class Tap {
    kAttentionInput,   // after attn_norm [n, d]
    kAttentionOutput,  // after wo_b [n, d]
    kMoeInput,         // after ffn_norm [n, d]
    kMoeOutput,        // experts and shared expert, combined [n, d]
    kBlockOutput,      // streams after the block [n, 4d]
};

class StepObserver {
public:
    virtual ~StepObserver() = default;
    virtual void tap(Tap, LayerId, MatrixView<const Bf16>) {}
    // Expert ids best first (hash layers: in the table's order) and their weights, [n, k].
    virtual void routed(LayerId, MatrixView<const int32_t> /*ids*/,
                        MatrixView<const float> /*weights*/) {}
    // Entries the indexer picked, best first, −1 for none [n, k].
    virtual void picked(LayerId, MatrixView<const int32_t>) {}
};

}  // namespace millrace
