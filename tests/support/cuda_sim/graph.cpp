#include "tests/support/cuda_sim/graph.h"

#include <utility>
#include <vector>

#include "tests/support/cuda_sim/calls.h"

struct CUgraph_st {
    std::vector<millrace::cuda_sim::Work> work;
};
struct CUgraphExec_st {
    std::vector<millrace::cuda_sim::Work> work;
};

namespace millrace::cuda_sim {
namespace {

struct State {
    cudaStream_t stream = nullptr;  // that is captured
    bool spoiled = false;
    std::vector<Work> work;
    GraphReport report;
    int64_t graphs_max = INT64_MAX;
};

State& state() {
    static State only;
    return only;
}

}  // namespace

bool capturing() { return state().stream != nullptr; }
bool captures(cudaStream_t stream) { return stream != nullptr && stream == state().stream; }
void capture(Work work) {
    const int device = *streams().device_of(state().stream);
    const bool unpinned =
        work.to_host && streams().pinned(work.to, work.copied, device) != Streams::Pinned::kAll;
    if (unpinned || work.from_host || work.awaited) state().spoiled = true;
    state().work.push_back(std::move(work));
}
cudaError_t spoil_capture() {
    state().spoiled = true;
    return cudaErrorStreamCaptureUnsupported;
}
GraphReport graphs() { return state().report; }
void set_graphs_max(int64_t count) { state().graphs_max = count; }

}  // namespace millrace::cuda_sim

using namespace millrace::cuda_sim;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    if (stream == nullptr) return done(cudaErrorStreamCaptureUnsupported);
    if (capturing()) return done(cudaErrorInvalidValue);
    const cudaError_t result = done(cudaSuccess);
    if (result != cudaSuccess) return result;
    state().stream = stream;
    state().spoiled = false;
    state().work.clear();
    return result;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = nullptr;
    if (stream != state().stream) return done(cudaErrorInvalidValue);
    state().stream = nullptr;
    if (state().spoiled) return done(cudaErrorStreamCaptureInvalidated);
    const cudaError_t result = done(cudaSuccess);
    if (result == cudaSuccess) *graph = new CUgraph_st{std::move(state().work)};
    return result;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long) {
    *out = nullptr;
    State& s = state();
    if (s.report.alive >= s.graphs_max) return done(cudaErrorMemoryAllocation);
    const cudaError_t result = done(cudaSuccess);
    if (result != cudaSuccess) return result;
    *out = new CUgraphExec_st{graph->work};
    s.report.alive += 1;
    return result;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    const cudaError_t result = done(cudaSuccess);
    if (result != cudaSuccess) return result;
    state().report.launches += 1;
    state().report.calls += static_cast<int64_t>(graph->work.size());
    for (const Work& work : graph->work) streams().add(stream, work);
    return result;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return done(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    delete graph;
    state().report.alive -= 1;
    return done(cudaSuccess);
}
