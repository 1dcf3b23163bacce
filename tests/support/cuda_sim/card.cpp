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
    std::map<int, uint64_t> used_bytes;  // by GPU
    struct Block {
        uint64_t bytes;
        int device;
    };
    std::map<void*, Block> blocks;
    int device = 0;  // the thread's own
    cudaError_t last = cudaSuccess;

    [[nodiscard]] uint64_t memory_bytes(int gpu) const {
        const auto at = static_cast<size_t>(gpu);
        return at < card.each_memory_bytes.size() ? card.each_memory_bytes[at] : card.memory_bytes;
    }
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

cudaError_t done(cudaError_t result, int device) {
    State& s = state();
    if (lost(device)) {
        streams().lose(s.card.loses);
        result = cudaErrorIllegalState;
    } else if (s.card.loses == Card::kEach || s.card.loses == device) {
        --s.card.calls_left;
    }
    if (result != cudaSuccess) s.last = result;
    return result;
}
bool lost(int device) {
    const Card& card = state().card;
    return card.calls_left <= 0 && (card.loses == Card::kEach || card.loses == device);
}
void set_last(cudaError_t error) { state().last = error; }
int own_device() { return state().device; }
uint64_t pinned_limit() { return state().card.pinned_bytes; }

bool foreign(const void* at, int device) {
    const State& s = state();
    const auto behind = s.blocks.upper_bound(const_cast<void*>(at));
    return behind != s.blocks.begin() && std::prev(behind)->second.device != device;
}

uint64_t used_bytes(int device) {
    const auto at = state().used_bytes.find(device);
    return at == state().used_bytes.end() ? 0 : at->second;
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
    if (used_bytes(s.device) + bytes > s.memory_bytes(s.device))
        return done(cudaErrorMemoryAllocation);
    const cudaError_t result = done(cudaSuccess);
    if (result != cudaSuccess) return result;
    *at = machine().allocate(bytes, s.device);
    if (*at == nullptr) return done(cudaErrorMemoryAllocation);
    s.blocks[*at] = {bytes, s.device};
    s.used_bytes[s.device] += bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void* at) {
    if (at == nullptr) return cudaSuccess;
    streams().finish();  // a GPU gives memory back when it has nothing to do
    if (!machine().release(at)) return done(cudaErrorInvalidValue);
    const State::Block block = state().blocks[at];
    state().used_bytes[block.device] -= block.bytes;
    state().blocks.erase(at);
    return done(cudaSuccess, block.device);
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
    if (device < 0 || device >= state().card.count) return done(cudaErrorInvalidValue);
    state().device = device;
    // It only says what the calls behind it are for.
    const cudaError_t result = lost(device) ? done(cudaSuccess) : start();
    if (result != cudaSuccess) state().last = result;
    return result;
}
cudaError_t cudaGetDevice(int* device) {
    *device = state().device;
    return done(start());
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* all) {
    const State& s = state();
    *all = s.memory_bytes(s.device);
    *free_bytes = *all - std::min<size_t>(*all, used_bytes(s.device));
    return done(start());
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    if (device >= state().card.count) return done(cudaErrorInvalidValue);
    std::snprintf(properties->name, sizeof(properties->name), "%s", state().card.name.c_str());
    properties->major = state().card.major;
    properties->minor = state().card.minor;
    properties->totalGlobalMem = state().memory_bytes(device);
    properties->multiProcessorCount = state().card.multiprocessors;
    return done(start());
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    if (device >= state().card.count || attribute != cudaDevAttrClockRate)
        return done(cudaErrorInvalidValue);
    *value = state().card.clock_khz;
    return done(start());
}
