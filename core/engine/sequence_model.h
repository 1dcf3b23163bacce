#pragma once
// What the engine loop needs of a model: one sequence that can be extended and taken back. The seam between scheduling
// and arithmetic: the loop is tested on a model of a few lines that fails and stalls on command.

#include <cstdint>
#include <memory>
#include <span>

#include "core/base/result.h"
#include "core/base/types.h"
#include "core/engine/runtime.h"
#include "core/engine/sampler.h"
#include "core/engine/session_archive.h"
#include "core/model/config.h"
#include "offload/expert_cache.h"

namespace millrace {

// Used by the engine thread only, but for config and plan, which never change, and where it says so.
class SequenceModel {
public:
    virtual ~SequenceModel() = default;

    [[nodiscard]] virtual const ModelConfig& config() const = 0;
    [[nodiscard]] virtual const MemoryPlan& plan() const = 0;
    [[nodiscard]] virtual int64_t context_max() const = 0;  // tokens the sequence may hold
    [[nodiscard]] virtual int64_t chunk_max() const = 0;    // tokens one append may hold
    [[nodiscard]] virtual ExpertCacheStats expert_stats() const = 0;  // any thread
    // Of these stats, what is looked at in every step; any thread, and without allocating.
    [[nodiscard]] virtual ExpertPulse expert_pulse() const { return {}; }
    // Of experts on a GPU; any thread. Nothing without one.
    [[nodiscard]] virtual std::optional<GpuTierStats> gpu_stats() const { return std::nullopt; }

    // Takes the sequence to the longest part of `prompt` that it holds, or the archive does; at least one token of the
    // prompt is left over.
    [[nodiscard]] virtual KeptTokens keep(std::span<const TokenId> prompt) = 0;
    // What `keep` would say, as far as that can be told without touching anything. Any thread.
    [[nodiscard]] virtual KeptTokens known(std::span<const TokenId> /*prompt*/) const { return {}; }
    // Who watches and who is told of every append from now on; null: nobody.
    virtual void watch(StepWatch* /*watch*/) {}
    virtual void observe(StepObserver* /*observer*/) {}
    // Extends the sequence. Fails with kCancelled when the watch says so; then the sequence is what it was before. A GPU
    // that stops working is no failure: the CPU computes the sequence again and goes on.
    // `logits`: empty, or [vocabulary] for the token that follows the last one.
    [[nodiscard]] virtual Status append(std::span<const TokenId> tokens,
                                        std::span<float> logits) = 0;
    // As append, for choose() alone: the logits stay where they are computed, or come to `room` [vocabulary].
    [[nodiscard]] virtual Status append_to_choose(std::span<const TokenId> tokens,
                                                  std::span<float> room) {
        return append(tokens, room);
    }
    // The sampler's choice from the logits of the last append_to_choose, with the same room. Fails as the sampler does,
    // and with kCancelled when a GPU stopped working and the CPU was told to end before it had computed the sequence again.
    [[nodiscard]] virtual Result<TokenId> choose(Sampler& sampler, std::span<float> room) {
        return sampler.sample(room);
    }
    // Whether a GPU stopped working and the CPU goes on since then.
    [[nodiscard]] virtual bool lost_gpu() const { return false; }
    // The empty sequence again.
    virtual void reset() = 0;
};

// The real one: a session of `runtime`, whose KV state goes into the archive and comes out of it if there is one. Fails
// when there is no memory for that.
[[nodiscard]] Result<std::unique_ptr<SequenceModel>> make_sequence_model(
    std::unique_ptr<Runtime> runtime, const ArchiveUse& archive);

}  // namespace millrace
