#pragma once
// CUDA's vocabulary for a C++ compiler of the CPU: with this directory in the include path, a kernel's plain source builds
// for the simulator (simulator.h), which runs every thread of it. Nothing of the product includes this file otherwise.
//
// What is here is what kernels may use. Whatever a call would leave to chance on a GPU (lanes that are not there, a mask
// that differs from lane to lane) the simulator reports instead.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <string_view>

#include "tests/support/cuda_sim/vector_types.h"

#define __global__
#define __device__
#define __host__
#define __shared__ static __thread
#define __launch_bounds__(...)

namespace millrace::cuda_sim {

using Place = std::source_location;

[[nodiscard]] uint3 thread_index();
[[nodiscard]] uint3 block_index();
[[nodiscard]] dim3 block_size();
[[nodiscard]] dim3 grid_size();
[[nodiscard]] void* dynamic_shared();

// Waits until every lane of `mask` has called it from the same place; then the last one calls resolve(arguments, mask) with
// the 32 lanes' arguments. `name` is the operation for reports.
using Resolve = void (*)(void* const* arguments, uint32_t mask);
void collective(const char* name, uint32_t mask, void* argument, Resolve resolve, Place place);
void barrier(Place place);
// Orders the memory accesses of the lanes besides.
void warp_barrier(uint32_t mask, Place place);

enum class Atomic { kAdd, kMin, kMax, kOr, kAnd, kExchange };
[[nodiscard]] uint32_t atomic_u32(Atomic operation, void* at, uint32_t value);
[[nodiscard]] uint64_t atomic_u64(Atomic operation, void* at, uint64_t value);
[[nodiscard]] int32_t atomic_s32(Atomic operation, void* at, int32_t value);
[[nodiscard]] float atomic_f32_add(void* at, float value);
[[nodiscard]] uint32_t atomic_u32_swap(void* at, uint32_t compare, uint32_t value);

// One access of several elements, which the compiler of the CPU might cut into smaller ones.
void load_bytes_together(void* to, const void* from, size_t bytes);
void store_bytes_together(void* to, const void* from, size_t bytes);
template <class T>
[[nodiscard]] T vector_load(const void* from) {
    T out;
    load_bytes_together(&out, from, sizeof(T));
    return out;
}
template <class T>
void vector_store(void* to, const T& value) {
    store_bytes_together(to, &value, sizeof(T));
}

// byte_product.cpp; kernels/cuda/device/byte_product.cuh says what it does.
void multiply_s8(const uint32_t (&a)[4], const uint32_t (&b)[2], int32_t (&c)[4],
                 Place place = Place::current());
// tensor_core.cpp; kernels/cuda/device/tensor_core.cuh says what they do.
void multiply_bf16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4],
                   Place place = Place::current());
void multiply_f16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4],
                  Place place = Place::current());
void multiply_e4m3(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4],
                   Place place = Place::current());
void load_matrices(const void* own_row, uint32_t (&out)[4], Place place = Place::current());
void copy_async(void* shared, const void* global);
void commit_copies();
void wait_for_copies(int left);

struct Exchange {
    uint64_t bits;
    uint64_t result;
    uint32_t from;  // the lane asked for
};
void exchange(const char* name, uint32_t mask, Exchange& own, Place place);
[[nodiscard]] uint32_t lane_index();

template <class T>
[[nodiscard]] T shuffle(const char* name, uint32_t mask, T value, uint32_t from, Place place) {
    static_assert(sizeof(T) <= 8);
    Exchange own{0, 0, from};
    std::memcpy(&own.bits, &value, sizeof(T));
    exchange(name, mask, own, place);
    T out;
    std::memcpy(&out, &own.result, sizeof(T));
    return out;
}

enum class Reduction { kAdd, kMin, kMax, kOr, kAnd, kBallot };
[[nodiscard]] uint32_t reduce_u32(Reduction reduction, uint32_t mask, uint32_t value, Place place);
[[nodiscard]] int32_t reduce_s32(Reduction reduction, uint32_t mask, int32_t value, Place place);

}  // namespace millrace::cuda_sim

#define threadIdx (::millrace::cuda_sim::thread_index())
#define blockIdx (::millrace::cuda_sim::block_index())
#define blockDim (::millrace::cuda_sim::block_size())
#define gridDim (::millrace::cuda_sim::grid_size())

