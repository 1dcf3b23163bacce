#pragma once
// A model ready to compute: checkpoint, ops, expert cache and scratch, for one thread. Engine runs one behind queues;
// tools that need every logit use it directly.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/pool.h"
#include "core/base/tensor.h"
#include "core/engine/dense_weights.h"
#include "core/engine/gpu_options.h"
#include "core/engine/memory_plan.h"
#include "core/engine/session.h"
#include "core/engine/step.h"
#include "core/model/checkpoint.h"
#include "kernels/ops.h"
#include "offload/expert_cache.h"

namespace millrace {

struct RuntimeOptions {
    int threads = 0;  // compute threads; 0: one for every CPU that the process may use
    // Which implementation of kernels/ops.h: "cpu", "reference", or "cuda": GPUs, and the CPU for routed experts that are
    // not there.
    std::string ops = "cpu";
    CpuOptions cpu;  // how the cpu ops compute, which have the routed experts of "cuda" too
    GpuOptions gpu;  // of "cuda"
    Pinning pinning = Pinning::kYes;  // of compute threads and of the thread that calls forward
    uint64_t ram_budget_bytes = 0;    // for expert slots; 0: all experts
    int64_t context_max = 8192;       // tokens a session may hold, at most the model's limit
    int32_t prefill_chunk = 256;      // tokens computed together, ≥ 1
    int32_t rollback_tokens =
        64;  // how far a session can be taken back exactly without computing again
    IoBackend io = IoBackend::kAuto;  // offload/expert_cache.h
    DirectIo direct_io = DirectIo::kAuto;
};

// offload knows bytes, the model knows experts: the engine is where they meet.
[[nodiscard]] ExpertLayout expert_layout(const ExpertSource& source);

class Runtime {
public:
    [[nodiscard]] static Result<std::unique_ptr<Runtime>> open(const Path& checkpoint,
                                                               const RuntimeOptions& options,
                                                               const OpenWatch& watch = {});
    ~Runtime();
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;

    [[nodiscard]] const Checkpoint& checkpoint() const;
    [[nodiscard]] const ModelConfig& config() const { return checkpoint().config(); }
    [[nodiscard]] const RuntimeOptions& options() const;
    [[nodiscard]] const MemoryPlan& plan() const;
    [[nodiscard]] ExpertCacheStats expert_stats() const;  // these two: any thread
    [[nodiscard]] ExpertPulse expert_pulse() const;
    // Of experts on all GPUs together, any thread; nothing without one. plan() has what lies on which.
    [[nodiscard]] std::optional<GpuTierStats> gpu_stats() const;

    // An empty session with room for options().context_max tokens. On GPUs that have no such room left experts give way.
    [[nodiscard]] Result<Session> new_session();

    // Appends `tokens` (at most options().prefill_chunk) to the session. logits: no rows, one row, or one a token
    // [n, vocabulary]. Any chunking gives the same bits. Fails when the context is full, when the drive fails, and
    // when it is cancelled (Step::watch); then the session holds the tokens that it held before.
    [[nodiscard]] Status forward(Session& session, std::span<const TokenId> tokens,
                                 LogitsWanted wanted, MatrixView<float> logits);
    // After forward failed with kDeviceLost, on whichever GPU: from now on everything is computed on the CPU. Sessions made
    // before are of no use any more, but must be gone before the runtime. Takes as long as opening the model; experts stay
    // in memory.
    [[nodiscard]] Status continue_on_cpu();
    // The pieces of `forward`, for drafts and tests.
    [[nodiscard]] Step& step();

private:
    struct Parts;
    explicit Runtime(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
