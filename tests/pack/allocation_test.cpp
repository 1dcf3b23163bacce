#include "core/pack/allocation.h"

#include <doctest/doctest.h>

#include <numeric>
#include <set>

#include "core/base/random.h"

namespace millrace {
namespace {

const std::vector<uint64_t> kBytes = {9, 13, 17};

LayerDemand demand(double weight, size_t experts, Random& random) {
    LayerDemand layer{weight, {0.08, 0.02, 0.0}, {}};
    for (size_t e = 0; e < experts; ++e) layer.expert_share.push_back(0.01 + random.unit());
    const double sum = std::accumulate(layer.expert_share.begin(), layer.expert_share.end(), 0.0);
    for (double& share : layer.expert_share) share /= sum;
    return layer;
}

uint64_t bytes_of(const Allocation& allocation) {
    uint64_t sum = 0;
    for (const auto& layer : allocation.levels) {
        for (const uint8_t level : layer) sum += kBytes[level];
    }
    return sum;
}

// The least loss of all ways to give whole layers levels.
double best_of_whole_layers(const std::vector<LayerDemand>& layers, uint64_t budget) {
    double best = 1e9;
    size_t ways = 1;
    for (size_t l = 0; l < layers.size(); ++l) ways *= kBytes.size();
    for (size_t way = 0; way < ways; ++way) {
        uint64_t bytes = 0;
        double loss = 0;
        size_t rest = way;
        for (const LayerDemand& layer : layers) {
            bytes += kBytes[rest % 3] * layer.expert_share.size();
            loss += layer.weight * layer.error[rest % 3];
            rest /= 3;
        }
        if (bytes <= budget) best = std::min(best, loss);
    }
    return best;
}

}  // namespace

TEST_CASE("more bytes, less loss, never more than allowed") {
    Random random(1);
    std::vector<LayerDemand> layers;
    for (int l = 0; l < 6; ++l) layers.push_back(demand(1 + random.unit(), 16, random));
    const uint64_t least = 9 * 16 * 6, most = 17 * 16 * 6;
    double last = 1e9;
    for (uint64_t budget = least; budget <= most; budget += 7) {
        const auto allocation = allocate(kBytes, layers, budget);
        REQUIRE(allocation.ok());
        CHECK(allocation->bytes <= budget);
        CHECK(allocation->bytes == bytes_of(*allocation));
        // Greedy: a coarse step that fits now may take the room of a better one, but not by much.
        CHECK(allocation->loss <= last * 1.2);
        last = std::min(last, allocation->loss);
        // Never worse than the best that whole layers can do, but for one step.
        CHECK(allocation->loss <= best_of_whole_layers(layers, budget) * 1.2 + 1e-12);
    }
    CHECK(allocate(kBytes, layers, most)->loss == 0);
    const auto refused = allocate(kBytes, layers, least - 1);
    REQUIRE(!refused.ok());
    CHECK(refused.error().code == ErrorCode::kCapacity);
}

TEST_CASE("heavier layers first, and within a layer those who put out most") {
    Random random(2);
    std::vector<LayerDemand> layers = {demand(1, 8, random), demand(2, 8, random),
                                       demand(1, 8, random)};
    // Room for one layer one step up, and a quarter of another.
    const auto allocation = allocate(kBytes, layers, 9 * 24 + 4 * 8 + 4 * 2);
    REQUIRE(allocation.ok());
    CHECK(allocation->levels[1] == std::vector<uint8_t>(8, 1));
    int raised = 0;
    for (const size_t l : {size_t{0}, size_t{2}}) {
        for (size_t e = 0; e < 8; ++e) {
            if (allocation->levels[l][e] == 0) continue;
            ++raised;
            int larger = 0;
            for (const double share : layers[l].expert_share) {
                larger += share > layers[l].expert_share[e] ? 1 : 0;
            }
            CHECK(larger < 2);
        }
    }
    CHECK(raised == 2);
}

TEST_CASE("a layer has few sizes") {
    Random random(3);
    std::vector<LayerDemand> layers;
    for (int l = 0; l < 10; ++l) layers.push_back(demand(1, 32, random));
    for (uint64_t budget = 9 * 320; budget < 17 * 320; budget += 101) {
        const auto allocation = allocate(kBytes, layers, budget);
        REQUIRE(allocation.ok());
        for (const auto& layer : allocation->levels) {
            CHECK(std::set<uint8_t>(layer.begin(), layer.end()).size() <= 3);
        }
    }
}

}  // namespace millrace
