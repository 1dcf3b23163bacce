#pragma once
// Loops that do nothing but what the machine does fastest: multiply and add in registers, or read memory from one end to
// the other. Benchmarks measure other kernels against them.

#include <cstdint>

namespace millrace {

// A kernel that multiplies: `macs_a_round` multiply-adds in each of `rounds` rounds, in enough independent chains to hide
// the instruction's latency. The result depends on every round.
struct PeakDot {
    float (*run)(int64_t rounds);
    int64_t macs_a_round;
};

struct PeakKernels {
    PeakDot floats;
    PeakDot bf16;
    PeakDot int8;
    // The wrapping sum of `count` words of 32 bits; the same on every ISA. count is a multiple of 128.
    uint32_t (*read)(const int32_t* words, int64_t count);
};

}  // namespace millrace
