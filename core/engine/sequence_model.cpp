#include "core/engine/sequence_model.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "core/engine/held_tokens.h"
#include "core/engine/session.h"

namespace millrace {
namespace {

class RuntimeSequence final : public SequenceModel {
public:
    RuntimeSequence(std::unique_ptr<Runtime> runtime, Session session,
                    std::unique_ptr<SessionArchive> archive)
        : runtime_(std::move(runtime)),
          plan_(runtime_->plan()),
          session_(std::move(session)),
          archive_(std::move(archive)),
          held_(session_.context_max()) {
        if (archive_) plan_.archive_bytes = SessionArchive::memory_bytes(runtime_->config());
    }

    const ModelConfig& config() const override { return runtime_->config(); }
    const MemoryPlan& plan() const override { return plan_; }
    int64_t context_max() const override { return session_.context_max(); }
    int64_t chunk_max() const override { return runtime_->options().prefill_chunk; }
    ExpertCacheStats expert_stats() const override { return runtime_->expert_stats(); }
    ExpertPulse expert_pulse() const override { return runtime_->expert_pulse(); }
    std::optional<GpuTierStats> gpu_stats() const override { return runtime_->gpu_stats(); }

    KeptTokens keep(std::span<const TokenId> prompt) override {
        const KeptTokens kept = archives() ? archive_->keep(session_, prompt) : roll_back(prompt);
        held_.replace(session_);
        return kept;
    }
    KeptTokens known(std::span<const TokenId> prompt) const override {
        const int64_t held = held_.reusable(prompt);
        const int64_t archived = archives() ? archive_->known(prompt) : 0;
        return {std::max(held, archived), std::max<int64_t>(0, archived - held)};
    }
    void watch(StepWatch* watch) override {
        watch_ = watch;
        if (!beyond_help_) runtime_->step().watch(watch);
    }
    bool lost_gpu() const override { return lost_gpu_; }
    void observe(StepObserver* observer) override {
        if (!beyond_help_) runtime_->step().observe(observer);
    }
    Status append(std::span<const TokenId> tokens, std::span<float> logits) override {
        return extend(tokens, logits.empty() ? LogitsWanted::kNone : LogitsWanted::kLast, logits);
    }
    Status append_to_choose(std::span<const TokenId> tokens, std::span<float> room) override {
        return extend(tokens, on_gpu() ? LogitsWanted::kKept : LogitsWanted::kLast, room);
    }
    Result<TokenId> choose(Sampler& sampler, std::span<float> room) override {
        if (!kept_) return sampler.sample(room);
        Step& step = runtime_->step();
        const Result<TokenId> token = sampler.sample(step.context().ops, step.kept_logits(), room);
        if (token.ok() || token.error().code != ErrorCode::kDeviceLost) return token;
        TRY(go_on_without_gpu(room));
        return sampler.sample(room);
    }
    void reset() override {
        session_.reset();
        held_.replace(session_);
    }

private:
    Status extend(std::span<const TokenId> tokens, LogitsWanted wanted, std::span<float> logits) {
        if (beyond_help_) return *beyond_help_;
        kept_ = wanted == LogitsWanted::kKept;
        Status done = forward(tokens, wanted, logits);
        if (!done.ok() && done.error().code == ErrorCode::kDeviceLost) {
            TRY(go_on_without_gpu({}));
            if (kept_) wanted = LogitsWanted::kLast;
            kept_ = false;
            done = forward(tokens, wanted, logits);
        }
        held_.extend(session_);
        // Also when it was stopped: pages for which there was no room before may find some now, and there may be no later.
        if (archives()) archive_->store(session_);
        return done;
    }
    Status forward(std::span<const TokenId> tokens, LogitsWanted wanted, std::span<float> logits) {
        return runtime_->forward(session_, tokens, wanted,
                                 {logits.data(), wanted == LogitsWanted::kLast ? 1 : 0,
                                  static_cast<int64_t>(logits.size())});
    }
    // The same sequence, computed by the CPU, and the logits behind it unless these are empty. When it is stopped meanwhile,
    // as far as that came.
    Status go_on_without_gpu(std::span<float> logits) {
        kept_ = false;
        const std::vector<TokenId> tokens(session_.tokens().begin(), session_.tokens().end());
        // Its pages belong to another arithmetic than those that are to come.
        lost_gpu_ = true;
        const Status opened = runtime_->continue_on_cpu();
        if (!opened.ok()) {
            beyond_help_ = opened.error().in("going on without the GPU");
            return *beyond_help_;
        }
        runtime_->step().watch(watch_);
        session_ = TRY(runtime_->new_session());
        const auto chunk = static_cast<size_t>(chunk_max());
        Status done;
        for (size_t at = 0; at < tokens.size() && done.ok(); at += chunk) {
            const bool wanted = at + chunk >= tokens.size() && !logits.empty();
            done = forward(std::span(tokens).subspan(at, std::min(chunk, tokens.size() - at)),
                           wanted ? LogitsWanted::kLast : LogitsWanted::kNone, logits);
        }
        held_.replace(session_);
        return done;
    }
    [[nodiscard]] bool on_gpu() const { return plan_.on_gpu && !lost_gpu_; }
    [[nodiscard]] bool archives() const { return archive_ && !lost_gpu_; }

    KeptTokens roll_back(std::span<const TokenId> prompt) {
        const int64_t kept = session_.reusable(prompt);
        session_.roll_back(kept);
        return {kept, 0};
    }

    std::unique_ptr<Runtime> runtime_;
    MemoryPlan plan_;
    Session session_;
    std::unique_ptr<SessionArchive> archive_;  // null: none
    HeldTokens held_;
    StepWatch* watch_ = nullptr;
    bool kept_ = false;  // the logits of the last append lie with the step
    std::atomic<bool> lost_gpu_ = false;
    std::optional<Error> beyond_help_;  // neither GPU nor CPU compute any more
};

}  // namespace

Result<std::unique_ptr<SequenceModel>> make_sequence_model(std::unique_ptr<Runtime> runtime,
                                                           const ArchiveUse& use) {
    Session session = TRY(runtime->new_session());
    std::unique_ptr<SessionArchive> archive;
    if (use.archive != nullptr) {
        archive = TRY(SessionArchive::create(use, runtime->config(), session.context_max()));
    }
    return std::unique_ptr<SequenceModel>(std::make_unique<RuntimeSequence>(
        std::move(runtime), std::move(session), std::move(archive)));
}

}  // namespace millrace
