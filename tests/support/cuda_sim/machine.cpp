#include "tests/support/cuda_sim/machine.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace millrace::cuda_sim {
namespace {

template <class T>
void shuffle_order(std::vector<T>& order, uint64_t seed, Random& random) {
    if (seed == 0) return;
    if (seed == 1) {
        std::ranges::reverse(order);
        return;
    }
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
}

}  // namespace

Machine* the_machine = nullptr;
bool checking = false;
uintptr_t running_stack = 0;

void make_machine() {
    static Machine machine;
    the_machine = &machine;
}

void Machine::report(Fault fault, const std::string& what) {
    const uint3 thread = threads_.empty() ? uint3{} : current().index;
    violations.push_back(
        {fault, kernel_ == nullptr ? "" : kernel_->name, block_index, thread, what});
    failed_ = true;
}

void Machine::fail(Fault fault, const std::string& what) {
    report(fault, what);
    fibers_.leave();
    std::abort();  // nobody goes on with a thread that failed
}

void Machine::wait() {
    current().waits += 1;
    pass_on();
}

void Machine::launch(const KernelEntry& entry, dim3 grid_wanted, dim3 block_wanted,
                     size_t shared_bytes, const void* task, int device) {
    // What the last kernel of another GPU touched is not this one's.
    if (device != device_) std::ranges::fill(recent_, &nowhere_);
    device_ = device;
    grid = grid_wanted;
    block = block_wanted;
    kernel_ = &kernels[names[entry.call]];
    kernel_->launches += 1;
    entry_ = &entry;
    task_at_ = task;
    failed_ = false;
    const size_t threads = size_t{block.x} * block.y * block.z;
    const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
    threads_.clear();
    if (threads == 0 || threads > 1024 || blocks == 0 || grid.y > 65535 || grid.z > 65535 ||
        shared_bytes > kDynamicSharedMax) {
        report(Fault::kLaunch, std::to_string(blocks) + " blocks of " + std::to_string(threads) +
                                   " threads with " + std::to_string(shared_bytes) +
                                   " bytes of shared memory cannot be launched");
        return;
    }
    threads_.resize(threads);
    const auto task_begin = reinterpret_cast<uintptr_t>(task);
    task_ = {task_begin, task_begin + entry.task_bytes};
    dynamic_region_.range.end = dynamic_region_.range.begin + shared_bytes;
    epoch_ += 1;
    global_.ordered_before = epoch_;
    blocks_begun_.clear();
    Random random(options.seed);
    std::vector<uint32_t> order(blocks);
    std::iota(order.begin(), order.end(), 0U);
    shuffle_order(order, options.seed, random);
    for (const uint32_t number : order) {
        blocks_begun_.emplace_back(epoch_ + 1, number);
        block_index = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
        run_block(random);
        if (failed_) break;
    }
    threads_.clear();
}

void Machine::run_block(Random& random) {
    epoch_ += 1;
    global_.block_first = epoch_;
    shared_.block_first = shared_.written_first = shared_.ordered_before = epoch_;
    std::ranges::fill(waiting_lanes_, 0U);
    barriers_ = 0;
    at_barrier_ = 0;
    const size_t threads = threads_.size();
    for (size_t t = 0; t < threads; ++t) {
        Thread& thread = threads_[t];
        const auto i = static_cast<uint32_t>(t);
        thread.index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
        thread.warp_barriers = thread.waits = thread.mask = 0;
        if (!thread.copies.empty()) thread.copies.clear();
        states_[t] = State::kReady;
    }
    fibers_.reset(threads);
    order_.resize(threads);
    std::iota(order_.begin(), order_.end(), 0U);
    random_ = &random;
    turn_ = threads;
    somebody_ran_ = true;
    become(next_thread());
    fibers_.enter(current_index_);
    checking = false;
    if (failed_) return;
    const auto done = [](State state) { return state == State::kDone; };
    if (!std::all_of(states_, states_ + threads, done)) {
        explain_standstill();
        return;
    }
    if (options.statistics) traffic_.count(kernel_->shared, kernel_->global);
}

// Whose turn it is: every thread that can runs until it waits, then all again. kFibersMax when none could.
size_t Machine::next_thread() {
    for (;;) {
        while (turn_ < order_.size()) {
            const size_t thread = order_[turn_++];
            if (states_[thread] != State::kReady) continue;
            somebody_ran_ = true;
            return thread;
        }
        if (!somebody_ran_) return Fibers::kFibersMax;
        somebody_ran_ = false;
        turn_ = 0;
        shuffle_order(order_, options.seed == 1 && barriers_ > 0 ? 0 : options.seed, *random_);
    }
}

