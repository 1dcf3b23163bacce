#pragma once
// Runs CUDA kernels on the CPU, one thread of the kernel at a time, and watches every load and store.
//
// The kernels' sources are compiled with -fsanitize=thread and -fsanitize=bounds, but linked with neither library: the
// calls that the compiler inserts lead here. So plain source is checked, without wrapper types:
//
//   accesses outside an allocation (global), outside the block's shared memory, beyond the end of an array
//   two threads at one byte without a barrier between them, one of them writing (atomics among themselves may)
//   reads of bytes that nobody wrote, shared (since the block began) or global
//   vector accesses that are not aligned
//   barriers that not all threads of a block reach; shuffles that not all lanes of their mask reach; whatever waits for
//   ever; loops without end
//
// Ordering: __syncthreads orders all accesses of a block, __syncwarp with a full mask those of a warp, shuffles none, the
// end of a kernel all. A violation ends its launch; memory then holds whatever it held. Each kernel runs in an order of
// blocks, warps and threads that the seed decides: 0 first to last, 1 last to first, others shuffled. When the work of a
// stream is done, as far as the program leaves that open, the seed decides too (streams.h).
//
// One thread of the process may use the simulator. Whoever launches checks take_violations() afterwards.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/cuda_sim/vector_types.h"

namespace millrace::cuda_sim {

enum class Fault {
    kGlobalBounds,
    kSharedBounds,
    kIndexBounds,
    kMisaligned,
    kRace,
    kUninitialisedShared,
    kUninitialisedGlobal,
    kDivergentBarrier,
    kAbsentLane,
    kDeadlock,
    kEndless,
    kForeignStack,
    kConstantWritten,
    kShift,
    kLaunch,
    kHostMemory,
    kForeignGpu,
};
[[nodiscard]] const char* fault_name(Fault fault);

struct Violation {
    Fault fault;
    std::string kernel;
    uint3 block, thread;
    std::string what;

    // "rms_norm_kernel: block (0,0,0) thread (31,0,0): race: …"
    [[nodiscard]] std::string text() const;
};

struct Options {
    uint64_t seed = 0;
    bool statistics = false;  // counts what warps access together; several times slower
    // A thread that makes more accesses without waiting once will never end.
    int64_t accesses_max = 200'000'000;
};
// Waits for all streams first, and so do the two below.
void set_options(const Options& options);

// What went wrong since the last call.
[[nodiscard]] std::vector<Violation> take_violations();

// Accesses of whole warps to one memory. Shared: wavefronts beside those that accesses without conflicts would take (1 =
// no conflict). Global: 32-byte sectors beside those that the bytes would fill.
struct WarpTraffic {
    int64_t accesses = 0, taken = 0, needed = 0;
    double worst = 0;  // of one access: taken / needed
    [[nodiscard]] double mean() const {
        return needed == 0 ? 1 : static_cast<double>(taken) / static_cast<double>(needed);
    }
};

struct KernelReport {
    std::string name;
    int64_t launches = 0;
    WarpTraffic shared, global;
};
// Every kernel that a launcher names, executed or not, by name.
[[nodiscard]] std::vector<KernelReport> kernels();

}  // namespace millrace::cuda_sim
