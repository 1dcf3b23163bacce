#pragma once
// The simulated GPU: its memory, the block that runs, and the threads of it. Internal to the simulator; simulator.h and
// cuda_runtime.h are its faces.

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "tests/support/cuda_sim/cuda_runtime.h"
#include "tests/support/cuda_sim/fibers.h"
#include "tests/support/cuda_sim/shadow.h"
#include "tests/support/cuda_sim/simulator.h"
#include "tests/support/cuda_sim/traffic.h"

namespace millrace::cuda_sim {

inline constexpr uint32_t kWarp = 32;
inline constexpr size_t kDynamicSharedMax = 227 * 1024;  // what an H100 has for one block

struct ByteRange {
    uintptr_t begin = 0, end = 0;
    [[nodiscard]] bool holds(uintptr_t at, size_t bytes) const {
        return at >= begin && at + bytes <= end;
    }
    [[nodiscard]] bool begins(uintptr_t at) const { return at >= begin && at < end; }
};

class Machine {
public:
    Machine();

    // memory.cpp: for the host.
    void* allocate(size_t bytes);
    bool release(void* at);
    // Whether the range lies in one allocation; `define` says that the host wrote it.
    bool host_access(const void* at, size_t bytes, bool define);
    // For kernels: an access from the instruction at `from`.
    void access(uintptr_t at, size_t bytes, Access access, bool must_align, uintptr_t from);
    [[nodiscard]] void* dynamic_shared();

    // machine.cpp
    void launch(const KernelEntry& entry, dim3 grid, dim3 block, size_t shared_bytes,
                const void* task);
    [[noreturn]] void fail(Fault fault, const std::string& what);
    void report(Fault fault, const std::string& what);
    // Lets the others run; the caller has said what it waits for.
    void wait();

    // warp.cpp
    void barrier(Place place);
    void collective(const char* name, uint32_t mask, void* argument, Resolve resolve, Place place,
                    bool orders_memory);

    // A copy of 16 bytes that a thread has asked for.
    struct Copy {
        void* to;
        const void* from;
    };
    enum class State { kReady, kBarrier, kCollective, kDone };
    struct Thread {
        uint3 index{};
        State state = State::kReady;
        Place place;
        const char* operation = "";
        uint32_t mask = 0;
        void* argument = nullptr;
        bool orders_memory = false;
        uint32_t warp_barriers = 0;
        uint32_t waits = 0;
        int64_t accesses_since_wait = 0;
        std::vector<std::vector<Copy>> copies;  // by group, the last one not committed
    };
    [[nodiscard]] Thread& current() { return threads_[fibers_.current()]; }
    [[nodiscard]] uint32_t current_index() const {
        return static_cast<uint32_t>(fibers_.current());
    }

    // While kernel code runs: the compiler's calls mean something.
    bool checking = false;
    Options options;
    std::vector<Violation> violations;
    std::map<std::string, KernelReport, std::less<>> kernels;
    std::map<void (*)(const void*), std::string> names;  // of kernels, by their calls
    dim3 grid, block;
    uint3 block_index{};

private:
    struct Allocation {
        ByteRange range;
        std::unique_ptr<Shadow> shadow;
    };
    void run_block(Random& random);
    void run_thread(size_t thread);
    [[nodiscard]] bool sweep(const std::vector<size_t>& order);
    void explain_standstill();
    void check_shadow(Shadow& shadow, size_t offset, size_t bytes, Access access, bool shared);
    void outside(uintptr_t at, size_t bytes);
    [[nodiscard]] Allocation* find(uintptr_t at);
    [[nodiscard]] std::string lanes_text(uint32_t warp, uint32_t mask);

    Fibers fibers_;
    std::vector<Thread> threads_;
    std::map<uintptr_t, Allocation> allocations_;  // by end
    ByteRange static_shared_, dynamic_shared_, task_, image_;
    std::unique_ptr<Shadow> static_shadow_, dynamic_shadow_;
    std::unique_ptr<std::byte[]> dynamic_memory_;
    Traffic traffic_;

    const KernelEntry* entry_ = nullptr;
    const void* task_at_ = nullptr;
    KernelReport* kernel_ = nullptr;
    uint32_t waiting_lanes_[32] = {};  // of each warp: lanes that wait for others of it
    uint32_t launch_ = 0;
    uint32_t blocks_begun_ = 0;
    uint32_t block_number_ = 0;
    uint32_t barriers_ = 0;
    size_t at_barrier_ = 0;
    bool failed_ = false;
};

// Made by whoever asks first, which may be before main().
extern Machine* the_machine;
void make_machine();
inline Machine& machine() {
    if (the_machine == nullptr) make_machine();
    return *the_machine;
}

// Runtime code that kernel code has called: what it touches is nobody's business.
class Unchecked {
public:
    Unchecked() { machine().checking = false; }
    ~Unchecked() { machine().checking = true; }
    Unchecked(const Unchecked&) = delete;
    Unchecked& operator=(const Unchecked&) = delete;
};

}  // namespace millrace::cuda_sim