void Machine::become(size_t thread) {
    current_index_ = static_cast<uint32_t>(thread);
    current_ = &threads_[thread];
    running_stack = fibers_.stack_of(thread);
    accesses_left_ = options.accesses_max;
    const Stamp barriers = Stamp{current_->warp_barriers} << kWarpBarrierShift & kWarpBarrierMask;
    global_.now = Stamp{epoch_} << kEpochShift | Stamp{thread} << kThreadShift | barriers;
    shared_.now = global_.now;
}

// The thread that runs gives its turn to the next one, which may be itself.
void Machine::pass_on() {
    const size_t before = current_index_;
    const size_t next = next_thread();
    if (next == Fibers::kFibersMax) {
        fibers_.leave();
        return;
    }
    become(next);
    if (next != before) fibers_.go_on(next);
}

void Machine::run_thread(void* self) {
    auto* m = static_cast<Machine*>(self);
    checking = true;
    m->entry_->call(m->task_at_);
    checking = false;
    m->states_[m->current_index_] = State::kDone;
    m->pass_on();
    std::abort();  // nobody goes on with a thread that has ended
}

std::string Machine::lanes_text(uint32_t warp, uint32_t mask) {
    std::string out;
    for (uint32_t lane = 0; lane < kWarp; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        const size_t t = size_t{warp} * kWarp + lane;
        if (t >= threads_.size()) {
            out += " lane " + std::to_string(lane) + " does not exist;";
            break;
        }
        const Thread& thread = threads_[t];
        if (states_[t] == State::kCollective && thread.mask == mask) continue;
        const char* where = states_[t] == State::kDone ? "has ended" : "waits elsewhere";
        out += " lane " + std::to_string(lane) + " " + where + ";";
        break;
    }
    return out;
}

// Nobody can go on: who waits for whom?
void Machine::explain_standstill() {
    for (size_t t = 0; t < threads_.size(); ++t) {
        const Thread& thread = threads_[t];
        if (states_[t] != State::kCollective) continue;
        report(Fault::kAbsentLane,
               std::string(thread.operation) + " in line " + std::to_string(thread.place.line()) +
                   " waits for ever:" + lanes_text(static_cast<uint32_t>(t) / kWarp, thread.mask));
        violations.back().thread = thread.index;
        return;
    }
    for (size_t t = 0; t < threads_.size(); ++t) {
        const Thread& thread = threads_[t];
        if (states_[t] != State::kBarrier) continue;
        report(Fault::kDivergentBarrier,
               "the barrier in line " + std::to_string(thread.place.line()) + " is reached by " +
                   std::to_string(at_barrier_) + " of " + std::to_string(threads_.size()) +
                   " threads, the others have ended");
        violations.back().thread = thread.index;
        return;
    }
    report(Fault::kDeadlock, "no thread can go on");
}

void Machine::access(uintptr_t at, size_t bytes, Access access, bool must_align, uintptr_t from) {
    switch (access) {
        case Access::kRead:
            if (bytes == 16) return access_as<Access::kRead>(at, 16, must_align, from);
            return access_as<Access::kRead>(at, bytes, must_align, from);
        case Access::kWrite: return access_as<Access::kWrite>(at, bytes, must_align, from);
        case Access::kAtomic: return access_as<Access::kAtomic>(at, bytes, must_align, from);
    }
}

void Machine::endless() { fail(Fault::kEndless, "a loop does not end"); }

void Machine::misaligned(uintptr_t at, size_t bytes) {
    fail(Fault::kMisaligned, std::to_string(bytes) + " bytes at an address that is " +
                                 std::to_string(at % bytes) + " beyond a multiple of them");
}

uint32_t Machine::block_in(uint32_t epoch) const {
    uint32_t number = 0;
    for (const auto& [begun, block_number] : blocks_begun_) {
        if (begun <= epoch) number = block_number;
    }
    return number;
}

void Machine::wrong(const Region& region, const Shadow::Finding& finding, size_t offset,
                    size_t bytes) {
    const char* where = region.shared ? "shared memory, " : "global memory, ";
    if (finding.verdict == Shadow::Verdict::kUnwritten) {
        fail(region.shared ? Fault::kUninitialisedShared : Fault::kUninitialisedGlobal,
             where + std::to_string(bytes) + " bytes at byte " + std::to_string(offset) +
                 " are read, nobody wrote them");
    }
    const bool written = finding.verdict == Shadow::Verdict::kRaceWithWrite;
    fail(Fault::kRace, where + std::string("byte ") + std::to_string(finding.at) + " was " +
                           (written ? "written" : "read") + " by thread " +
                           std::to_string(thread_of(finding.earlier)) + " of block " +
                           std::to_string(block_in(epoch_of(finding.earlier))) +
                           " with no barrier between");
}

}  // namespace millrace::cuda_sim
