#pragma once
// Recorded streams of the simulated GPU: between the beginning and the end of a capture, calls are kept instead of done; a
// graph does them again, with the tasks that they had. One stream is captured at a time.

#include <cstdint>

#include "tests/support/cuda_sim/cuda_runtime.h"
#include "tests/support/cuda_sim/streams.h"

namespace millrace::cuda_sim {

// Whether there is a capture, and whether it is one of this stream: then what is added to it (streams.h) is kept. Work that
// is not the GPU's alone, but for copies to pinned memory of the host, spoils a capture, as calls do that return what
// spoil_capture() says: it comes to nothing.
[[nodiscard]] bool capturing();
[[nodiscard]] bool captures(cudaStream_t stream);
void capture(Work work);
[[nodiscard]] cudaError_t spoil_capture();

struct GraphReport {
    int64_t alive = 0;     // graphs that can be launched
    int64_t launches = 0;  // of graphs
    int64_t calls = 0;     // that these did
};
[[nodiscard]] GraphReport graphs();
// So many graphs can be alive; for others there is no memory.
void set_graphs_max(int64_t count);

}  // namespace millrace::cuda_sim
