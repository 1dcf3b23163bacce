#pragma once
// Recorded streams of the simulated GPU: between the beginning and the end of a capture, calls are kept instead of done; a
// graph does them again, with the tasks that they had. One stream is captured at a time.

#include <cstdint>
#include <functional>

#include "tests/support/cuda_sim/cuda_runtime.h"

namespace millrace::cuda_sim {

// For the calls that may be captured: whether they are, and a call that does the same.
[[nodiscard]] bool capturing();
void capture(std::function<cudaError_t()> call);
// For those that may not: what they return. The capture that is under way comes to nothing.
[[nodiscard]] cudaError_t spoil_capture();
// card.cpp: what a call returns that would have returned `result`.
cudaError_t done(cudaError_t result);

struct GraphReport {
    int64_t alive = 0;     // graphs that can be launched
    int64_t launches = 0;  // of graphs
    int64_t calls = 0;     // that these did
};
[[nodiscard]] GraphReport graphs();
// So many graphs can be alive; for others there is no memory.
void set_graphs_max(int64_t count);

}  // namespace millrace::cuda_sim
