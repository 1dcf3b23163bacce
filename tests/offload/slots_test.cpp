#include "offload/slots.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <list>
#include <utility>
#include <vector>

#include "core/base/random.h"
#include "offload/policy.h"

namespace millrace::test {
namespace {

TEST_CASE("a slot order equals a list") {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Random random(seed);
        const auto slots = static_cast<int32_t>(1 + random.below(9));
        SlotOrder order(slots);
        std::list<int32_t> model;
        for (int step = 0; step < 500; ++step) {
            const auto slot = static_cast<int32_t>(random.below(static_cast<uint64_t>(slots)));
            const auto found = std::find(model.begin(), model.end(), slot);
            REQUIRE(order.contains({slot}) == (found != model.end()));
            if (found == model.end()) {
                order.add({slot});
                model.push_back(slot);
            } else {
                order.remove({slot});
                model.erase(found);
            }
            REQUIRE(order.size() == static_cast<int32_t>(model.size()));
            REQUIRE(order.oldest().has_value() == !model.empty());
            if (!model.empty()) REQUIRE(order.oldest()->value == model.front());
        }
    }
}

// The same rules written the slow way: everything is looked up by going through all slots.
class NaiveTable {
public:
    struct Slot {
        SlotState state = SlotState::kEmpty;
        bool hinted = false, guessed = false;
        int pins = 0;
        ExpertKey key = {};
        uint64_t since = 0;     // when it became empty or was last used or, hinted, became ready
        uint64_t ready_at = 0;  // in ticks
    };

    NaiveTable(int32_t size, int32_t hinted_max, int32_t guesses_max, const ExpertPolicy& policy)
        : slots(static_cast<size_t>(size)),
          hinted_max_(hinted_max),
          guesses_max_(guesses_max),
          policy_(policy) {
        for (Slot& slot : slots) slot.since = ++time_;
    }

    int32_t find(ExpertKey key) const {
        for (size_t i = 0; i < slots.size(); ++i) {
            const bool there =
                slots[i].state == SlotState::kReady || slots[i].state == SlotState::kLoading;
            if (there && slots[i].key == key) return static_cast<int32_t>(i);
        }
        return -1;
    }

    int32_t take(ExpertKey key, Claim claim) {
        const int hinted = count([](const Slot& slot) { return slot.hinted && !slot.guessed; });
        if (claim == Claim::kHint && hinted >= hinted_max_) return -1;
        const auto empty = [](const Slot& s) { return s.state == SlotState::kEmpty; };
        int32_t best = -1;
        if (claim == Claim::kGuess) {
            if (guesses() < guesses_max_) best = oldest(empty);
        } else {
            if (count(empty) + guesses() > kept) best = oldest(empty);
            if (best < 0) best = farthest();
            if (best < 0) best = oldest(empty);
            if (best < 0 && claim == Claim::kDemand) best = oldest(idle);
        }
        if (best < 0) return -1;
        at(best) = {
            SlotState::kLoading, claim != Claim::kDemand, claim == Claim::kGuess, 0, key, 0, 0};
        return best;
    }
    void discard(int32_t i) {
        at(i).state = SlotState::kEmpty;
        at(i).hinted = at(i).guessed = false;
        at(i).since = ++time_;
    }
    void refill() {
        while (count([](const Slot& s) { return s.state == SlotState::kEmpty; }) + guesses() <
               kept) {
            const int32_t i = farthest();
            if (i < 0) return;
            discard(i);
        }
    }

    void pin(int32_t i) {
        ++at(i).pins;
        at(i).hinted = at(i).guessed = false;
    }
    void unpin(int32_t i) {
        if (--at(i).pins > 0) return;
        at(i).since = ++time_;
        if (at(i).state == SlotState::kFailed) at(i).state = SlotState::kEmpty;
    }
    void end(int32_t i, SlotState state) {
        Slot& slot = at(i);
        const bool dead = slot.state == SlotState::kCallingOff;
        if (dead && state == SlotState::kReady && find(slot.key) >= 0) state = SlotState::kEmpty;
        if (state == SlotState::kFailed && slot.pins == 0) state = SlotState::kEmpty;
        slot.state = state;
        slot.since = ++time_;
        slot.ready_at = ticks_;
        if (state != SlotState::kReady) slot.hinted = slot.guessed = false;
    }
    void call_off(int32_t i) {
        at(i).state = SlotState::kCallingOff;
        at(i).hinted = at(i).guessed = false;
    }
    void tick() {
        ++ticks_;
        for (;;) {
            const int32_t i = oldest([this](const Slot& s) {
                return idle(s) && s.hinted && ticks_ - s.ready_at >= SlotTable::kHintLife;
            });
            if (i < 0) return;
            at(i).hinted = at(i).guessed = false;
            at(i).since = ++time_;
        }
    }

