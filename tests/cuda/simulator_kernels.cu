// Pairs of kernels: one with the mistake that a check is for, one that is right and looks much like it.

#include "tests/cuda/simulator_kernels.h"

#include <cuda_runtime.h>

namespace millrace::cuda_sim {
namespace {

constexpr uint32_t kAll = 0xFFFFFFFFu;

__global__ void read_past_end(KernelTask t) { t.out[threadIdx.x] = t.in[threadIdx.x + 1]; }
__global__ void read_to_end(KernelTask t) {
    t.out[threadIdx.x] = threadIdx.x + 1 < blockDim.x ? t.in[threadIdx.x + 1] : 0;
}
__global__ void write_before_begin(KernelTask t) { t.out[static_cast<int>(threadIdx.x) - 1] = 1; }
__global__ void write_through_null(KernelTask t) {
    if (threadIdx.x == 5) *reinterpret_cast<volatile uint32_t*>(t.count - 64) = 1;
}
__global__ void write_parameters(KernelTask t) {
    const_cast<uint32_t*>(t.in)[threadIdx.x] = 1;  // right: `in` lies in global memory
}

__global__ void write_constant(KernelTask t) {
    static constexpr uint32_t kTable[64] = {1, 2, 3};
    t.out[threadIdx.x] = kTable[threadIdx.x];
    auto* at = const_cast<uint32_t*>(kTable);
    asm("" : "+r"(at));  // compilers do not report stores to what they know to be constant
    if (threadIdx.x == 9) at[9] = 1;
}
__global__ void endless(KernelTask t) {
    if (threadIdx.x == 9) {
        while (*const_cast<const volatile uint32_t*>(t.in) != 64) {
        }
    }
    t.out[threadIdx.x] = 1;
}

__global__ void index_past_array(KernelTask t) {
    __shared__ uint32_t values[32];
    values[threadIdx.x] = 1;
    __syncthreads();
    t.out[threadIdx.x] = values[0];
}
__global__ void index_in_array(KernelTask t) {
    __shared__ uint32_t values[64];
    values[threadIdx.x] = 1;
    __syncthreads();
    t.out[threadIdx.x] = values[0];
}
__global__ void dynamic_shared_past_end(KernelTask t) {
    auto* values = static_cast<uint32_t*>(dynamic_shared());
    values[threadIdx.x + 1] = 1;
    __syncthreads();
    t.out[threadIdx.x] = values[threadIdx.x + 1];
}
__global__ void dynamic_shared_to_end(KernelTask t) {
    auto* values = static_cast<uint32_t*>(dynamic_shared());
    values[threadIdx.x] = 1;
    __syncthreads();
    t.out[threadIdx.x] = values[63 - threadIdx.x];
}

__global__ void missing_barrier(KernelTask t) {
    __shared__ uint32_t values[64];
    values[threadIdx.x] = 0;
    __syncthreads();
    values[threadIdx.x] = t.in[threadIdx.x];
    t.out[threadIdx.x] = values[threadIdx.x ^ 1];
}
__global__ void with_barrier(KernelTask t) {
    __shared__ uint32_t values[64];
    values[threadIdx.x] = t.in[threadIdx.x];
    __syncthreads();
    t.out[threadIdx.x] = values[threadIdx.x ^ 63];
}
__global__ void missing_second_barrier(KernelTask t) {
    __shared__ uint32_t values[64];
    for (uint32_t round = 0; round < 2; ++round) {
        values[threadIdx.x] = round;
        __syncthreads();
        t.out[threadIdx.x] = values[threadIdx.x ^ 63];
    }
}
__global__ void warp_barrier_inside_warp(KernelTask t) {
    __shared__ uint32_t values[64];
    values[threadIdx.x] = t.in[threadIdx.x];
    __syncwarp();
    t.out[threadIdx.x] = values[threadIdx.x ^ 1];
}
__global__ void warp_barrier_between_warps(KernelTask t) {
    __shared__ uint32_t values[64];
    values[threadIdx.x] = t.in[threadIdx.x];
    __syncwarp();
    t.out[threadIdx.x] = values[threadIdx.x ^ 32];
}
__global__ void shuffle_is_no_barrier(KernelTask t) {
    __shared__ uint32_t values[64];
    values[threadIdx.x] = __shfl_xor_sync(kAll, t.in[threadIdx.x], 1);
    const uint32_t other = __shfl_xor_sync(kAll, t.in[threadIdx.x], 2);
    t.out[threadIdx.x] = values[threadIdx.x ^ 1] + other;
}
__global__ void global_race(KernelTask t) { t.out[threadIdx.x / 2] = threadIdx.x; }
__global__ void global_race_of_bytes(KernelTask t) {
    reinterpret_cast<uint8_t*>(t.out)[threadIdx.x] = 1;  // right: neighbours, not the same
}
__global__ void race_between_blocks(KernelTask t) {
    if (threadIdx.x == 0) t.out[0] = blockIdx.x;
}
__global__ void atomics(KernelTask t) { atomicAdd(&t.out[0], t.in[threadIdx.x]); }
__global__ void atomic_beside_store(KernelTask t) {
    atomicAdd(&t.out[0], 1u);
    if (threadIdx.x == 40) t.out[0] = 1;
}

__global__ void uninitialised_shared(KernelTask t) {
    __shared__ uint32_t values[64];
    if (threadIdx.x != 7) values[threadIdx.x] = 1;
    __syncthreads();
    t.out[threadIdx.x] = values[threadIdx.x ^ 1];
}
__global__ void uninitialised_global(KernelTask t) {
    if (threadIdx.x == 0) t.out[1] = t.out[0] + 1;
}

__global__ void misaligned(KernelTask t) {
    const auto* bytes = reinterpret_cast<const char*>(t.in);
    t.out[threadIdx.x] = *reinterpret_cast<const uint32_t*>(bytes + threadIdx.x % 2);
}
__global__ void misaligned_vector(KernelTask t) {
    t.out[threadIdx.x] = vector_load<uint4>(t.in + threadIdx.x % 32 * 2).x;
}

__global__ void divergent_barrier(KernelTask t) {
    if (threadIdx.x < 40) __syncthreads();
    t.out[threadIdx.x] = 0;
}
__global__ void two_barriers(KernelTask t) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    t.out[threadIdx.x] = 0;
}
__global__ void early_return(KernelTask t) {
    if (threadIdx.x == 63) return;
    __syncthreads();
    t.out[threadIdx.x] = 0;
}

__global__ void shuffle_without_a_lane(KernelTask t) {
    if (threadIdx.x % 32 == 9) return;
    t.out[threadIdx.x] = __shfl_down_sync(kAll, threadIdx.x, 1);
}
__global__ void shuffle_from_outside_mask(KernelTask t) {
    if (threadIdx.x % 32 < 16) t.out[threadIdx.x] = __shfl_sync(0xFFFFu, threadIdx.x, 16);
}
__global__ void shuffle_half_a_warp(KernelTask t) {
    if (threadIdx.x % 32 < 16) t.out[threadIdx.x] = __shfl_sync(0xFFFFu, threadIdx.x, 15);
}
__global__ void shuffles_in_two_branches(KernelTask t) {
    if (threadIdx.x % 2 == 0) {
        t.out[threadIdx.x] = __shfl_xor_sync(kAll, threadIdx.x, 1);
    } else {
        t.out[threadIdx.x] = __shfl_xor_sync(kAll, threadIdx.x, 2);
    }
}
__global__ void caller_outside_mask(KernelTask t) {
    t.out[threadIdx.x] = __ballot_sync(0xFFFFu, 1);
}

__global__ void barrier_against_shuffle(KernelTask t) {
    if (threadIdx.x < 16) {
        __syncthreads();
    } else {
        t.out[threadIdx.x] = __ballot_sync(kAll, 1);
    }
}
__global__ void stack_of_another(KernelTask t) {
    __shared__ uint32_t* at;
    uint32_t own = threadIdx.x;
    if (threadIdx.x == 0) at = &own;
    __syncthreads();
    t.out[threadIdx.x] = *at;
    __syncthreads();
}
constexpr uint32_t kTable[4] = {1, 2, 3, 4};
__global__ void constants(KernelTask t) { t.out[threadIdx.x] = kTable[t.in[threadIdx.x] % 4]; }
__global__ void wide_shift(KernelTask t) {
    t.out[threadIdx.x] = t.in[threadIdx.x] << (t.in[threadIdx.x] % 33);
}

// 32 lanes of one bank, and one number of each sector.
__global__ void strided(KernelTask t) {
    __shared__ uint32_t values[32 * 32];
    uint32_t& own = values[threadIdx.x % 32 * 32 + threadIdx.x / 32];
    own = 1;
    if (threadIdx.x % 8 == 0) t.out[threadIdx.x] = own;
}

template <auto kKernel, uint32_t kBlocks = 1>
void run(const KernelTask& task) {
    launch<kKernel>(dim3(kBlocks), dim3(64), 256, task.stream, task);
}
void run_too_large(const KernelTask& task) {
    launch<constants>(dim3(1), dim3(1056), 0, task.stream, task);
}

constexpr KernelCase wrong(const char* name, Fault fault, void (*launch)(const KernelTask&)) {
    return {name, false, fault, launch};
}
constexpr KernelCase right(const char* name, void (*launch)(const KernelTask&)) {
    return {name, true, Fault::kLaunch, launch};
}

constexpr KernelCase kCases[] = {
    wrong("a read past the end", Fault::kGlobalBounds, run<read_past_end>),
    right("a read to the end", run<read_to_end>),
    wrong("a write before the begin", Fault::kGlobalBounds, run<write_before_begin>),
    wrong("a write through null", Fault::kGlobalBounds, run<write_through_null>),
    right("a write to global memory", run<write_parameters>),
    wrong("a write to a constant", Fault::kConstantWritten, run<write_constant>),
    wrong("a loop without end", Fault::kEndless, run<endless>),
    wrong("an index past the array", Fault::kIndexBounds, run<index_past_array>),
    right("indices inside", run<index_in_array>),
    wrong("dynamic shared memory, past the end", Fault::kSharedBounds,
          run<dynamic_shared_past_end>),
    right("dynamic shared memory", run<dynamic_shared_to_end>),
    wrong("no barrier", Fault::kRace, run<missing_barrier>),
    right("a barrier", run<with_barrier>),
    wrong("no barrier before the next round", Fault::kRace, run<missing_second_barrier>),
    right("a warp's barrier for a warp", run<warp_barrier_inside_warp>),
    wrong("a warp's barrier for two", Fault::kRace, run<warp_barrier_between_warps>),
    wrong("a shuffle for a barrier", Fault::kRace, run<shuffle_is_no_barrier>),
    wrong("two threads write one number", Fault::kRace, run<global_race>),
    right("threads write bytes side by side", run<global_race_of_bytes>),
    wrong("two blocks write one number", Fault::kRace, run<race_between_blocks, 2>),
    right("atomics", run<atomics, 2>),
    wrong("a store beside atomics", Fault::kRace, run<atomic_beside_store>),
    wrong("shared memory that nobody wrote", Fault::kUninitialisedShared,
          run<uninitialised_shared>),
    wrong("global memory that nobody wrote", Fault::kUninitialisedGlobal,
          run<uninitialised_global>),
    wrong("a misaligned number", Fault::kMisaligned, run<misaligned>),
    wrong("a misaligned vector", Fault::kMisaligned, run<misaligned_vector>),
    wrong("a barrier for some", Fault::kDivergentBarrier, run<divergent_barrier>),
    wrong("two barriers that meet", Fault::kDivergentBarrier, run<two_barriers>),
    wrong("a thread ends before the barrier", Fault::kDivergentBarrier, run<early_return>),
    wrong("a shuffle without a lane", Fault::kAbsentLane, run<shuffle_without_a_lane>),
    wrong("a shuffle from outside the mask", Fault::kAbsentLane, run<shuffle_from_outside_mask>),
    right("a shuffle in half a warp", run<shuffle_half_a_warp>),
    wrong("shuffles in two branches", Fault::kAbsentLane, run<shuffles_in_two_branches>),
    wrong("a caller outside the mask", Fault::kAbsentLane, run<caller_outside_mask>),
    wrong("a barrier against a ballot", Fault::kAbsentLane, run<barrier_against_shuffle>),
    wrong("a variable of another thread", Fault::kForeignStack, run<stack_of_another>),
    right("constants", run<constants>),
    right("strides", run<strided>),
    wrong("a shift by 32", Fault::kShift, run<wide_shift>),
    wrong("1056 threads", Fault::kLaunch, run_too_large),
};

}  // namespace

std::span<const KernelCase> kernel_cases() { return kCases; }

}  // namespace millrace::cuda_sim
