#pragma once
// Which expert in memory will be missed least. Learns from every decision of every router, of the chosen experts and of
// those that were nearly chosen, whether they are in memory or not.
//
// What is known of an expert, each time its layer is passed: how often it was chosen lately (four averages that forget
// half in 2, 8, 32 and 256 tokens), how near it stood to being chosen now and lately. From that a line of weights, learnt
// on the way by each layer, predicts whether it is chosen by the next token: the weights of a layer that looks its experts
// up, of a chatty one and of a steady one differ, and no constant had to be tuned for a model. The prediction gives the
// distance to the next use in tokens, 1 / probability, plus the part of a token until the layer's turn comes again. The
// farthest goes first. Recency is part of the averages; a fixed guard of the last tokens was tried and keeps the wrong ones.
//
// A long prompt uses nearly all experts once. What it brings is as far as its prediction says, so that it drives out what
// is farther and not what is warm.
//
// Pure bookkeeping of one thread: no allocation after construction, the same decisions on every run. Per layer passed it
// looks at each of the layer's experts; adding and removing cost the logarithm of experts in a layer, a victim one look at
// the farthest of every layer.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/tensor.h"
#include "core/base/types.h"

namespace millrace {

class ExpertPolicy {
public:
    static constexpr int32_t kExpertsMax = 65534;  // in a layer
    ExpertPolicy(int32_t layers, int32_t experts);

    // `layer` is passed by some tokens, whose `chosen` experts have the ranks 0 … chosen−1: ranks [tokens, experts], 255
    // for what is far or unknown.
    void observe(LayerId layer, MatrixView<const uint8_t> ranks, int32_t chosen);
    // It is certain that the next token to pass the layer uses it. Forgotten when the layer is passed.
    void expect(ExpertKey key);

    // The expert can be had from elsewhere at once, or not any more: while it can, it is farther than any that cannot.
    void set_elsewhere(ExpertKey key, bool elsewhere);
    [[nodiscard]] bool elsewhere(ExpertKey key) const { return elsewhere_[index(key)] != 0; }

    // The expert is in memory and may go, or not any more. Each in turns.
    void add(ExpertKey key);
    void remove(ExpertKey key);
    [[nodiscard]] bool contains(ExpertKey key) const { return evictable_[index(key)] != 0; }
    // Of those added: the one whose next use is farthest. nullopt when there is none.
    [[nodiscard]] std::optional<ExpertKey> victim() const;

    // Tokens until the next use, as expected now; what was passed to expect is near.
    [[nodiscard]] float distance(ExpertKey key) const;

private:
    static constexpr size_t kFeatures = 7;
    static constexpr size_t kAverages = 4;
    using Weights = std::array<float, kFeatures>;

    struct Layer {
        Weights weights{};
        int64_t round = 0;  // in which it was passed last
    };

    [[nodiscard]] size_t index(ExpertKey key) const {
        return static_cast<size_t>(key.layer.value) * experts_ +
               static_cast<size_t>(key.expert.value);
    }
    [[nodiscard]] std::span<float> features(size_t layer, size_t feature) {
        return std::span(features_).subspan((layer * kFeatures + feature) * experts_, experts_);
    }
    void note(size_t layer, std::span<const uint8_t> ranks, int32_t chosen);
    void set_rank_weights(int32_t chosen);
    [[nodiscard]] float layers_ahead(size_t layer) const;
    [[nodiscard]] float distance(size_t layer, uint16_t expert) const;
    // The tree of a layer: the farther of each pair, up to the farthest of all at [1].
    [[nodiscard]] uint16_t leaf(size_t layer, size_t expert) const;
    [[nodiscard]] uint16_t farther(size_t layer, uint16_t a, uint16_t b) const;
    void rebuild(size_t layer);
    void update(ExpertKey key);

    const size_t layers_, experts_;
    size_t leaves_ = 1;               // a power of two, at least experts_
    std::vector<float> features_;     // [layers][features][experts]
    std::vector<float> predicted_;    // [layers][experts] to be chosen by the next token
    std::vector<uint8_t> evictable_;  // [layers][experts]
    std::vector<uint8_t> expected_;   // [layers][experts]
    std::vector<uint8_t> elsewhere_;  // [layers][experts]
    std::vector<uint16_t> tree_;      // [layers][2·leaves] an expert or kNobody
    std::vector<Layer> of_layer_;
    std::vector<float> errors_;  // [experts] of the layer at work
    std::array<float, 256> rank_weights_{};
    int32_t rank_weights_for_ = -1;
    size_t position_ = 0;  // the layer passed last
    int64_t rounds_ = 0;   // walks through the layers
};

}  // namespace millrace