    std::vector<Slot> slots;
    int kept = 0;

private:
    Slot& at(int32_t i) { return slots[static_cast<size_t>(i)]; }
    static bool idle(const Slot& slot) { return slot.state == SlotState::kReady && slot.pins == 0; }
    template <class Predicate>
    int count(const Predicate& wanted) const {
        return static_cast<int>(std::count_if(slots.begin(), slots.end(), wanted));
    }
    int guesses() const {
        return count([](const Slot& slot) { return slot.guessed; });
    }
    template <class Predicate>
    int32_t oldest(const Predicate& wanted) const {
        int32_t best = -1;
        for (size_t i = 0; i < slots.size(); ++i) {
            if (!wanted(slots[i])) continue;
            if (best < 0 || slots[i].since < slots[static_cast<size_t>(best)].since) {
                best = static_cast<int32_t>(i);
            }
        }
        return best;
    }

    // Of the experts that may go the one whose next use is farthest, the first of them on a tie.
    int32_t farthest() const {
        int32_t best = -1;
        for (size_t i = 0; i < slots.size(); ++i) {
            if (!idle(slots[i]) || slots[i].hinted) continue;
            const auto rank = [&](const Slot& s) {
                return std::pair(-policy_.distance(s.key), s.key);
            };
            if (best < 0 || rank(slots[i]) < rank(slots[static_cast<size_t>(best)])) {
                best = static_cast<int32_t>(i);
            }
        }
        return best;
    }

    int32_t hinted_max_, guesses_max_;
    const ExpertPolicy& policy_;
    uint64_t time_ = 0, ticks_ = 0;
};

// One random thing happens to both tables.
class Pair {
public:
    Pair(uint64_t seed, int32_t slots, int32_t hinted_max, int32_t guesses_max)
        : random_(seed),
          guesses_max_(guesses_max),
          real_(slots, kLayers, kExperts, hinted_max, guesses_max),
          naive_(slots, hinted_max, guesses_max, real_.policy()) {}

    void step() {
        const auto slot = static_cast<int32_t>(random_.below(naive_.slots.size()));
        const NaiveTable::Slot& state = naive_.slots[static_cast<size_t>(slot)];
        const bool reading =
            state.state == SlotState::kLoading || state.state == SlotState::kCallingOff;
        switch (random_.below(12)) {
            case 0: return take(Claim::kDemand);
            case 1: return take(Claim::kHint);
            case 2:
                if (state.state != SlotState::kReady && state.state != SlotState::kLoading) return;
                real_.pin({slot});
                return naive_.pin(slot);
            case 3:
                if (state.pins == 0) return;
                CHECK(real_.unpin({slot}) == (state.pins == 1));
                return naive_.unpin(slot);
            case 4: return learn();
            case 5:
                if (state.state != SlotState::kLoading || state.pins > 0) return;
                real_.call_off({slot});
                return naive_.call_off(slot);
            case 8: return take(Claim::kGuess);
            case 9:
                if (!state.guessed || state.state != SlotState::kReady) return;
                real_.discard({slot});
                return naive_.discard(slot);
            case 10: real_.refill(); return naive_.refill();
            case 11: {
                const bool keep = random_.below(2) == 0;
                real_.keep_for_guesses(keep);
                naive_.kept = keep ? guesses_max_ : 0;
                return;
            }
            case 6:
                if (reading) end(slot, state.state == SlotState::kCallingOff);
                return;
            default: return tick();
        }
    }

    void compare() {
        int pinned = 0;
        size_t guessed = 0;
        for (int32_t i = 0; i < real_.size(); ++i) {
            const NaiveTable::Slot& slot = naive_.slots[static_cast<size_t>(i)];
            REQUIRE(real_.state({i}) == slot.state);
            REQUIRE(real_.hinted({i}) == slot.hinted);
            REQUIRE(real_.guessed({i}) == slot.guessed);
            guessed += slot.guessed ? 1 : 0;
            REQUIRE(real_.pins({i}) == slot.pins);
            if (slot.state != SlotState::kEmpty) REQUIRE(real_.key({i}) == slot.key);
            pinned += slot.pins > 0 ? 1 : 0;
        }
        REQUIRE(real_.pinned() == pinned);
        REQUIRE(real_.guesses().size() == guessed);
        for (int32_t layer = 0; layer < kLayers; ++layer) {
            for (int32_t expert = 0; expert < kExperts; ++expert) {
                const auto found = real_.find({{layer}, {expert}});
                REQUIRE((found ? found->value : -1) == naive_.find({{layer}, {expert}}));
            }
        }
    }

private:
    static constexpr int32_t kLayers = 2, kExperts = 6;

