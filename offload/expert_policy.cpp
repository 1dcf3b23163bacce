#include "offload/expert_policy.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace millrace {
namespace {

constexpr uint16_t kNobody = std::numeric_limits<uint16_t>::max();
static_assert(ExpertPolicy::kExpertsMax < kNobody);

// Features: averages that keep this much a token (half of it after 2, 8, 32, 256), then nearness now, its average, one.
constexpr std::array<float, 4> kKeep = {0.70710678F, 0.91700404F, 0.97857206F, 0.99729609F};
constexpr float kKeepNearness = 0.91700404F;
constexpr size_t kNow = 4, kNearness = 5, kConstant = 6;
// Where learning begins: about what it ends with on text.
constexpr std::array<float, 7> kFirstWeights = {0.1F, 0.2F, 0.3F, 0.4F, 0, 0, 0};
constexpr float kRate = 0.005F;
constexpr float kWeightMax = 4;
// Nothing is farther than a thousand tokens; what was expected is nearer than anything.
constexpr float kLeast = 1e-3F;
constexpr float kElsewhere = 1e6F;

// In eight sums, so that it can be done eight at a time and still has one order.
float dot(std::span<const float> a, std::span<const float> b) {
    std::array<float, 8> sums{};
    size_t i = 0;
    for (; i + sums.size() <= a.size(); i += sums.size()) {
        for (size_t lane = 0; lane < sums.size(); ++lane) sums[lane] += a[i + lane] * b[i + lane];
    }
    for (; i < a.size(); ++i) sums[0] += a[i] * b[i];
    float total = 0;
    for (const float sum : sums) total += sum;
    return total;
}

}  // namespace

ExpertPolicy::ExpertPolicy(int32_t layers, int32_t experts)
    : layers_(static_cast<size_t>(layers)), experts_(static_cast<size_t>(experts)) {
    ENSURE(layers > 0 && experts > 0 && experts <= kExpertsMax);
    while (leaves_ < experts_) leaves_ *= 2;
    features_.resize(layers_ * kFeatures * experts_);
    predicted_.resize(layers_ * experts_);
    evictable_.resize(layers_ * experts_);
    expected_.resize(layers_ * experts_);
    elsewhere_.resize(layers_ * experts_);
    tree_.assign(layers_ * 2 * leaves_, kNobody);
    of_layer_.resize(layers_);
    errors_.resize(experts_);
    for (size_t layer = 0; layer < layers_; ++layer) {
        of_layer_[layer].weights = kFirstWeights;
        std::ranges::fill(features(layer, kConstant), 1.0F);
    }
}

void ExpertPolicy::observe(LayerId layer, MatrixView<const uint8_t> ranks, int32_t chosen) {
    const auto l = static_cast<size_t>(layer.value);
    ENSURE(l < layers_ && static_cast<size_t>(ranks.cols) == experts_);
    if (l <= position_) ++rounds_;
    position_ = l;
    of_layer_[l].round = rounds_;
    set_rank_weights(chosen);
    for (int64_t r = 0; r < ranks.rows; ++r) note(l, ranks.row(r), chosen);
    std::ranges::fill(std::span(expected_).subspan(l * experts_, experts_), uint8_t{0});
    rebuild(l);
}

// Nearness of a rank: 1 for the chosen, falling with the root of the rank.
void ExpertPolicy::set_rank_weights(int32_t chosen) {
    if (rank_weights_for_ == chosen) return;
    rank_weights_for_ = chosen;
    for (size_t rank = 0; rank < rank_weights_.size(); ++rank) {
        const auto places = static_cast<float>(rank + 1);
        rank_weights_[rank] = std::sqrt(std::min(1.0F, static_cast<float>(chosen) / places));
    }
    rank_weights_.back() = 0;
}

