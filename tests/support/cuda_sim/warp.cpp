// What threads do together: barriers, shuffles, reductions; and atomics.

#include <algorithm>
#include <bit>

#include "tests/support/cuda_sim/machine.h"

namespace millrace::cuda_sim {
namespace {

bool same_place(const Place& a, const Place& b) {
    return a.line() == b.line() &&
           (a.file_name() == b.file_name() || std::string_view(a.file_name()) == b.file_name());
}

std::string line_of(const Place& place) { return "line " + std::to_string(place.line()); }

}  // namespace

void Machine::barrier(Place place) {
    if (at_barrier_ > 0 && !same_place(barrier_place_, place)) {
        fail(Fault::kDivergentBarrier, "the barrier in " + line_of(place) +
                                           " meets threads at the one in " +
                                           line_of(barrier_place_));
    }
    barrier_place_ = place;
    current().place = place;
    at_barrier_ += 1;
    if (at_barrier_ < threads_.size()) {
        states_[current_index_] = State::kBarrier;
    } else {
        at_barrier_ = 0;
        barriers_ += 1;
        epoch_ += 1;
        for (size_t t = 0; t < threads_.size(); ++t) {
            states_[t] = State::kReady;
            threads_[t].warp_barriers = 0;
        }
    }
    wait();  // who comes last has no right to go on first
}

void Machine::collective(const char* name, uint32_t mask, void* argument, Resolve resolve,
                         Place place, bool orders_memory) {
    const uint32_t warp = current_index() / kWarp;
    const uint32_t lane = current_index() % kWarp;
    if ((mask >> lane & 1) == 0) {
        fail(Fault::kAbsentLane, std::string(name) + ": the caller is not in its mask");
    }
    Thread& own = current();
    states_[current_index_] = State::kCollective;
    own.operation = name;
    own.mask = mask;
    own.argument = argument;
    own.place = place;
    uint32_t& waiting = waiting_lanes_[warp];
    waiting |= 1U << lane;
    if ((waiting & mask) != mask) {
        const size_t lanes = std::min<size_t>(kWarp, threads_.size() - size_t{warp} * kWarp);
        if (lanes < kWarp && mask >> lanes != 0) {
            fail(Fault::kAbsentLane, std::string(name) + " in " + line_of(place) + " names lane " +
                                         std::to_string(lanes) + ", which does not exist");
        }
        wait();
        return;
    }
    waiting &= ~mask;
    void* arguments[kWarp] = {};
    for (uint32_t other = 0; other < kWarp; ++other) {
        if ((mask >> other & 1) == 0) continue;
        const Thread& thread = threads_[size_t{warp} * kWarp + other];
        arguments[other] = thread.argument;
        if (thread.mask != mask || !same_place(thread.place, place) ||
            (thread.operation != name && std::string_view(thread.operation) != name)) {
            fail(Fault::kAbsentLane, std::string(name) + " in " + line_of(place) + " meets lane " +
                                         std::to_string(other) + " at " + thread.operation +
                                         " in " + line_of(thread.place));
        }
    }
    if (resolve != nullptr) resolve(arguments, mask);
    for (uint32_t other = 0; other < kWarp; ++other) {
        if ((mask >> other & 1) == 0) continue;
        const size_t t = size_t{warp} * kWarp + other;
        states_[t] = State::kReady;
        if (orders_memory && mask == ~0U) threads_[t].warp_barriers += 1;
    }
    wait();
}

uint3 thread_index() { return machine().current().index; }
uint3 block_index() { return machine().block_index; }
dim3 block_size() { return machine().block; }
dim3 grid_size() { return machine().grid; }
void* dynamic_shared() { return machine().dynamic_shared(); }
uint32_t lane_index() { return machine().current_index() % kWarp; }

void barrier(Place place) {
    const Unchecked unchecked;
    machine().barrier(place);
}

void warp_barrier(uint32_t mask, Place place) {
    const Unchecked unchecked;
    machine().collective("__syncwarp", mask, nullptr, nullptr, place, true);
}

void collective(const char* name, uint32_t mask, void* argument, Resolve resolve, Place place) {
    const Unchecked unchecked;
    machine().collective(name, mask, argument, resolve, place, false);
}

void exchange(const char* name, uint32_t mask, Exchange& own, Place place) {
    const Unchecked unchecked;
    if (own.from >= kWarp || (mask >> own.from & 1) == 0) {
        machine().fail(Fault::kAbsentLane, std::string(name) + " in " + line_of(place) +
                                               " reads lane " + std::to_string(own.from) +
                                               ", which is not in its mask");
    }
    const auto resolve = [](void* const* arguments, uint32_t lanes) {
        for (uint32_t lane = 0; lane < kWarp; ++lane) {
            if ((lanes >> lane & 1) == 0) continue;
            auto* to = static_cast<Exchange*>(arguments[lane]);
            to->result = static_cast<const Exchange*>(arguments[to->from])->bits;
        }
    };
    machine().collective(name, mask, &own, resolve, place, false);
}

namespace {

struct Reduce {
    Reduction reduction;
    bool is_signed;
    uint32_t value;
};

uint32_t combined(const Reduce& r, uint32_t a, uint32_t b) {
    const auto less = [&r](uint32_t x, uint32_t y) {
        return r.is_signed ? static_cast<int32_t>(x) < static_cast<int32_t>(y) : x < y;
    };
    switch (r.reduction) {
        case Reduction::kAdd: return a + b;
        case Reduction::kMin: return less(b, a) ? b : a;
        case Reduction::kMax: return less(a, b) ? b : a;
        case Reduction::kAnd: return a & b;
        case Reduction::kOr:
        case Reduction::kBallot: return a | b;
    }
    return 0;
}

uint32_t reduce(Reduce own, uint32_t mask, Place place) {
    const Unchecked unchecked;
    if (own.reduction == Reduction::kBallot) own.value <<= lane_index();
    const auto resolve = [](void* const* arguments, uint32_t lanes) {
        const Reduce* total = nullptr;
        uint32_t value = 0;
        for (uint32_t lane = 0; lane < kWarp; ++lane) {
            if ((lanes >> lane & 1) == 0) continue;
            const auto* one = static_cast<const Reduce*>(arguments[lane]);
            value = total == nullptr ? one->value : combined(*one, value, one->value);
            total = one;
        }
        for (uint32_t lane = 0; lane < kWarp; ++lane) {
            if ((lanes >> lane & 1) != 0) static_cast<Reduce*>(arguments[lane])->value = value;
        }
    };
    machine().collective("a reduction", mask, &own, resolve, place, false);
    return own.value;
}

}  // namespace

uint32_t reduce_u32(Reduction reduction, uint32_t mask, uint32_t value, Place place) {
    return reduce({reduction, false, value}, mask, place);
}
int32_t reduce_s32(Reduction reduction, uint32_t mask, int32_t value, Place place) {
    return static_cast<int32_t>(
        reduce({reduction, true, static_cast<uint32_t>(value)}, mask, place));
}

namespace {

template <class T, class Change>
T atomically(void* at, const Change& change) {
    const auto from = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
    const Unchecked unchecked;
    machine().access(reinterpret_cast<uintptr_t>(at), sizeof(T), Access::kAtomic, true, from);
    T old;
    std::memcpy(&old, at, sizeof(T));
    const T now = change(old);
    std::memcpy(at, &now, sizeof(T));
    return old;
}

template <class T>
T changed(Atomic operation, T old, T value) {
    switch (operation) {
        case Atomic::kAdd: return static_cast<T>(old + value);
        case Atomic::kMin: return std::min(old, value);
        case Atomic::kMax: return std::max(old, value);
        case Atomic::kOr: return old | value;
        case Atomic::kAnd: return old & value;
        case Atomic::kExchange: return value;
    }
    return old;
}

}  // namespace

uint32_t atomic_u32(Atomic operation, void* at, uint32_t value) {
    return atomically<uint32_t>(at, [&](uint32_t old) { return changed(operation, old, value); });
}
uint64_t atomic_u64(Atomic operation, void* at, uint64_t value) {
    return atomically<uint64_t>(at, [&](uint64_t old) { return changed(operation, old, value); });
}
int32_t atomic_s32(Atomic operation, void* at, int32_t value) {
    return atomically<int32_t>(at, [&](int32_t old) { return changed(operation, old, value); });
}
float atomic_f32_add(void* at, float value) {
    return atomically<float>(at, [&](float old) { return old + value; });
}
uint32_t atomic_u32_swap(void* at, uint32_t compare, uint32_t value) {
    return atomically<uint32_t>(at, [&](uint32_t old) { return old == compare ? value : old; });
}

namespace {

void together(const void* at, size_t bytes, Access access, const void* from) {
    const Unchecked unchecked;
    machine().access(reinterpret_cast<uintptr_t>(at), bytes, access, true,
                     reinterpret_cast<uintptr_t>(from));
}

}  // namespace

void load_bytes_together(void* to, const void* from, size_t bytes) {
    together(from, bytes, Access::kRead, __builtin_return_address(0));
    std::memcpy(to, from, bytes);
}
void store_bytes_together(void* to, const void* from, size_t bytes) {
    together(to, bytes, Access::kWrite, __builtin_return_address(0));
    std::memcpy(to, from, bytes);
}

}  // namespace millrace::cuda_sim
