#include "tests/support/cuda_sim/machine.h"

#include <algorithm>
#include <numeric>

namespace millrace::cuda_sim {
namespace {

// A thread that makes so many accesses without waiting once will never end.
constexpr int64_t kAccessesMax = 200'000'000;

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
    fibers_.abandon();
}

void Machine::wait() {
    current().waits += 1;
    current().accesses_since_wait = 0;
    fibers_.yield();
    checking = false;
}

void Machine::launch(const KernelEntry& entry, dim3 grid_wanted, dim3 block_wanted,
                     size_t shared_bytes, const void* task) {
    grid = grid_wanted;
    block = block_wanted;
    kernel_ = &kernels[names[entry.call]];
    kernel_->launches += 1;
    entry_ = &entry;
    task_at_ = task;
    launch_ += 1;
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
    dynamic_shared_.end = dynamic_shared_.begin + shared_bytes;
    Random random(options.seed);
    std::vector<uint32_t> order(blocks);
    std::iota(order.begin(), order.end(), 0U);
    shuffle_order(order, options.seed, random);
    for (const uint32_t number : order) {
        block_number_ = number;
        block_index = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
        run_block(random);
        if (failed_) break;
    }
    threads_.clear();
}

void Machine::run_block(Random& random) {
    static_shadow_->define(0, static_shared_.end - static_shared_.begin, false);
    dynamic_shadow_->define(0, dynamic_shared_.end - dynamic_shared_.begin, false);
    blocks_begun_ += 1;
    std::ranges::fill(waiting_lanes_, 0U);
    barriers_ = 0;
    at_barrier_ = 0;
    for (size_t t = 0; t < threads_.size(); ++t) {
        threads_[t] = {};
        const auto i = static_cast<uint32_t>(t);
        threads_[t].index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    }
    std::vector<size_t> order(threads_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    for (;;) {
        shuffle_order(order, options.seed == 1 && barriers_ > 0 ? 0 : options.seed, random);
        if (!sweep(order)) break;
    }
    if (failed_) {
        fibers_.reset();
        return;
    }
    const auto done = [](const Thread& thread) { return thread.state == State::kDone; };
    if (!std::ranges::all_of(threads_, done)) {
        explain_standstill();
        fibers_.reset();
        return;
    }
    if (options.statistics) traffic_.count(kernel_->shared, kernel_->global);
}

// Every thread that can runs until it waits; false when none could, or one did something wrong.
bool Machine::sweep(const std::vector<size_t>& order) {
    bool ran = false;
    for (const size_t thread : order) {
        if (threads_[thread].state != State::kReady) continue;
        run_thread(thread);
        ran = true;
        if (failed_) return false;
    }
    return ran;
}

void Machine::run_thread(size_t thread) {
    const auto body = [](void* self) {
        auto* m = static_cast<Machine*>(self);
        m->checking = true;
        m->entry_->call(m->task_at_);
        m->checking = false;
        m->current().state = State::kDone;
    };
    checking = true;
    fibers_.resume(thread, body, this);
    checking = false;
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
        if (thread.state == State::kCollective && thread.mask == mask) continue;
        const char* where = thread.state == State::kDone ? "has ended" : "waits elsewhere";
        out += " lane " + std::to_string(lane) + " " + where + ";";
        break;
    }
    return out;
}

// Nobody can go on: who waits for whom?
void Machine::explain_standstill() {
    for (size_t t = 0; t < threads_.size(); ++t) {
        const Thread& thread = threads_[t];
        if (thread.state != State::kCollective) continue;
        report(Fault::kAbsentLane,
               std::string(thread.operation) + " in line " + std::to_string(thread.place.line()) +
                   " waits for ever:" + lanes_text(static_cast<uint32_t>(t) / kWarp, thread.mask));
        violations.back().thread = thread.index;
        return;
    }
    for (const Thread& thread : threads_) {
        if (thread.state != State::kBarrier) continue;
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
    if (bytes == 0 || fibers_.on_stack(fibers_.current(), at)) return;
    if (++current().accesses_since_wait > kAccessesMax) {
        fail(Fault::kEndless, "a loop does not end");
    }
    if (must_align && at % bytes != 0) {
        fail(Fault::kMisaligned, std::to_string(bytes) + " bytes at an address that is " +
                                     std::to_string(at % bytes) + " beyond a multiple of them");
    }
    const bool in_static = static_shared_.begins(at);
    if (in_static || dynamic_shared_.begins(at)) {
        const ByteRange& range = in_static ? static_shared_ : dynamic_shared_;
        if (!range.holds(at, bytes)) {
            fail(Fault::kSharedBounds, std::to_string(bytes) + " bytes at byte " +
                                           std::to_string(at - range.begin) + " of " +
                                           std::to_string(range.end - range.begin));
        }
        check_shadow(in_static ? *static_shadow_ : *dynamic_shadow_, at - range.begin, bytes,
                     access, true);
    } else if (Allocation* allocation = find(at);
               allocation != nullptr && allocation->range.holds(at, bytes)) {
        check_shadow(*allocation->shadow, at - allocation->range.begin, bytes, access, false);
    } else {
        outside(at, bytes);
        if (access != Access::kRead) {
            fail(Fault::kConstantWritten, "parameters and constants are not written");
        }
        return;
    }
    if (options.statistics) {
        const bool shared = in_static || dynamic_shared_.begins(at);
        traffic_.note(current_index(), current().waits, from, at, bytes, shared);
    }
}

}  // namespace millrace::cuda_sim