    void take(Claim claim) {
        const ExpertKey key{{static_cast<int32_t>(random_.below(kLayers))},
                            {static_cast<int32_t>(random_.below(kExperts))}};
        if (naive_.find(key) >= 0) return;
        const std::optional<SlotId> slot = real_.take(key, claim);
        REQUIRE((slot ? slot->value : -1) == naive_.take(key, claim));
    }

    void learn() {
        const LayerId layer{static_cast<int32_t>(random_.below(kLayers))};
        std::array<uint8_t, kExperts> ranks{};
        for (uint8_t& rank : ranks) rank = static_cast<uint8_t>(random_.below(5) * 60);
        real_.policy().observe(layer, {ranks.data(), 1, kExperts}, 2);
        if (random_.below(3) == 0) {
            real_.policy().expect({layer, {static_cast<int32_t>(random_.below(kExperts))}});
        }
    }

    void end(int32_t slot, bool calling_off) {
        switch (random_.below(3)) {
            case 0: real_.loaded({slot}); return naive_.end(slot, SlotState::kReady);
            case 1:
                if (!calling_off) return;
                real_.called_off({slot});
                return naive_.end(slot, SlotState::kEmpty);
            default:
                real_.failed({slot}, {});
                return naive_.end(slot, calling_off ? SlotState::kEmpty : SlotState::kFailed);
        }
    }

    // Now and then long enough for hints to expire.
    void tick() {
        const uint64_t ticks = random_.below(20) == 0 ? SlotTable::kHintLife : 1;
        for (uint64_t i = 0; i < ticks; ++i) {
            real_.tick();
            naive_.tick();
        }
    }

    Random random_;
    int32_t guesses_max_;
    SlotTable real_;
    NaiveTable naive_;
};

TEST_CASE("the slot table equals a naive one, whatever happens") {
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        const auto slots = static_cast<int32_t>(1 + seed % 9);
        Pair pair(seed, slots, static_cast<int32_t>(seed % 4), static_cast<int32_t>(seed % 3));
        for (int step = 0; step < 1500; ++step) {
            pair.step();
            pair.compare();
        }
    }
}

TEST_CASE(
    "hints never take what is pinned, hinted or being read, demand takes a hinted slot last") {
    SlotTable table(3, 1, 8, 2, 0);
    const auto key = [](int32_t expert) { return ExpertKey{{0}, {expert}}; };
    const SlotId first = *table.take(key(0), Claim::kHint);
    const SlotId second = *table.take(key(1), Claim::kHint);
    CHECK_FALSE(table.take(key(2), Claim::kHint));  // two hinted ones at most
    const SlotId third = *table.take(key(3), Claim::kDemand);
    CHECK_FALSE(table.take(key(4), Claim::kDemand));  // all are being read
    table.loaded(first);
    table.loaded(second);
    table.loaded(third);
    CHECK(*table.take(key(4), Claim::kDemand) == third);
    CHECK(*table.take(key(5), Claim::kDemand) == first);
    CHECK(table.evictions() == 2);
    table.pin(second);
    CHECK_FALSE(table.take(key(6), Claim::kDemand));
}

TEST_CASE(
    "a guess takes only what is kept empty for it, and what it brought is given up for the next") {
    SlotTable table(4, 2, 8, 0, 1);
    table.keep_for_guesses(true);
    const auto key = [](int32_t layer, int32_t expert) { return ExpertKey{{layer}, {expert}}; };
    for (int32_t expert = 0; expert < 3; ++expert) {
        const SlotId slot = *table.take(key(0, expert), Claim::kDemand);
        table.loaded(slot);
    }
    // The fourth slot is kept for guesses; demand has somebody else to drive out.
    const SlotId evicted = *table.take(key(0, 3), Claim::kDemand);
    CHECK(table.evictions() == 1);
    table.loaded(evicted);
    const SlotId guess = *table.take(key(1, 5), Claim::kGuess);
    CHECK_FALSE(table.take(key(1, 6), Claim::kGuess));
    table.loaded(guess);
    table.discard(guess);
    CHECK_FALSE(table.find(key(1, 5)));
    CHECK(*table.take(key(1, 6), Claim::kGuess) == guess);
    CHECK(table.evictions() == 1);
    // Used, it counts as read on demand: another one goes.
    table.loaded(guess);
    table.pin(guess);
    table.refill();
    CHECK(table.evictions() == 2);
    CHECK(table.take(key(1, 7), Claim::kGuess));
}

}  // namespace
}  // namespace millrace::test
