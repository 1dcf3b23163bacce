#pragma once
// The table of slots: which expert lies where, who pins it, which slot is taken next. Pure bookkeeping of the engine
// thread: no I/O, no bytes, no allocation after construction.
//
//              take                 loaded              take (evicts)
//     kEmpty ───────► kLoading ────────────► kReady ───────────────────► kLoading
//        ▲                │ │ failed            │ pinned: never taken
//        │ called_off     │ └──► kFailed ───────│──► kEmpty when the last pin goes
//        └── kCallingOff ◄┘ call_off
//
// A slot being read cannot be taken, whoever wants it: reads in flight cannot be called back.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/types.h"
#include "offload/expert_policy.h"
#include "offload/io_port.h"
#include "offload/policy.h"

namespace millrace {

// Who wants a slot. A guess takes what is empty and nothing else.
enum class Claim : uint8_t { kDemand, kHint, kGuess };

enum class SlotState : uint8_t { kEmpty, kLoading, kCallingOff, kReady, kFailed };

class SlotTable {
public:
    // At most `hinted_max` slots may hold experts that were hinted and not used yet, at most `guesses_max` guesses.
    SlotTable(int32_t slots, int32_t layers, int32_t experts, int32_t hinted_max,
              int32_t guesses_max);

    [[nodiscard]] int32_t size() const { return static_cast<int32_t>(slots_.size()); }
    [[nodiscard]] int32_t pinned() const { return pinned_; }  // slots with at least one pin
    [[nodiscard]] SlotState state(SlotId slot) const { return at(slot).state; }
    [[nodiscard]] int32_t pins(SlotId slot) const { return at(slot).pins; }
    [[nodiscard]] bool hinted(SlotId slot) const { return at(slot).hinted; }  // guesses too
    [[nodiscard]] bool guessed(SlotId slot) const { return at(slot).guessed; }
    [[nodiscard]] uint32_t generation(SlotId slot) const { return at(slot).generation; }
    [[nodiscard]] ExpertKey key(SlotId slot) const { return at(slot).key; }
    [[nodiscard]] const ReadFailure& failure(SlotId slot) const { return at(slot).failure; }
    [[nodiscard]] uint64_t evictions() const { return evictions_; }

    // The slot where the expert is ready or being read.
    [[nodiscard]] std::optional<SlotId> find(ExpertKey key) const;
    // A slot for an expert that has none; it is kLoading then. First empty slots, then the one that will be missed least
    // (expert_policy.h), then, for demand only, the oldest hinted one. nullopt when none may be taken.
    [[nodiscard]] std::optional<SlotId> take(ExpertKey key, Claim claim);
    // A slot that reads a hinted expert which nobody has asked for yet.
    [[nodiscard]] std::optional<SlotId> hinted_loading() const;
    [[nodiscard]] int32_t calling_off() const { return calling_off_; }

    // Slots with guesses that nobody has used yet, loading or ready.
    [[nodiscard]] std::span<const SlotId> guesses() const { return guesses_; }
    // Whether guesses_max slots are kept empty or hold guesses; not so at first.
    void keep_for_guesses(bool keep) { kept_ = keep ? guesses_max_ : 0; }
    // Makes them empty, of those that will be missed least. A guess that was used is an expert like any other, and this
    // is the eviction that it would have cost on demand.
    void refill();
    // A ready guess is not wanted: its slot is empty.
    void discard(SlotId slot);

    // A pin keeps the slot's bytes (or its coming bytes, or its failure); the first one ends the state of being hinted.
    void pin(SlotId slot);
    // True when it was the last pin.
    bool unpin(SlotId slot);
    // True once for every load: the first time it is asked of a slot whose bytes have landed.
    [[nodiscard]] bool take_fresh(SlotId slot);
    [[nodiscard]] bool fresh(SlotId slot) const { return at(slot).fresh; }
    // Learns from routers here; which experts may go is the table's to tell it.
    [[nodiscard]] ExpertPolicy& policy() { return policy_; }

    // The expert of an unpinned loading slot is not wanted any more.
    void call_off(SlotId slot);
    // How a load ended.
    void loaded(SlotId slot);
    void called_off(SlotId slot);
    void failed(SlotId slot, const ReadFailure& failure);

    // One acquire has passed: hinted experts that were ready for kHintLife of them and never used lose their protection.
    void tick();
    static constexpr uint64_t kHintLife = 128;

private:
    struct Slot {
        SlotState state = SlotState::kEmpty;
        bool hinted = false;
        bool guessed = false;  // then it is hinted too
        bool fresh = false;    // nobody has used the bytes since they landed
        int32_t pins = 0;
        uint32_t generation = 0;
        uint64_t ready_at = 0;  // tick; of hinted slots
        ExpertKey key;
        ReadFailure failure;
    };
    [[nodiscard]] Slot& at(SlotId slot) { return slots_[static_cast<size_t>(slot.value)]; }
    [[nodiscard]] const Slot& at(SlotId slot) const {
        return slots_[static_cast<size_t>(slot.value)];
    }
    [[nodiscard]] int32_t& home(ExpertKey key);
    [[nodiscard]] std::optional<SlotId> choose(Claim claim) const;
    void forget(SlotId slot);
    void evict(SlotId slot);
    void make_empty(SlotId slot);
    void make_evictable(SlotId slot);
    void make_unevictable(SlotId slot);
    void end_hint(SlotId slot);

    int32_t experts_;
    int32_t hinted_max_, guesses_max_;
    int32_t kept_ = 0;  // slots for guesses
    std::vector<Slot> slots_;
    std::vector<int32_t> homes_;  // [layers][experts] → slot or −1
    SlotOrder empty_;             // kEmpty
    ExpertPolicy policy_;         // kReady, unpinned, not hinted
    SlotOrder hinted_ready_;      // kReady, unpinned, hinted
    std::vector<SlotId> guesses_;
    int32_t hinted_ = 0;
    int32_t pinned_ = 0;
    int32_t calling_off_ = 0;
    uint64_t ticks_ = 0;
    uint64_t evictions_ = 0;
};

}  // namespace millrace
