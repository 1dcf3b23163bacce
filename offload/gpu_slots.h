#pragma once
// Which expert lies in which slot of a GPU, and which deserve to: the table of the tier above the cache's slots
// (expert_cache.h). Pure bookkeeping of the engine thread: no bytes, no GPU, no allocation in use.
//
//              begin                landed                begin (drops)
//     kEmpty ───────► kFilling ───────────► kThere ─────────────────────► kFilling
//        ▲                                     │ close
//        └─────────────────────────────────────┘
//
// All slots are equal, so the value of a byte is what its slot saves: the probability that the next token uses the expert
// (expert_policy.h), times what the GPU saves on a use. A copy costs as much as some uses save; an expert drives out another
// only where the difference of the two earns that back within a horizon. Otherwise experts of about equal worth would take
// turns, and the copies take memory bandwidth from whoever computes.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/tensor.h"
#include "core/base/types.h"
#include "offload/expert_policy.h"
#include "offload/policy.h"

namespace millrace {

struct PromotionRule {
    float uses_to_pay = 4;       // a copy costs what so many uses save
    float horizon_tokens = 256;  // within which it must have been earned
};

class GpuSlots {
public:
    GpuSlots(int32_t layers, int32_t experts, const PromotionRule& rule);

    // Adds empty slots at the end.
    void grow(int32_t count);
    // The last `count` slots go, empty or there, none being filled. Calls dropped(key) for each expert that was there.
    template <class Dropped>
    void shrink(int32_t count, const Dropped& dropped) {
        for (; count > 0; --count) {
            if (const std::optional<ExpertKey> key = close_last()) dropped(*key);
        }
    }

    // What the router of `layer` decided (ExpertPolicy::observe).
    void observe(LayerId layer, MatrixView<const uint8_t> ranks, int32_t chosen) {
        policy_.observe(layer, ranks, chosen);
    }

    [[nodiscard]] int32_t size() const { return static_cast<int32_t>(slots_.size()); }
    [[nodiscard]] int32_t there() const { return there_; }
    // Calls visit(key) for each expert that is there.
    template <class Visit>
    void for_there(const Visit& visit) const {
        for (const Slot& slot : slots_) {
            if (slot.state == State::kThere) visit(slot.key);
        }
    }
    // The slot where the expert lies, once it has landed.
    [[nodiscard]] std::optional<SlotId> find(ExpertKey key) const;

    // Whether the expert has no slot, neither there nor being filled, and would get one now.
    [[nodiscard]] bool wants(ExpertKey key) const;
    // A slot to be filled with an expert that is wanted: an empty one, or that of the expert which is missed least.
    struct Taken {
        SlotId slot;
        std::optional<ExpertKey> dropped;
    };
    [[nodiscard]] std::optional<Taken> begin(ExpertKey key);
    void landed(SlotId slot);

private:
    enum class State : uint8_t { kEmpty, kFilling, kThere };
    struct Slot {
        State state = State::kEmpty;
        ExpertKey key;
    };
    [[nodiscard]] size_t index(ExpertKey key) const {
        return static_cast<size_t>(key.layer.value) * experts_ +
               static_cast<size_t>(key.expert.value);
    }
    // The expert that makes room for `key`, if any is worth less.
    [[nodiscard]] std::optional<ExpertKey> victim_for(ExpertKey key) const;
    void drop(ExpertKey key);
    std::optional<ExpertKey> close_last();

    const PromotionRule rule_;
    const size_t experts_;
    std::vector<Slot> slots_;
    std::vector<SlotId> empty_;   // the last is taken first
    std::vector<int32_t> homes_;  // [layers][experts] → slot or −1, filling and there
    int32_t there_ = 0;
    ExpertPolicy policy_;  // of those that are there
};

}  // namespace millrace
