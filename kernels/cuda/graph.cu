// Recordings (kernels/ops.h) as CUDA's graphs: what a stream is asked for between two calls becomes one graph, whose start
// costs the host about what three or four kernels cost. A kernel's task is copied into it, so that it must not hold what
// changes from step to step.

#include <cuda_runtime.h>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/launch.cuh"

namespace millrace::cuda {
namespace {

class Graph final : public Recording {
public:
    Graph(cudaGraphExec_t graph, Stream stream) : graph_(graph), stream_(stream) {}
    // One that is under way ends before it is gone.
    ~Graph() override {
        use_device(stream_);
        static_cast<void>(cudaGraphExecDestroy(graph_));
    }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;
    [[nodiscard]] cudaGraphExec_t get() const { return graph_; }

private:
    cudaGraphExec_t graph_;
    Stream stream_;
};

cudaStream_t handle_of(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

}  // namespace

bool CudaOps::begin_recording() {
    if (stream_.handle == nullptr) return false;
    use_device(stream_);
    // What went wrong before is for the next read to tell: end_recording() would lose it.
    if (cudaPeekAtLastError() != cudaSuccess) return false;
    // Other threads may use the GPU meanwhile.
    return cudaStreamBeginCapture(handle_of(stream_), cudaStreamCaptureModeThreadLocal) ==
           cudaSuccess;
}

std::unique_ptr<Recording> CudaOps::end_recording() {
    use_device(stream_);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t out = nullptr;
    cudaError_t error = cudaStreamEndCapture(handle_of(stream_), &graph);
    if (error == cudaSuccess) error = cudaGraphInstantiate(&out, graph, 0);
    if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
    // The calls are made again now; what cannot be done fails again, and then is told.
    static_cast<void>(cudaGetLastError());
    if (error != cudaSuccess) return nullptr;
    return std::make_unique<Graph>(out, stream_);
}

void CudaOps::replay(const Recording& recording) {
    use_device(stream_);
    // A failure is the last error, which read() tells.
    static_cast<void>(
        cudaGraphLaunch(static_cast<const Graph&>(recording).get(), handle_of(stream_)));
}

}  // namespace millrace::cuda