inline void __syncthreads(millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    millrace::cuda_sim::barrier(place);
}
inline void __syncwarp(uint32_t mask = 0xFFFFFFFFu,
                       millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    millrace::cuda_sim::warp_barrier(mask, place);
}

// Lanes outside [0, width) of their part of the warp keep their own value, as on the GPU.
template <class T>
[[nodiscard]] T __shfl_sync(
    uint32_t mask, T value, int from, int width = 32,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    const uint32_t lane = millrace::cuda_sim::lane_index();
    const auto w = static_cast<uint32_t>(width);
    const uint32_t source = (lane & ~(w - 1)) | (static_cast<uint32_t>(from) & (w - 1));
    return millrace::cuda_sim::shuffle("__shfl_sync", mask, value, source, place);
}
template <class T>
[[nodiscard]] T __shfl_xor_sync(
    uint32_t mask, T value, int lanes, int width = 32,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    const uint32_t lane = millrace::cuda_sim::lane_index();
    const uint32_t source = lane ^ static_cast<uint32_t>(lanes);
    const bool inside =
        source / static_cast<uint32_t>(width) <= lane / static_cast<uint32_t>(width);
    return millrace::cuda_sim::shuffle("__shfl_xor_sync", mask, value, inside ? source : lane,
                                       place);
}
template <class T>
[[nodiscard]] T __shfl_down_sync(
    uint32_t mask, T value, uint32_t delta, int width = 32,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    const uint32_t lane = millrace::cuda_sim::lane_index();
    const uint32_t last = lane | (static_cast<uint32_t>(width) - 1);
    const uint32_t source = lane + delta <= last ? lane + delta : lane;
    return millrace::cuda_sim::shuffle("__shfl_down_sync", mask, value, source, place);
}
template <class T>
[[nodiscard]] T __shfl_up_sync(
    uint32_t mask, T value, uint32_t delta, int width = 32,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    const uint32_t lane = millrace::cuda_sim::lane_index();
    const uint32_t first = lane & ~(static_cast<uint32_t>(width) - 1);
    const uint32_t source = lane >= first + delta ? lane - delta : lane;
    return millrace::cuda_sim::shuffle("__shfl_up_sync", mask, value, source, place);
}

[[nodiscard]] inline uint32_t __ballot_sync(
    uint32_t mask, int predicate,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    return millrace::cuda_sim::reduce_u32(millrace::cuda_sim::Reduction::kBallot, mask,
                                          predicate != 0 ? 1u : 0u, place);
}
[[nodiscard]] inline int __any_sync(
    uint32_t mask, int predicate,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    return __ballot_sync(mask, predicate, place) != 0 ? 1 : 0;
}
[[nodiscard]] inline int __all_sync(
    uint32_t mask, int predicate,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    return __ballot_sync(mask, predicate, place) == mask ? 1 : 0;
}
[[nodiscard]] inline uint32_t __reduce_add_sync(
    uint32_t mask, uint32_t value,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    return millrace::cuda_sim::reduce_u32(millrace::cuda_sim::Reduction::kAdd, mask, value, place);
}
[[nodiscard]] inline uint32_t __reduce_max_sync(
    uint32_t mask, uint32_t value,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    return millrace::cuda_sim::reduce_u32(millrace::cuda_sim::Reduction::kMax, mask, value, place);
}
[[nodiscard]] inline int32_t __reduce_max_sync(
    uint32_t mask, int32_t value,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    return millrace::cuda_sim::reduce_s32(millrace::cuda_sim::Reduction::kMax, mask, value, place);
}
[[nodiscard]] inline uint32_t __reduce_min_sync(
    uint32_t mask, uint32_t value,
    millrace::cuda_sim::Place place = millrace::cuda_sim::Place::current()) {
    return millrace::cuda_sim::reduce_u32(millrace::cuda_sim::Reduction::kMin, mask, value, place);
}

