// What experts.cu works on: pairs sorted by expert, and calls as pairs of a table.
//
//   group   reads 4·pairs bytes a block, one block an expert; writes the order and the jobs
//   calls   up to kCallsTogether calls, which come with the launch
//
// Bound: the trip to memory, several times; a prefill's ids are read by each block from the caches (200 KB of 8192 rows).
// The one idea: a block counts the pairs of all experts, so that it knows where its own begin without asking others.

#include <algorithm>

#include "kernels/cuda/device/expert_pairs.cuh"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/warp.cuh"

namespace millrace::cuda {
namespace {

__device__ inline int32_t sum_of_lanes(int32_t value) {
    return static_cast<int32_t>(__reduce_add_sync(kAllLanes, static_cast<uint32_t>(value)));
}

// One block an expert: counts the pairs of all experts (whole numbers: their order is nothing), so that it knows where its
// own begin, and puts those there in their order.
__global__ void __launch_bounds__(kGroupThreads) group_kernel(GroupTask t) {
    constexpr int kGroupWarps = kGroupThreads / kWarp;
    __shared__ uint32_t counts[kExpertsTotalMax];
    __shared__ int32_t parts[2][kGroupWarps];
    const auto own = static_cast<int32_t>(blockIdx.x);
    const auto thread = static_cast<int64_t>(threadIdx.x);
    const auto id_of = [&](int64_t pair) {
        return t.ids[pair / t.per_row * t.ids_stride + pair % t.per_row];
    };
    for (int64_t e = thread; e < t.experts; e += kGroupThreads) counts[e] = 0;
    __syncthreads();
    for (int64_t pair = thread; pair < t.pairs; pair += kGroupThreads) {
        const int32_t id = id_of(pair);
        if (id >= 0 && id < t.experts) atomicAdd(&counts[id], 1u);
    }
    __syncthreads();
    const auto jobs_of = [&](int64_t e) {
        return (static_cast<int32_t>(counts[e]) + t.rows - 1) / t.rows;
    };
    int32_t pairs_before = 0, jobs_before = 0;
    for (int64_t e = thread; e < own; e += kGroupThreads) {
        pairs_before += static_cast<int32_t>(counts[e]);
        jobs_before += jobs_of(e);
    }
    pairs_before = sum_of_lanes(pairs_before);
    jobs_before = sum_of_lanes(jobs_before);
    if (lane_of_thread() == 0) {
        parts[0][warp_of_thread()] = pairs_before;
        parts[1][warp_of_thread()] = jobs_before;
    }
    __syncthreads();
    pairs_before = 0;
    jobs_before = 0;
    for (int w = 0; w < kGroupWarps; ++w) {
        pairs_before += parts[0][w];
        jobs_before += parts[1][w];
    }
    const auto count = static_cast<int32_t>(counts[own]);
    const int32_t jobs = jobs_of(own);
    for (int64_t j = thread; j < jobs; j += kGroupThreads) {
        const auto first = static_cast<int32_t>(j) * t.rows;
        t.jobs[jobs_before + j] = {own, pairs_before + first,
                                   count - first < t.rows ? count - first : t.rows};
    }
    if (own == t.experts - 1) {
        for (int64_t j = jobs_before + jobs + thread; j < t.jobs_max; j += kGroupThreads)
            t.jobs[j] = {0, 0, 0};
    }
    int32_t placed = 0;
    for (int64_t first = 0; first < t.pairs && placed < count; first += kGroupThreads) {
        const int64_t pair = first + thread;
        const bool wanted = pair < t.pairs && id_of(pair) == own;
        const uint32_t lanes = __ballot_sync(kAllLanes, wanted ? 1 : 0);
        __syncthreads();  // parts have been read
        if (lane_of_thread() == 0) parts[0][warp_of_thread()] = bits_of(lanes);
        __syncthreads();
        int32_t before = 0, all = 0;
        for (int w = 0; w < kGroupWarps; ++w) {
            before += w < warp_of_thread() ? parts[0][w] : 0;
            all += parts[0][w];
        }
        if (wanted) {
            const uint32_t lower = lanes & ((1u << lane_of_thread()) - 1);
            t.order[pairs_before + placed + before + bits_of(lower)] = static_cast<int32_t>(pair);
        }
        placed += all;
    }
}

// Calls as a table and pairs.
__global__ void __launch_bounds__(kGroupThreads) calls_kernel(CallsTask t) {
    const auto pair = static_cast<int32_t>(blockIdx.x * kGroupThreads + threadIdx.x);
    if (pair < t.count) t.table[pair] = t.calls[pair].weights;
    if (pair >= t.pairs) return;
    int32_t c = 0;
    while (c + 1 < t.count && t.calls[c + 1].first <= pair) c += 1;
    const Call& call = t.calls[c];
    const int32_t i = pair - call.first;
    t.ids[pair] = c;
    t.rows[pair] = call.rows[i];
    t.weights[pair] = call.route_weights != nullptr ? call.route_weights[i] : 1;
    t.outs[pair] = call.out + i * call.out_stride;
}

}  // namespace

void launch_groups(const GroupTask& task, Stream stream) {
    launch<group_kernel>({{static_cast<uint32_t>(task.experts)}, kGroupThreads}, stream, task);
}

void launch_calls(const CallsTask& task, Stream stream) {
    const int32_t threads = std::max(task.pairs, task.count);
    const auto blocks = static_cast<uint32_t>((threads + kGroupThreads - 1) / kGroupThreads);
    launch<calls_kernel>({{blocks}, kGroupThreads}, stream, task);
}

}  // namespace millrace::cuda
