#pragma once
// The golden traces of tests/golden/model: a model's layers run as they were, each value that a step shows beside the
// golden one of its name.

#include <span>
#include <string>
#include <vector>

#include "core/engine/kv_cache.h"
#include "core/engine/observer.h"
#include "core/engine/runtime.h"
#include "tests/support/golden.h"

namespace millrace::test {

struct GoldenTrace {
    explicit GoldenTrace(const std::string& model);

    GoldenTensors tensors;
    std::vector<TokenId> tokens;
};

// One tensor of a trace: `rows` vectors, one a token (of the compressor: one an entry).
struct Traced {
    LayerId layer;
    std::string what;  // "streams", "attn", "router.ids", … as the golden README lists them
    int64_t rows = 0;

    [[nodiscard]] std::string name() const;  // "layers.3.streams"
};

// Receives computed and golden values, of equal length.
class TraceWatcher {
public:
    virtual ~TraceWatcher() = default;
    virtual void see(const Traced&, std::span<const Bf16> computed,
                     std::span<const Bf16> golden) = 0;
    virtual void see(const Traced&, std::span<const float> computed,
                     std::span<const float> golden) = 0;
    // Router ids [n, k] best first, and the entries picked [n, k] + n, best first, −1 for none.
    virtual void see(const Traced&, std::span<const int32_t> computed,
                     std::span<const int32_t> golden) = 0;
    virtual void see(const Traced&, std::span<const int64_t> computed,
                     std::span<const int64_t> golden) = 0;
};

// Each layer alone, from the golden streams before it, on all tokens at once.
void walk_layers(Runtime& runtime, const GoldenTrace& trace, TraceWatcher& watcher);
// The whole trunk; `session` and the step then hold the state behind its last token.
void walk_model(Runtime& runtime, const GoldenTrace& trace, Session& session,
                TraceWatcher& watcher);

}  // namespace millrace::test
