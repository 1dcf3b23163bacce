#include "offload/gpu_slots.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "core/base/random.h"

namespace millrace {
namespace {

constexpr int32_t kLayers = 2, kExperts = 16;

ExpertKey key(int32_t layer, int32_t expert) { return {{layer}, {expert}}; }

// A token passes a layer and chooses these.
void pass(GpuSlots& slots, int32_t layer, std::initializer_list<int32_t> chosen) {
    std::array<uint8_t, kExperts> ranks;
    ranks.fill(255);
    uint8_t rank = 0;
    for (const int32_t expert : chosen) ranks[static_cast<size_t>(expert)] = rank++;
    slots.observe({layer}, {ranks.data(), 1, kExperts}, static_cast<int32_t>(chosen.size()));
}

SlotId put(GpuSlots& slots, ExpertKey expert) {
    const auto taken = slots.begin(expert);
    REQUIRE(taken.has_value());
    slots.landed(taken->slot);
    return taken->slot;
}

}  // namespace

TEST_CASE(
    "GPU slots: empty ones are taken by whoever comes, and an expert is there once it has landed") {
    GpuSlots slots(kLayers, kExperts, {});
    CHECK_FALSE(slots.wants(key(0, 1)));  // no slots at all
    slots.grow(2);
    CHECK(slots.wants(key(0, 1)));
    const auto taken = slots.begin(key(0, 1));
    REQUIRE(taken.has_value());
    CHECK(taken->slot == SlotId{0});
    CHECK_FALSE(taken->dropped.has_value());
    CHECK_FALSE(slots.find(key(0, 1)).has_value());
    CHECK_FALSE(slots.wants(key(0, 1)));  // it is on its way
    CHECK(slots.there() == 0);
    slots.landed(taken->slot);
    CHECK(slots.find(key(0, 1)) == taken->slot);
    CHECK(slots.there() == 1);
    CHECK(put(slots, key(1, 5)) == SlotId{1});
}

TEST_CASE(
    "GPU slots: who is used more drives out who is used least, and nobody who is about equal") {
    GpuSlots slots(kLayers, kExperts, {.uses_to_pay = 4, .horizon_tokens = 64});
    slots.grow(2);
    put(slots, key(0, 0));
    put(slots, key(0, 1));
    for (int i = 0; i < 40; ++i) {
        pass(slots, 0, {0, i % 2 == 0 ? 2 : 3});
        pass(slots, 1, {i % 4 == 0 ? 7 : 8 + i % 8});
    }
    // 1 was never used, 2 in every second token.
    CHECK(slots.wants(key(0, 2)));
    const auto taken = slots.begin(key(0, 2));
    REQUIRE(taken.has_value());
    CHECK(taken->dropped == key(0, 1));
    CHECK_FALSE(slots.find(key(0, 1)).has_value());
    // Only 0 is left to go, which every token uses; what is on its way cannot go.
    CHECK_FALSE(slots.wants(key(0, 3)));
    slots.landed(taken->slot);
    // 3 is used as often as 2: taking turns would pay nobody.
    CHECK_FALSE(slots.wants(key(0, 3)));
    CHECK(slots.find(key(0, 2)) == SlotId{1});
}

TEST_CASE("GPU slots: a copy that costs more is made for greater differences alone") {
    for (const float cost : {0.5F, 1000.0F}) {
        GpuSlots slots(kLayers, kExperts, {.uses_to_pay = cost, .horizon_tokens = 64});
        slots.grow(1);
        put(slots, key(0, 0));
        for (int i = 0; i < 40; ++i) pass(slots, 0, {i % 8 == 0 ? 0 : 4});
        CHECK(slots.wants(key(0, 4)) == (cost < 1));
    }
}

TEST_CASE("GPU slots: what is given back forgets what was there, the rest stays") {
    GpuSlots slots(kLayers, kExperts, {});
    slots.grow(2);
    slots.grow(3);
    // The slots added last are filled first: 2, 3, 4 and 0.
    for (int32_t e = 0; e < 4; ++e) put(slots, key(1, e));
    std::vector<ExpertKey> dropped;
    slots.shrink(3, [&](ExpertKey k) { dropped.push_back(k); });
    CHECK(dropped == std::vector{key(1, 2), key(1, 1), key(1, 0)});
    CHECK(slots.size() == 2);
    CHECK(slots.there() == 1);
    slots.for_there([&](ExpertKey k) { CHECK(k == key(1, 3)); });
    CHECK(slots.find(key(1, 3)) == SlotId{0});
    CHECK_FALSE(slots.find(key(1, 2)).has_value());
    slots.grow(1);
    CHECK(put(slots, key(1, 2)) == SlotId{2});
}

TEST_CASE("GPU slots: at random, no slot has two experts and no expert two slots") {
    Random random(7);
    GpuSlots slots(kLayers, kExperts, {.uses_to_pay = 0.1F, .horizon_tokens = 64});
    std::map<int32_t, ExpertKey> lies;  // by slot
    std::vector<SlotId> filling;
    int64_t drops = 0;
    for (int step = 0; step < 20'000; ++step) {
        const auto layer = static_cast<int32_t>(random.below(kLayers));
        const auto hot = static_cast<int32_t>(random.below(6)) + step / 4000;
        if (slots.size() < 8 && random.below(50) == 0) slots.grow(2);
        pass(slots, layer, {hot % kExperts});
        if (const auto taken = slots.begin(key(layer, hot % kExperts))) {
            const auto before = lies.find(taken->slot.value);
            CHECK((before != lies.end()) == taken->dropped.has_value());
            if (taken->dropped) {
                ++drops;
                CHECK(before->second == *taken->dropped);
                CHECK_FALSE(slots.find(*taken->dropped).has_value());
            }
            lies[taken->slot.value] = key(layer, hot % kExperts);
            filling.push_back(taken->slot);
        }
        if (!filling.empty() && random.below(3) == 0) {
            slots.landed(filling.front());
            CHECK(slots.find(lies[filling.front().value]) == filling.front());
            filling.erase(filling.begin());
        }
        if (step % 5000 == 4999) {
            for (const SlotId slot : filling) slots.landed(slot);
            filling.clear();
            slots.shrink(2, [](ExpertKey) {});
            std::erase_if(lies, [&](const auto& entry) { return entry.first >= slots.size(); });
        }
        CHECK(slots.there() + static_cast<int32_t>(filling.size()) ==
              static_cast<int32_t>(lies.size()));
    }
    CHECK(drops > 100);
}

}  // namespace millrace
