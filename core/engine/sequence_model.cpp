#include "core/engine/sequence_model.h"

#include "core/engine/session.h"

namespace millrace {
namespace {

class RuntimeSequence final : public SequenceModel {
public:
    RuntimeSequence(std::unique_ptr<Runtime> runtime, Session session)
        : runtime_(std::move(runtime)), session_(std::move(session)) {}

    const ModelConfig& config() const override { return runtime_->config(); }
    const MemoryPlan& plan() const override { return runtime_->plan(); }
    int64_t context_max() const override { return session_.context_max(); }
    int64_t chunk_max() const override { return runtime_->options().prefill_chunk; }
    ExpertCacheStats expert_stats() const override { return runtime_->expert_stats(); }

    int64_t keep(std::span<const TokenId> prompt) override {
        const int64_t kept = session_.reusable(prompt);
        session_.roll_back(kept);
        return kept;
    }
    Status append(std::span<const TokenId> tokens, std::span<float> logits) override {
        if (logits.empty()) return runtime_->forward(session_, tokens, LogitsWanted::kNone, {});
        return runtime_->forward(session_, tokens, LogitsWanted::kLast,
                                 {logits.data(), 1, static_cast<int64_t>(logits.size())});
    }
    void reset() override { session_.reset(); }

private:
    std::unique_ptr<Runtime> runtime_;
    Session session_;
};

}  // namespace

Result<std::unique_ptr<SequenceModel>> make_sequence_model(std::unique_ptr<Runtime> runtime) {
    Session session = TRY(runtime->new_session());
    return std::unique_ptr<SequenceModel>(
        std::make_unique<RuntimeSequence>(std::move(runtime), std::move(session)));
}

}  // namespace millrace
