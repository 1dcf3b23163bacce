#pragma once
// The streams of the simulated GPU, their events, and memory of the host that is pinned. Internal to the simulator.
//
// Work on a stream waits in a queue. It is done when the program makes certain that it has been done (by waiting for a
// stream, an event or the GPU, or by giving memory back), and before that only in as far as the seed decides:
//
//   seed 0   as late as possible
//   seed 1   as late as possible on the oldest stream, at once on the others
//   others   after every call a dice decides whether some stream goes on, and how far
//
// A wait for an event is part of the queue: what it waits for is done first. So what two streams do without an event
// between them happens in either order, for some seed: a kernel that does not wait for a copy reads what was there before
// it; a copy that does not wait for a kernel takes away what that one was to read.
//
// The default stream is another way to call the GPU: its work is done at once, and waits for nothing.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/random.h"
#include "tests/support/cuda_sim/cuda_runtime.h"

namespace millrace::cuda_sim {

// A place in a stream's queue: behind so many pieces of work.
struct Point {
    uint64_t stream = 0;
    uint64_t position = 0;
    uint64_t polls_left = 0;  // until a query finds it reached
};

// A kernel with its task, a wait, or a copy.
struct Work {
    KernelEntry kernel{};
    dim3 grid, block;
    size_t shared_bytes = 0;
    void* to = nullptr;  // of a copy
    const void* from = nullptr;
    size_t copied = 0;
    bool to_host = false, from_host = false;
    std::vector<std::byte> bytes;  // the task, or what was taken from memory that is not pinned
    std::shared_ptr<Point> awaited;
};

class Streams {
public:
    cudaStream_t create(int device);
    // Its work is done first.
    bool destroy(cudaStream_t stream);
    // Null where there is no such stream; the default one has GPU −1, which is every thread's.
    [[nodiscard]] const int* device_of(cudaStream_t stream) const;

    void add(cudaStream_t stream, Work work);
    [[nodiscard]] std::shared_ptr<Point> point(cudaStream_t stream);
    // Whether the work before it has been done.
    [[nodiscard]] bool reached(const Point& point) const;
    bool poll(Point& point);
    void reach(const Point& point);
    void finish(cudaStream_t stream);
    void finish();
    // Finishes, but what was on its way from this GPU to the host does not arrive; Card::kEach: from any.
    void lose(int device);
    void reseed(uint64_t seed);

    // False where that part of memory is pinned already, or is none that was. For one GPU, or for each.
    bool pin(const void* memory, size_t bytes, int device);
    bool unpin(const void* memory);
    [[nodiscard]] uint64_t pinned_bytes() const;
    enum class Pinned { kNone, kAll, kPart };
    [[nodiscard]] Pinned pinned(const void* memory, size_t bytes, int device) const;

private:
    struct Queue {
        int device = 0;
        uint64_t done = 0;
        std::deque<Work> work;
    };
    void run_until(uint64_t stream, uint64_t position);
    void run(const Work& work, int device);
    void tempt(uint64_t stream);

    std::map<uint64_t, Queue> queues_;  // by age
    uint64_t created_ = 0;
    struct Pin {
        size_t bytes = 0;
        int device = 0;
    };
    std::map<uintptr_t, Pin> pinned_;
    uint64_t seed_ = 0;
    Random dice_{0};
    std::optional<int> losing_;  // a GPU, or each
};
[[nodiscard]] Streams& streams();

}  // namespace millrace::cuda_sim
