#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/base/random.h"
#include "offload/replay.h"

namespace millrace {
namespace {

// Sum of uniform numbers: near enough to a normal one, and the same on every machine.
float noise(Random& random) {
    double sum = -2;
    for (int i = 0; i < 4; ++i) sum += random.unit();
    return static_cast<float>(sum * 1.7320508);
}

// How much of each topic there is, moving slowly; one topic is usually in front.
class Topics {
public:
    Topics(int32_t count, Random& random) : random_(random), weights_(static_cast<size_t>(count)) {
        for (float& w : weights_) w = noise(random_);
    }
    void next() {
        constexpr float kStay = 0.98F;
        const float push = std::sqrt(1 - kStay * kStay);
        for (float& w : weights_) w = kStay * w + push * noise(random_);
        // Now and then somebody changes the subject.
        if (random_.below(300) == 0) std::ranges::rotate(weights_, weights_.begin() + 1);
    }
    [[nodiscard]] std::vector<float> shares() const {
        std::vector<float> out(weights_.size());
        float sum = 0;
        for (size_t t = 0; t < out.size(); ++t) sum += out[t] = std::exp(1.5F * weights_[t]);
        for (float& share : out) share /= sum;
        return out;
    }

private:
    Random& random_;
    std::vector<float> weights_;
};

// The router of one layer.
class LayerRouter {
public:
    LayerRouter(const SyntheticTrace& options, Random& random)
        : topics_(static_cast<size_t>(options.topics)),
          experts_(static_cast<size_t>(options.experts)),
          base_(experts_),
          likings_(topics_ * experts_),
          mood_(experts_),
          scores_(experts_),
          order_(experts_) {
        for (float& b : base_) b = 0.6F * noise(random);
        for (float& l : likings_) l = noise(random);
    }

    // Ranks the experts for the next token.
    void next(std::span<const float> shares, Random& random) {
        constexpr float kStay = 0.9F;
        const float push = std::sqrt(1 - kStay * kStay);
        for (size_t e = 0; e < experts_; ++e) {
            mood_[e] = kStay * mood_[e] + push * noise(random);
            float score = base_[e] + 0.7F * mood_[e] + 0.9F * noise(random);
            for (size_t t = 0; t < topics_; ++t) {
                score += 1.6F * shares[t] * likings_[t * experts_ + e];
            }
            scores_[e] = score;
        }
        std::iota(order_.begin(), order_.end(), 0);
        std::ranges::sort(order_, [&](int32_t a, int32_t b) {
            const float sa = scores_[static_cast<size_t>(a)], sb = scores_[static_cast<size_t>(b)];
            return sa != sb ? sa > sb : a < b;
        });
    }
    [[nodiscard]] std::span<const int32_t> order() const { return order_; }

private:
    size_t topics_, experts_;
    std::vector<float> base_, likings_, mood_, scores_;  // likings [topics][experts]
    std::vector<int32_t> order_;
};

// What a fixed layer wants for a token: the same every time.
std::vector<int32_t> looked_up(const SyntheticTrace& options, int32_t layer, uint64_t token) {
    Random random(mix64(options.seed + token * 1000 + static_cast<uint64_t>(layer)));
    std::vector<int32_t> ids;
    while (static_cast<int32_t>(ids.size()) < options.experts_per_token) {
        const auto id = static_cast<int32_t>(random.below(static_cast<uint64_t>(options.experts)));
        if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
    }
    return ids;
}

}  // namespace

RouterTrace make_trace(const SyntheticTrace& options) {
    Random random(options.seed);
    TraceShape shape{options.layers, options.experts, options.experts_per_token, {}};
    std::vector<LayerRouter> routers;
    for (int32_t layer = 0; layer < options.layers; ++layer) {
        shape.fixed.push_back(layer < options.fixed_layers ? 1 : 0);
        routers.emplace_back(options, random);
    }
    RouterTrace trace(shape);
    Topics topics(options.topics, random);
    std::vector<uint8_t> ranks(static_cast<size_t>(options.experts), 255);
    for (int64_t token = 0; token < options.tokens; ++token) {
        topics.next();
        const std::vector<float> shares = topics.shares();
        // Words are as frequent as words are: the n-th with 1/n.
        const auto word =
            static_cast<uint64_t>(std::pow(static_cast<double>(options.vocabulary), random.unit()));
        for (int32_t layer = 0; layer < options.layers; ++layer) {
            std::vector<int32_t> ids = looked_up(options, layer, word);
            if (shape.fixed[static_cast<size_t>(layer)] == 0) {
                LayerRouter& router = routers[static_cast<size_t>(layer)];
                router.next(shares, random);
                const auto order = router.order();
                for (size_t r = 0; r < order.size(); ++r) {
                    ranks[static_cast<size_t>(order[r])] =
                        static_cast<uint8_t>(std::min<size_t>(r, 255));
                }
                ids.assign(order.begin(), order.begin() + options.experts_per_token);
            }
            trace.add({layer}, {ids.data(), 1, options.experts_per_token},
                      {ranks.data(), 1, options.experts});
        }
    }
    return trace;
}

}  // namespace millrace
