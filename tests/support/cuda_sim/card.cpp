// The runtime calls of the simulated GPU.

#include "tests/support/cuda_sim/card.h"

#include <cstdio>
#include <iterator>
#include <map>
#include <utility>

#include "tests/support/cuda_sim/calls.h"
#include "tests/support/cuda_sim/graph.h"
#include "tests/support/cuda_sim/machine.h"
#include "tests/support/cuda_sim/streams.h"

namespace millrace::cuda_sim {
namespace {

struct State {
    Card card;
    uint64_t used_bytes = 0;
    struct Block {
        uint64_t bytes;
        int device;
    };
    std::map<void*, Block> blocks;
    int device = 0;  // the thread's own
    cudaError_t last = cudaSuccess;
};

State& state() {
    static State only;
    return only;
}

// What every call says where the runtime cannot start.
cudaError_t start() {
    const Card& card = state().card;
    if (card.driver < card.runtime) return cudaErrorInsufficientDriver;
    return card.count == 0 ? cudaErrorNoDevice : cudaSuccess;
}

}  // namespace

cudaError_t done(cudaError_t result) {
    State& s = state();
    if (lost()) {
        streams().lose();
        result = cudaErrorIllegalState;
    } else {
        --s.card.calls_left;
    }
    if (result != cudaSuccess) s.last = result;
    return result;
}
bool lost() { return state().card.calls_left <= 0; }
void set_last(cudaError_t error) { state().last = error; }
int own_device() { return state().device; }
uint64_t pinned_limit() { return state().card.pinned_bytes; }

bool foreign(const void* at) {
    const State& s = state();
    const auto behind = s.blocks.upper_bound(const_cast<void*>(at));
    return behind != s.blocks.begin() && std::prev(behind)->second.device != s.device;
}

void change_thread() { state().device = 0; }

void set_card(const Card& card) {
    state().card = card;
    state().last = cudaSuccess;
}

}  // namespace millrace::cuda_sim

using namespace millrace::cuda_sim;

cudaError_t cudaMalloc(void** at, size_t bytes) {
    State& s = state();
    *at = nullptr;
    if (capturing()) return done(spoil_capture());
    if (start() != cudaSuccess) return done(start());
    if (s.used_bytes + bytes > s.card.memory_bytes) return done(cudaErrorMemoryAllocation);
    const cudaError_t result = done(cudaSuccess);
    if (result != cudaSuccess) return result;
    *at = machine().allocate(bytes);
    if (*at == nullptr) return done(cudaErrorMemoryAllocation);
    s.blocks[*at] = {bytes, s.device};
    s.used_bytes += bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void* at) {
    if (at == nullptr) return cudaSuccess;
    streams().finish();  // a GPU gives memory back when it has nothing to do
    if (!machine().release(at)) return done(cudaErrorInvalidValue);
    state().used_bytes -= state().blocks[at].bytes;
    state().blocks.erase(at);
    return done(cudaSuccess);
}

cudaError_t cudaPeekAtLastError() { return state().last; }
cudaError_t cudaGetLastError() { return std::exchange(state().last, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaSuccess: return "no error";
        case cudaErrorInvalidValue: return "invalid argument";
        case cudaErrorMemoryAllocation: return "out of memory";
        case cudaErrorInsufficientDriver: return "driver is too old for the runtime";
        case cudaErrorNoDevice: return "no CUDA-capable device is detected";
        case cudaErrorOperatingSystem: return "the operating system refused";
        case cudaErrorInvalidResourceHandle: return "invalid resource handle";
        case cudaErrorNotReady: return "not ready";
        case cudaErrorHostMemoryAlreadyRegistered: return "memory is pinned already";
        case cudaErrorHostMemoryNotRegistered: return "memory is not pinned";
        case cudaErrorIllegalState: return "the device is no longer there";
        case cudaErrorStreamCaptureUnsupported: return "not while a stream is recorded";
        case cudaErrorStreamCaptureInvalidated: return "the recording of the stream is broken";
    }
    return "unknown";
}

cudaError_t cudaDriverGetVersion(int* version) {
    *version = state().card.driver;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = state().card.runtime;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
    *count = start() == cudaSuccess ? state().card.count : 0;
    return start();
}
cudaError_t cudaSetDevice(int device) {
    if (device >= state().card.count) return done(cudaErrorInvalidValue);
    state().device = device;
    return done(start());
}
cudaError_t cudaGetDevice(int* device) {
    *device = state().device;
    return done(start());
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* all) {
    *all = state().card.memory_bytes;
    *free_bytes = *all - std::min<size_t>(*all, state().used_bytes);
    return done(start());
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    if (device >= state().card.count) return done(cudaErrorInvalidValue);
    std::snprintf(properties->name, sizeof(properties->name), "%s", state().card.name.c_str());
    properties->major = state().card.major;
    properties->minor = state().card.minor;
    properties->totalGlobalMem = state().card.memory_bytes;
    properties->multiProcessorCount = state().card.multiprocessors;
    return done(start());
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    if (device >= state().card.count || attribute != cudaDevAttrClockRate)
        return done(cudaErrorInvalidValue);
    *value = state().card.clock_khz;
    return done(start());
}
