#pragma once
// What the simulated runtime says of driver and GPU, so that tests can take either away.

#include <cstdint>
#include <string>

namespace millrace::cuda_sim {

struct Card {
    int driver = 13000;   // the newest CUDA that the driver speaks; 0: there is no driver
    int runtime = 13000;  // what the program was built with
    int count = 1;        // GPUs
    std::string name = "simulated";
    int major = 9, minor = 0;
    int multiprocessors = 4;
    int clock_khz = 1'000'000;
    uint64_t memory_bytes = uint64_t{16} << 30;  // what can be allocated at a time
    uint64_t pinned_bytes = uint64_t{1} << 40;   // of the host, at most
    // So many calls still succeed; then the GPU has fallen off its bus, and every call fails.
    int64_t calls_left = INT64_MAX;
};
void set_card(const Card& card);
// As if the calls from now on came from another thread, whose GPU is number 0.
void change_thread();

}  // namespace millrace::cuda_sim
