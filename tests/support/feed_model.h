#pragma once
// A model of which a live feed sees all that it asks for, its shape and its counters, and that computes nothing.

#include <utility>

#include "core/engine/sequence_model.h"

namespace millrace::test {

class FeedModel final : public SequenceModel {
public:
    // `experts`: that the routers choose in a layer for a token.
    FeedModel(size_t layers, int32_t experts, ExpertCacheStats stats = {})
        : stats_(std::move(stats)) {
        config_.layers.assign(layers, LayerKind::kWindow);
        config_.experts_per_token = experts;
    }
    const ModelConfig& config() const override { return config_; }
    const MemoryPlan& plan() const override { return plan_; }
    int64_t context_max() const override { return 1; }
    int64_t chunk_max() const override { return 1; }
    ExpertCacheStats expert_stats() const override { return stats_; }
    KeptTokens keep(std::span<const TokenId>) override { return {}; }
    Status append(std::span<const TokenId>, std::span<float>) override { return {}; }
    void reset() override {}

private:
    ModelConfig config_;
    MemoryPlan plan_;
    ExpertCacheStats stats_;
};

}  // namespace millrace::test
