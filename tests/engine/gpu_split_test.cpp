#include "core/engine/gpu_split.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "core/base/random.h"

namespace millrace {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

// What the GPUs have for the experts of each layer, least first.
std::vector<double> rooms(std::span<const uint64_t> layer_bytes, std::span<const GpuRoom> gpus,
                          const std::vector<int32_t>& counts) {
    std::vector<double> out;
    size_t layer = 0;
    for (size_t g = 0; g < gpus.size(); ++g) {
        auto left =
            static_cast<double>(gpus[g].budget_bytes) - static_cast<double>(gpus[g].fixed_bytes);
        for (int32_t i = 0; i < counts[g]; ++i) left -= static_cast<double>(layer_bytes[layer++]);
        out.push_back(left / (counts[g] + gpus[g].more_layers));
    }
    std::ranges::sort(out);
    return out;
}

// All ways to split so many layers.
template <class Visit>
void for_splits(int32_t layers, size_t gpus, std::vector<int32_t>& counts, const Visit& visit) {
    if (counts.size() + 1 == gpus) {
        counts.push_back(layers);
        visit(counts);
        counts.pop_back();
        return;
    }
    const auto others = static_cast<int32_t>(gpus - counts.size()) - 1;
    for (int32_t count = 1; count <= layers - others; ++count) {
        counts.push_back(count);
        for_splits(layers - count, gpus, counts, visit);
        counts.pop_back();
    }
}

}  // namespace

TEST_CASE("one GPU has all layers, and equal ones have as many each") {
    const std::vector<uint64_t> layers(44, kGiB / 4);
    const GpuRoom card{.budget_bytes = 24 * kGiB, .fixed_bytes = kGiB};
    CHECK(split_layers(layers, std::vector{card}) == std::vector{44});
    CHECK(split_layers(layers, std::vector{card, card}) == std::vector{22, 22});
    CHECK(split_layers(layers, std::vector{card, card, card, card}) == std::vector{11, 11, 11, 11});
    // Also where one has less: it alone gets fewer, the others are not worse off than they need be.
    const GpuRoom fuller{.budget_bytes = 24 * kGiB, .fixed_bytes = 9 * kGiB};
    CHECK(split_layers(layers, std::vector{fuller, card, card}) == std::vector{11, 16, 17});
    CHECK(split_layers(layers, std::vector{card, fuller, card}) == std::vector{16, 11, 17});
}

TEST_CASE("a big GPU gets more layers than a small one, in proportion") {
    const std::vector<uint64_t> layers(40, kGiB / 8);
    const GpuRoom small{.budget_bytes = 16 * kGiB}, big{.budget_bytes = 48 * kGiB};
    CHECK(split_layers(layers, std::vector{small, big}) == std::vector{10, 30});
    CHECK(split_layers(layers, std::vector{big, small}) == std::vector{30, 10});
}

TEST_CASE("draft blocks want experts too: the GPU where they lie gets fewer layers") {
    const std::vector<uint64_t> layers(43, kGiB / 8);
    const GpuRoom card{.budget_bytes = 24 * kGiB};
    const GpuRoom last{.budget_bytes = 24 * kGiB, .fixed_bytes = 3 * kGiB / 8, .more_layers = 3};
    CHECK(split_layers(layers, std::vector{card, last}) == std::vector{23, 20});
}

TEST_CASE("GPUs that are too small: as little as possible is missing, and each has a layer") {
    const std::vector<uint64_t> layers(6, kGiB);
    const GpuRoom none{.budget_bytes = 0}, two{.budget_bytes = 2 * kGiB};
    CHECK(split_layers(layers, std::vector{two, two}) == std::vector{3, 3});
    CHECK(split_layers(layers, std::vector{none, none, none, none, none, none}) ==
          std::vector{1, 1, 1, 1, 1, 1});
    // What fits is found, however uneven the layers are.
    const std::vector<uint64_t> uneven = {5 * kGiB, kGiB, kGiB, kGiB};
    const GpuRoom five{.budget_bytes = 5 * kGiB}, three{.budget_bytes = 3 * kGiB};
    CHECK(split_layers(uneven, std::vector{five, three}) == std::vector{1, 3});
}

TEST_CASE("no other way to split leaves more to whoever has least") {
    Random random(7);
    for (int round = 0; round < 200; ++round) {
        const auto count = static_cast<int32_t>(1 + random.below(8));
        const size_t gpus = 1 + random.below(std::min<uint64_t>(4, static_cast<uint64_t>(count)));
        std::vector<uint64_t> layers(static_cast<size_t>(count));
        for (uint64_t& bytes : layers) bytes = random.below(1000);
        std::vector<GpuRoom> cards(gpus);
        for (GpuRoom& card : cards) {
            card = {.budget_bytes = random.below(4000),
                    .fixed_bytes = random.below(1000),
                    .more_layers = 0};
        }
        cards.back().more_layers = static_cast<int32_t>(random.below(3));
        const std::vector<int32_t> split = split_layers(layers, cards);
        REQUIRE(split.size() == gpus);
        CHECK(std::accumulate(split.begin(), split.end(), 0) == count);
        CHECK(std::ranges::min(split) >= 1);
        const std::vector<double> found = rooms(layers, cards, split);
        std::vector<int32_t> counts;
        for_splits(count, gpus, counts, [&](const std::vector<int32_t>& other) {
            // Sums in another order may differ in their last bits.
            const std::vector<double> others = rooms(layers, cards, other);
            CHECK(others.front() <= found.front() + 1e-6);
        });
    }
}

}  // namespace millrace
