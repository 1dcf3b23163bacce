#pragma once
// What the simulated runtime says of driver and GPUs, so that tests can take either away.
//
// Every GPU has memory of its own: what a stream of one does with memory of another is an error (a copy) or a violation
// (a kernel), and cudaSetDevice decides where memory, streams and events come from.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::cuda_sim {

struct Card {
    int driver = 13000;   // the newest CUDA that the driver speaks; 0: there is no driver
    int runtime = 13000;  // what the program was built with
    int count = 1;        // GPUs
    std::string name = "simulated";
    int major = 9, minor = 0;
    int multiprocessors = 4;
    int clock_khz = 1'000'000;
    uint64_t memory_bytes = uint64_t{16} << 30;  // of each GPU: what can be allocated at a time
    std::vector<uint64_t> each_memory_bytes{};   // by GPU, where they differ
    uint64_t pinned_bytes = uint64_t{1} << 40;   // of the host, at most
    // So many calls still succeed; then the GPU has fallen off its bus, and every call fails.
    int64_t calls_left = INT64_MAX;
    int loses =
        kEach;  // which GPU that is: only calls for this one count; kEach: all of them, at once

    static constexpr int kEach = -1;
};
void set_card(const Card& card);
// What is allocated on a GPU now.
[[nodiscard]] uint64_t used_bytes(int device);
// As if the calls from now on came from another thread, whose GPU is number 0.
void change_thread();

}  // namespace millrace::cuda_sim