inline uint32_t atomicAdd(uint32_t* at, uint32_t value) {
    return millrace::cuda_sim::atomic_u32(millrace::cuda_sim::Atomic::kAdd, at, value);
}
inline int32_t atomicAdd(int32_t* at, int32_t value) {
    return millrace::cuda_sim::atomic_s32(millrace::cuda_sim::Atomic::kAdd, at, value);
}
inline float atomicAdd(float* at, float value) {
    return millrace::cuda_sim::atomic_f32_add(at, value);
}
inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long value) {
    return millrace::cuda_sim::atomic_u64(millrace::cuda_sim::Atomic::kAdd, at, value);
}
inline uint32_t atomicMax(uint32_t* at, uint32_t value) {
    return millrace::cuda_sim::atomic_u32(millrace::cuda_sim::Atomic::kMax, at, value);
}
inline int32_t atomicMax(int32_t* at, int32_t value) {
    return millrace::cuda_sim::atomic_s32(millrace::cuda_sim::Atomic::kMax, at, value);
}
inline uint32_t atomicOr(uint32_t* at, uint32_t value) {
    return millrace::cuda_sim::atomic_u32(millrace::cuda_sim::Atomic::kOr, at, value);
}
inline uint32_t atomicExch(uint32_t* at, uint32_t value) {
    return millrace::cuda_sim::atomic_u32(millrace::cuda_sim::Atomic::kExchange, at, value);
}
inline uint32_t atomicCAS(uint32_t* at, uint32_t compare, uint32_t value) {
    return millrace::cuda_sim::atomic_u32_swap(at, compare, value);
}
// Execution order is the order of the simulator: nothing to wait for. It orders no accesses of other threads by itself.
inline void __threadfence() {}

// The part of the runtime that the product calls.
enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorOperatingSystem = 304,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorIllegalState = 401,
    cudaErrorNotReady = 600,
    cudaErrorHostMemoryAlreadyRegistered = 712,
    cudaErrorHostMemoryNotRegistered = 713,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
};
enum cudaMemcpyKind {
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
};
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor;
    int multiProcessorCount;
};
enum cudaDeviceAttr { cudaDevAttrClockRate = 13 };
using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostRegisterDefault = 0;   // for the thread's own GPU
inline constexpr unsigned cudaHostRegisterPortable = 1;  // for each

cudaError_t cudaMalloc(void** at, size_t bytes);
cudaError_t cudaFree(void* at);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
// Streams and events: streams.h says when their work is done. The default stream's is done at once.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaHostRegister(void* memory, size_t bytes, unsigned flags);
cudaError_t cudaHostUnregister(void* memory);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* all);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char* cudaGetErrorString(cudaError_t error);

// graph.cpp: what a stream is asked for, kept and done again.
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);

namespace millrace::cuda_sim {

struct KernelEntry {
    std::string_view name;
    void (*call)(const void* task);
    size_t task_bytes;
};
// Adds a kernel to the registry; the simulator then knows whether it was ever executed.
bool register_kernel(const KernelEntry& entry);
void launch_registered(const KernelEntry& entry, dim3 grid, dim3 block, size_t shared_bytes,
                       cudaStream_t stream, const void* task);

template <auto kKernel>
[[nodiscard]] std::string_view kernel_name() {
    // "… [with auto kKernel = name; …]" of GCC, "… [kKernel = &name]" of clang.
    std::string_view text = __PRETTY_FUNCTION__;
    text.remove_prefix(text.find("kKernel = ") + 10);
    const size_t end = text.find_first_of(";]");
    text = text.substr(0, end);
    if (text.starts_with('&')) text.remove_prefix(1);
    return text;
}

template <class Task>
struct TaskOf;
template <class Task>
struct TaskOf<void (*)(Task)> {
    using type = Task;
};

template <auto kKernel>
struct Registered {
    using Task = typename TaskOf<decltype(kKernel)>::type;
    static void call(const void* task) { kKernel(*static_cast<const Task*>(task)); }
    static KernelEntry entry() { return {kernel_name<kKernel>(), call, sizeof(Task)}; }
    static inline const bool done = register_kernel(entry());
};

// Runs the kernel in its turn; what it does wrong is reported by take_violations() (simulator.h).
template <auto kKernel, class Task>
void launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, const Task& task) {
    (void)&Registered<kKernel>::done;
    static_assert(alignof(Task) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    launch_registered(Registered<kKernel>::entry(), grid, block, shared_bytes, stream, &task);
}

}  // namespace millrace::cuda_sim
