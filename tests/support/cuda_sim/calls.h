#pragma once
// What the runtime calls of the simulated GPU share. Internal to the simulator.

#include "tests/support/cuda_sim/cuda_runtime.h"

namespace millrace::cuda_sim {

// What a call returns that would have returned `result`: so many calls later the GPU has fallen off its bus.
cudaError_t done(cudaError_t result);
[[nodiscard]] bool lost();
void set_last(cudaError_t error);
// The thread's own GPU.
[[nodiscard]] int own_device();
// Whether memory belongs to another GPU than the thread's own: then it may not copy it.
[[nodiscard]] bool foreign(const void* at);
// Bytes that a program may pin besides those that it has.
[[nodiscard]] uint64_t pinned_limit();

}  // namespace millrace::cuda_sim
