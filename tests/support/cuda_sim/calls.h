#pragma once
// What the runtime calls of the simulated GPU share. Internal to the simulator.

#include "tests/support/cuda_sim/cuda_runtime.h"

namespace millrace::cuda_sim {

// The thread's own GPU.
[[nodiscard]] int own_device();
// What a call for a GPU returns that would have returned `result`: so many calls later it has fallen off its bus.
cudaError_t done(cudaError_t result, int device = own_device());
[[nodiscard]] bool lost(int device);
void set_last(cudaError_t error);
// Whether memory belongs to another GPU than this one, whose streams then may not copy it.
[[nodiscard]] bool foreign(const void* at, int device);
// Bytes that a program may pin besides those that it has.
[[nodiscard]] uint64_t pinned_limit();

}  // namespace millrace::cuda_sim
