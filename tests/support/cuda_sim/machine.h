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
        return at >= begin && at < end && bytes <= end - at;
    }
    [[nodiscard]] bool begins(uintptr_t at) const { return at >= begin && at < end; }
};

// The memory of all GPUs. As on a machine with real ones, the host's code cannot reach it: a pointer into it that the host
// follows ends the test with a segmentation fault.
class GpuMemory {
public:
    GpuMemory();
    GpuMemory(const GpuMemory&) = delete;
    GpuMemory& operator=(const GpuMemory&) = delete;

    [[nodiscard]] std::byte* take(size_t bytes);  // whole pages; null: there are no addresses left
    void give_back(std::byte* at);

    // As long as this lives, kernels and copies run.
    class Reached {
    public:
        explicit Reached(const GpuMemory& memory) : memory_(memory) { memory_.open(true); }
        ~Reached() { memory_.open(false); }
        Reached(const Reached&) = delete;
        Reached& operator=(const Reached&) = delete;

    private:
        const GpuMemory& memory_;
    };

private:
    void open(bool open) const;

    std::byte* begin_ = nullptr;
    std::byte* top_ = nullptr;  // nothing above it was ever taken
    std::map<std::byte*, size_t> free_, taken_;
};

class Machine {
public:
    Machine();

    // memory.cpp: for the host.
    void* allocate(size_t bytes, int device);
    bool release(void* at);
    // Whether the range lies in one allocation; `define` says that the host wrote it.
    bool host_access(const void* at, size_t bytes, bool define);
    [[nodiscard]] const GpuMemory& gpu_memory() const { return gpu_memory_; }
    // For kernels: an access from the instruction at `from`.
    void access(uintptr_t at, size_t bytes, Access access, bool must_align, uintptr_t from);
    template <Access kAccess>
    void access_as(uintptr_t at, size_t bytes, bool must_align, uintptr_t from);
    [[nodiscard]] void* dynamic_shared();

    // machine.cpp
    void launch(const KernelEntry& entry, dim3 grid, dim3 block, size_t shared_bytes,
                const void* task, int device);
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
    enum class State : uint8_t { kReady, kBarrier, kCollective, kDone };
    struct Thread {
        uint3 index{};
        uint32_t warp_barriers = 0;  // since the last barrier of the block
        uint32_t waits = 0;
        uint32_t mask = 0;
        const char* operation = "";
        Place place;
        void* argument = nullptr;
        std::vector<std::vector<Copy>> copies;  // by group, the last one not committed
    };
    [[nodiscard]] Thread& current() { return *current_; }
    [[nodiscard]] uint32_t current_index() const { return current_index_; }

    Options options;
    std::vector<Violation> violations;
    std::map<std::string, KernelReport, std::less<>> kernels;
    std::map<void (*)(const void*), std::string> names;  // of kernels, by their calls
    dim3 grid, block;
    uint3 block_index{};

private:
    // A piece of memory that kernels may use.
    struct Region {
        ByteRange range;
        Shadow* shadow = nullptr;
        bool shared = false;
        int device = 0;  // whose memory it is
    };
    struct Allocation {
        Region region;
        std::unique_ptr<Shadow> shadow;
    };
    void run_block(Random& random);
    static void run_thread(void* self);
    [[nodiscard]] size_t next_thread();
    void become(size_t thread);
    void pass_on();
    void explain_standstill();
    [[nodiscard]] Region* region_of(uintptr_t at, size_t bytes, Access access);
    [[noreturn]] void wrong(const Region& region, const Shadow::Finding& finding, size_t offset,
                            size_t bytes);
    [[noreturn]] void misaligned(uintptr_t at, size_t bytes);
    [[noreturn]] void endless();
    void outside(uintptr_t at, size_t bytes);
    [[nodiscard]] Allocation* find(uintptr_t at);
    [[nodiscard]] uint32_t block_in(uint32_t epoch) const;
    [[nodiscard]] std::string lanes_text(uint32_t warp, uint32_t mask);

    // What every access asks for comes first.
    int64_t accesses_left_ = 0;  // until it waits; see Options
    Moment global_, shared_;
    // Where the instruction's last access went: mostly the next one goes there, too.
    static constexpr size_t kRecent = 256;
    Region* recent_[kRecent];
    Region nowhere_, static_region_, dynamic_region_;
    Thread* current_ = nullptr;
    uint32_t current_index_ = 0;

    Fibers fibers_;
    std::vector<Thread> threads_;
    State states_[Fibers::kFibersMax] = {};
    GpuMemory gpu_memory_;
    std::map<uintptr_t, Allocation> allocations_;  // by end
    ByteRange task_, image_;
    int device_ = 0;  // that runs
    std::unique_ptr<Shadow> static_shadow_, dynamic_shadow_;
    std::unique_ptr<std::byte[]> dynamic_memory_;
    Traffic traffic_;

    const KernelEntry* entry_ = nullptr;
    const void* task_at_ = nullptr;
    KernelReport* kernel_ = nullptr;
    uint32_t waiting_lanes_[32] = {};  // of each warp: lanes that wait for others of it
    uint32_t epoch_ = kFirstEpoch;     // shadow.h
    std::vector<std::pair<uint32_t, uint32_t>> blocks_begun_;  // of the launch: epoch, number
    uint32_t barriers_ = 0;
    Place barrier_place_;  // of those at a barrier
    size_t at_barrier_ = 0;
    bool failed_ = false;

    // The order in which threads of the block get their turns.
    Random* random_ = nullptr;
    std::vector<uint32_t> order_;
    size_t turn_ = 0;
    bool somebody_ran_ = false;
};

// Made by whoever asks first, which may be before main().
extern Machine* the_machine;
void make_machine();
inline Machine& machine() {
    if (the_machine == nullptr) [[unlikely]]
        make_machine();
    return *the_machine;
}

// While kernel code runs: the compiler's calls mean something.
extern bool checking;
extern uintptr_t running_stack;  // of the thread that runs

// Runtime code that kernel code has called: what it touches is nobody's business.
class Unchecked {
public:
    Unchecked() { checking = false; }
    ~Unchecked() { checking = true; }
    Unchecked(const Unchecked&) = delete;
    Unchecked& operator=(const Unchecked&) = delete;
};

template <Access kAccess>
[[gnu::always_inline]] inline void Machine::access_as(uintptr_t at, size_t bytes, bool must_align,
                                                      uintptr_t from) {
    if (at - running_stack < Fibers::kStackBytes || bytes == 0) return;
    if (--accesses_left_ < 0) [[unlikely]]
        endless();
    if (must_align && (at & (bytes - 1)) != 0) [[unlikely]]
        misaligned(at, bytes);
    Region*& recent = recent_[(from ^ from >> 8) % kRecent];
    if (!recent->range.holds(at, bytes)) [[unlikely]] {
        Region* region = region_of(at, bytes, kAccess);
        if (region == nullptr) return;  // a parameter or a constant
        recent = region;
    }
    const Region& region = *recent;
    const size_t offset = at - region.range.begin;
    const Shadow::Finding finding =
        region.shadow->touch<kAccess>(offset, bytes, region.shared ? shared_ : global_);
    if (finding.verdict != Shadow::Verdict::kFine) [[unlikely]]
        wrong(region, finding, offset, bytes);
    if (options.statistics) [[unlikely]]
        traffic_.note(current_index_, current_->waits, from, at, bytes, region.shared);
}

}  // namespace millrace::cuda_sim
