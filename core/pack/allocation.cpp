#include "core/pack/allocation.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr size_t kClasses = 4;

// Experts of one layer that go up together.
struct Group {
    size_t layer = 0;
    std::vector<size_t> experts;
    double share = 0;  // of the layer's output
    size_t level = 0;
};

class Allocating {
public:
    Allocating(const std::vector<uint64_t>& level_bytes, const std::vector<LayerDemand>& layers,
               uint64_t budget)
        : level_bytes_(level_bytes), layers_(layers), left_(budget) {
        for (const LayerDemand& layer : layers) {
            levels_.emplace_back(layer.expert_share.size(), uint8_t{0});
            left_ -= level_bytes[0] * layer.expert_share.size();
        }
    }

    // The step that gains most for a byte, again and again, until none fits.
    void raise(std::vector<Group> groups) {
        for (;;) {
            Group* best = nullptr;
            double best_rate = 0;
            for (Group& group : groups) {
                const std::optional<double> rate = gain_rate(group);
                if (rate && (best == nullptr || *rate > best_rate)) {
                    best = &group;
                    best_rate = *rate;
                }
            }
            if (best == nullptr) return;
            left_ -= step_bytes(*best);
            ++best->level;
            for (const size_t e : best->experts) {
                levels_[best->layer][e] = static_cast<uint8_t>(best->level);
            }
        }
    }

    [[nodiscard]] std::vector<Group> whole_layers() const {
        std::vector<Group> groups;
        for (size_t l = 0; l < layers_.size(); ++l) {
            Group group{l, std::vector<size_t>(layers_[l].expert_share.size()), 1, levels_[l][0]};
            std::iota(group.experts.begin(), group.experts.end(), size_t{0});
            groups.push_back(std::move(group));
        }
        return groups;
    }

    [[nodiscard]] std::vector<Group> classes() const {
        std::vector<Group> groups;
        for (const Group& layer : whole_layers()) {
            const std::vector<double>& share = layers_[layer.layer].expert_share;
            std::vector<size_t> order = layer.experts;
            std::ranges::sort(order, {}, [&](size_t e) { return std::pair(-share[e], e); });
            for (size_t c = 0; c < kClasses; ++c) {
                const size_t first = c * order.size() / kClasses;
                const size_t last = (c + 1) * order.size() / kClasses;
                if (first == last) continue;
                Group group{layer.layer, {}, 0, layer.level};
                for (size_t i = first; i < last; ++i) {
                    group.experts.push_back(order[i]);
                    group.share += share[order[i]];
                }
                groups.push_back(std::move(group));
            }
        }
        return groups;
    }

    [[nodiscard]] Allocation result(uint64_t budget) {
        double loss = 0;
        for (size_t l = 0; l < layers_.size(); ++l) {
            for (size_t e = 0; e < levels_[l].size(); ++e) {
                loss += layers_[l].weight * layers_[l].expert_share[e] *
                        layers_[l].error[levels_[l][e]];
            }
        }
        return {std::move(levels_), budget - left_, loss};
    }

private:
    [[nodiscard]] uint64_t step_bytes(const Group& group) const {
        return (level_bytes_[group.level + 1] - level_bytes_[group.level]) * group.experts.size();
    }
    // Absent when there is no step or no room for it.
    [[nodiscard]] std::optional<double> gain_rate(const Group& group) const {
        if (group.level + 1 >= level_bytes_.size()) return std::nullopt;
        const uint64_t bytes = step_bytes(group);
        if (bytes > left_) return std::nullopt;
        const LayerDemand& layer = layers_[group.layer];
        const double gain =
            layer.weight * group.share * (layer.error[group.level] - layer.error[group.level + 1]);
        return gain / static_cast<double>(std::max<uint64_t>(bytes, 1));
    }

    const std::vector<uint64_t>& level_bytes_;
    const std::vector<LayerDemand>& layers_;
    uint64_t left_;
    std::vector<std::vector<uint8_t>> levels_;
};

}  // namespace

Result<Allocation> allocate(const std::vector<uint64_t>& level_bytes,
                            const std::vector<LayerDemand>& layers, uint64_t budget) {
    uint64_t least = 0;
    for (const LayerDemand& layer : layers) {
        ENSURE(layer.error.size() == level_bytes.size());
        least += level_bytes[0] * layer.expert_share.size();
    }
    if (least > budget) {
        return Error{ErrorCode::kCapacity,
                     cat("the experts take ", least, " bytes at least, and there are ", budget)};
    }
    Allocating allocating(level_bytes, layers, budget);
    allocating.raise(allocating.whole_layers());
    allocating.raise(allocating.classes());
    return allocating.result(budget);
}

}  // namespace millrace