// One token passes: what it chose corrects the weights, then changes what is known, then all is predicted anew.
void ExpertPolicy::note(size_t layer, std::span<const uint8_t> ranks, int32_t chosen) {
    const std::span predicted = std::span(predicted_).subspan(layer * experts_, experts_);
    Weights& weights = of_layer_[layer].weights;
    for (size_t e = 0; e < experts_; ++e) {
        errors_[e] = (ranks[e] < chosen ? 1.0F : 0.0F) - predicted[e];
    }
    for (size_t f = 0; f < kFeatures; ++f) {
        const float step = kRate * dot(errors_, features(layer, f));
        weights[f] = std::clamp(weights[f] + step, -kWeightMax, kWeightMax);
    }
    for (size_t f = 0; f < kAverages; ++f) {
        const std::span average = features(layer, f);
        for (size_t e = 0; e < experts_; ++e) {
            const float now = ranks[e] < chosen ? 1.0F : 0.0F;
            average[e] = now + kKeep[f] * (average[e] - now);
        }
    }
    const std::span now = features(layer, kNow), nearness = features(layer, kNearness);
    for (size_t e = 0; e < experts_; ++e) {
        now[e] = rank_weights_[ranks[e]];
        nearness[e] = now[e] + kKeepNearness * (nearness[e] - now[e]);
    }
    std::ranges::fill(predicted, 0.0F);
    for (size_t f = 0; f < kFeatures; ++f) {
        const std::span x = features(layer, f);
        for (size_t e = 0; e < experts_; ++e) predicted[e] += weights[f] * x[e];
    }
}

void ExpertPolicy::expect(ExpertKey key) {
    expected_[index(key)] = 1;
    update(key);
}

void ExpertPolicy::set_elsewhere(ExpertKey key, bool elsewhere) {
    elsewhere_[index(key)] = elsewhere ? 1 : 0;
    update(key);
}

void ExpertPolicy::add(ExpertKey key) {
    ENSURE(!contains(key));
    evictable_[index(key)] = 1;
    update(key);
}

void ExpertPolicy::remove(ExpertKey key) {
    ENSURE(contains(key));
    evictable_[index(key)] = 0;
    update(key);
}

float ExpertPolicy::distance(size_t layer, uint16_t expert) const {
    const size_t at = layer * experts_ + expert;
    if (elsewhere_[at] != 0) return kElsewhere;
    if (expected_[at] != 0) return 0;
    return 1 / std::max(predicted_[at], kLeast);
}

// The part of a token that passes before the layer is reached again; more for a layer that was left out, a draft block that
// nobody calls any more.
float ExpertPolicy::layers_ahead(size_t layer) const {
    const size_t ahead = layer > position_ ? layer - position_ : layer + layers_ - position_;
    const int64_t left_out = std::max<int64_t>(rounds_ - of_layer_[layer].round - 1, 0);
    return static_cast<float>(ahead) / static_cast<float>(layers_) + static_cast<float>(left_out);
}

float ExpertPolicy::distance(ExpertKey key) const {
    const auto layer = static_cast<size_t>(key.layer.value);
    return distance(layer, static_cast<uint16_t>(key.expert.value)) + layers_ahead(layer);
}

std::optional<ExpertKey> ExpertPolicy::victim() const {
    std::optional<ExpertKey> farthest;
    float most = -1;
    for (size_t layer = 0; layer < layers_; ++layer) {
        const uint16_t expert = tree_[layer * 2 * leaves_ + 1];
        if (expert == kNobody) continue;
        const float tokens = distance(layer, expert) + layers_ahead(layer);
        if (tokens <= most) continue;
        most = tokens;
        farthest = ExpertKey{{static_cast<int32_t>(layer)}, {expert}};
    }
    return farthest;
}

uint16_t ExpertPolicy::farther(size_t layer, uint16_t a, uint16_t b) const {
    if (b == kNobody) return a;
    if (a == kNobody) return b;
    return distance(layer, b) > distance(layer, a) ? b : a;
}

uint16_t ExpertPolicy::leaf(size_t layer, size_t expert) const {
    return expert < experts_ && evictable_[layer * experts_ + expert] != 0
               ? static_cast<uint16_t>(expert)
               : kNobody;
}

void ExpertPolicy::rebuild(size_t layer) {
    const std::span tree = std::span(tree_).subspan(layer * 2 * leaves_, 2 * leaves_);
    for (size_t e = 0; e < leaves_; ++e) tree[leaves_ + e] = leaf(layer, e);
    for (size_t i = leaves_ - 1; i > 0; --i) tree[i] = farther(layer, tree[2 * i], tree[2 * i + 1]);
}

void ExpertPolicy::update(ExpertKey key) {
    const auto layer = static_cast<size_t>(key.layer.value);
    const std::span tree = std::span(tree_).subspan(layer * 2 * leaves_, 2 * leaves_);
    const auto expert = static_cast<size_t>(key.expert.value);
    size_t i = leaves_ + expert;
    tree[i] = leaf(layer, expert);
    for (i /= 2; i > 0; i /= 2) tree[i] = farther(layer, tree[2 * i], tree[2 * i + 1]);
}

}  // namespace millrace
