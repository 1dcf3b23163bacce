// The choice of a token where its logits lie (core/engine/sampler.h, kernels/choice.h): the host's token bit by bit, or no
// decision.
//
//   score  s_i = the adjusted logit, a double                            reads 4V, writes 8V bytes
//   weight w_i = exp((s_i − max s) / temperature)                        reads 8V, writes 8V
//   draw   of all: the block where the running sum passes unit·Σw, in it the token
//          of the best: sorted, cut by top-k, top-p, min-p, then drawn     top-k and top-p read 8V once more
//
// V = 129280: 3.6 MB at most that stay in L2, where a copy of the logits would take 0.5 MB over the bus and the host 129280
// exponentials. Bound: latency, of two launches (greedy), three (nothing to sort) or four. The one idea: weights fall into
// 256 bins by the leading bits of their doubles; counts say which bins hold what top-k or top-p can keep, those few tokens
// are gathered in any order and sorted by (weight, token), which no two share. Where they are too many to sort, or the draw
// falls between two roundings, nothing is decided and the host looks at the logits.
//
// The order of every sum is the host's: 8 lanes of a block of 256 tokens, then blocks one after another (about 500 dependent
// additions), sorted candidates one after another. Integers alone are added by atomics: counts, and places before a sort.

#include "kernels/cuda/choice.h"

#include <limits>
#include <optional>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/warp.cuh"

namespace millrace::cuda {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int32_t kNoToken = std::numeric_limits<int32_t>::max();
constexpr int kZeroBin = kChoiceBins - 1;
static_assert(kChoiceBins == kChoiceBlock, "a thread a bin");
static_assert(kTopKMax <= kCandidatesMax && kDrawThreads >= kChoiceBlock);

struct ChoiceTask {
    const float* logits;
    double* values;
    double* block_best;
    int32_t* block_first;
    double* block_sums;
    double* weights;
    int32_t* tokens;
    const Adjustment* adjustments;
    ChoiceState* state;
    int32_t vocabulary, blocks, adjustment_count, top_k;
    Penalties penalties;
    double temperature, top_p, min_p, unit;
    bool sorted;  // top-k or top-p may cut
};

__device__ inline int own_thread() { return static_cast<int>(threadIdx.x); }
__device__ inline int own_block() { return static_cast<int>(blockIdx.x); }

// Moved as 16 bytes.
struct alignas(16) Scored {
    double score;
    int32_t token;
};
__device__ inline bool before(const Scored& a, const Scored& b) {
    return a.score != b.score ? a.score > b.score : a.token < b.token;
}

// Every thread of the block gets the best of all.
template <int kWarps>
__device__ inline Scored best_of_block(Scored own, Scored (&of_warps)[kWarps]) {
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
        const Scored other{__shfl_xor_sync(kAllLanes, own.score, distance),
                           __shfl_xor_sync(kAllLanes, own.token, distance)};
        if (before(other, own)) own = other;
    }
    if (lane_of_thread() == 0) of_warps[warp_of_thread()] = own;
    __syncthreads();
    Scored best = of_warps[0];
    for (int w = 1; w < kWarps; ++w) {
        if (before(of_warps[w], best)) best = of_warps[w];
    }
    return best;
}

// The best of what blocks found. ∞: a logit is none; −∞: every token is banned.
template <int kThreads>
__device__ inline Scored best_of_all(const ChoiceTask& t, Scored (&of_warps)[kThreads / kWarp]) {
    Scored own{-kInfinity, kNoToken};
    for (int b = own_thread(); b < t.blocks; b += kThreads) {
        const Scored other{t.block_best[b], t.block_first[b]};
        if (before(other, own)) own = other;
    }
    return best_of_block(own, of_warps);
}
__device__ inline bool is_number(double highest) {
    return highest < kInfinity && highest > -kInfinity;
}

__global__ void __launch_bounds__(kChoiceBlock) score_kernel(ChoiceTask t) {
    __shared__ int32_t places[kChoiceBlock];
    __shared__ Scored of_warps[kChoiceBlock / kWarp];
    const int first = own_block() * kChoiceBlock;
    const int token = first + own_thread();
    places[own_thread()] = -1;
    if (own_block() == 0) {
        t.state->counts[own_thread()] = 0;
        if (own_thread() == 0) t.state->gathered = 0;
    }
    __syncthreads();
    for (int i = own_thread(); i < t.adjustment_count; i += kChoiceBlock) {
        const int place = t.adjustments[i].token - first;
        if (place >= 0 && place < kChoiceBlock) places[place] = i;
    }
    __syncthreads();
    Scored own{-kInfinity, kNoToken};
    if (token < t.vocabulary) {
        const float logit = t.logits[token];
        double score = kInfinity;  // stands for what is none
        if (logit < std::numeric_limits<float>::infinity()) {
            score = static_cast<double>(logit);
            const int place = places[own_thread()];
            if (place >= 0) score = adjusted(score, t.adjustments[place], t.penalties);
        }
        t.values[token] = score;
        own = {score, token};
    }
    const Scored best = best_of_block(own, of_warps);
    if (own_thread() != 0) return;
    t.block_best[own_block()] = best.score;
    t.block_first[own_block()] = best.token;
}

// Four bins for each power of two down to 2⁻³², then one for nine.
__device__ inline int bin_of(double weight) {
    if (weight == 0) return kZeroBin;
    constexpr int kOne = 4 * 1023;
    constexpr int kFine = 128;
    const int steps = kOne - static_cast<int>(std::bit_cast<uint64_t>(weight) >> 50);
    return steps < kFine ? steps : kFine + (steps - kFine) / 36;
}
static_assert(128 + (4 * 1023 - 128) / 36 < kZeroBin);

__global__ void __launch_bounds__(kChoiceBlock) weigh_kernel(ChoiceTask t) {
    __shared__ Scored of_warps[kChoiceBlock / kWarp];
    __shared__ double weights[kChoiceBlock];
    __shared__ double lanes[kChoiceLanes];
    __shared__ uint32_t counts[kChoiceBins];
    const int thread = own_thread();
    const int token = own_block() * kChoiceBlock + thread;
    counts[thread] = 0;
    const double highest = best_of_all<kChoiceBlock>(t, of_warps).score;
    if (!is_number(highest)) return;
    double weight = 0;
    if (token < t.vocabulary) {
        const double score = t.values[token];
        weight = exp_below((score - highest) / t.temperature);
        // What min-p cuts off counts for top-p, and for nothing else.
        if (t.top_p >= 1 && weight < t.min_p) weight = 0;
        t.values[token] = weight;
        if (t.sorted && score > -kInfinity) atomicAdd(&counts[bin_of(weight)], 1u);
    }
    weights[thread] = weight;
    __syncthreads();
    if (thread < kChoiceLanes) {
        double sum = 0;
        for (int i = thread; i < kChoiceBlock; i += kChoiceLanes) sum += weights[i];
        lanes[thread] = sum;
    }
    if (t.sorted && counts[thread] != 0) atomicAdd(&t.state->counts[thread], counts[thread]);
    __syncthreads();
    if (thread != 0) return;
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    t.block_sums[own_block()] = sum;
}

// Tokens of the bins up to the one that has the last of the best `top_k`, or as many bins as can be sorted.
__global__ void __launch_bounds__(kChoiceBlock) gather_kernel(ChoiceTask t) {
    __shared__ uint32_t running[2][kChoiceBins];
    __shared__ int last_bin;
    const int thread = own_thread();
    running[0][thread] = t.state->counts[thread];
    if (thread == 0) last_bin = -1;
    __syncthreads();
    int at = 0;
    for (int distance = 1; distance < kChoiceBins; distance *= 2, at = 1 - at) {
        const uint32_t more = thread >= distance ? running[at][thread - distance] : 0;
        running[1 - at][thread] = running[at][thread] + more;
        __syncthreads();
    }
    const uint32_t positive = running[at][kZeroBin - 1];
    const uint32_t limit = static_cast<uint32_t>(t.top_k);
    const bool cut = t.top_k > 0 && limit < running[at][kZeroBin];
    const uint32_t wanted = cut && limit < positive ? limit : positive;
    const uint32_t own = running[at][thread];
    const uint32_t previous = thread > 0 ? running[at][thread - 1] : 0;
    if (thread < kZeroBin && own <= kCandidatesMax) {
        const bool last = cut ? previous < wanted && own >= wanted
                              : thread == kZeroBin - 1 || running[at][thread + 1] > kCandidatesMax;
        if (last) last_bin = thread;
    }
    if (own_block() == 0 && thread == 0) t.state->cut = cut ? 1 : 0;
    __syncthreads();
    const int token = own_block() * kChoiceBlock + thread;
    if (token >= t.vocabulary) return;
    const double weight = t.values[token];
    // Banned tokens weigh 0, too.
    if (bin_of(weight) > last_bin) return;
    const uint32_t place = atomicAdd(&t.state->gathered, 1u);
    t.weights[place] = weight;
    t.tokens[place] = token;
}

struct Candidates {
    double weights[kCandidatesMax];
    int32_t tokens[kCandidatesMax];
};

// A bitonic network over the least power of two; what is behind the last is behind everything.
__device__ inline void sort_candidates(const ChoiceTask& t, int count, Candidates& c) {
    int size = 1;
    while (size < count) size *= 2;
    for (int i = own_thread(); i < size; i += kDrawThreads) {
        c.weights[i] = i < count ? t.weights[i] : -1;
        c.tokens[i] = i < count ? t.tokens[i] : kNoToken;
    }
    __syncthreads();
    for (int run = 2; run <= size; run *= 2) {
        for (int distance = run / 2; distance > 0; distance /= 2) {
            for (int i = own_thread(); i < size / 2; i += kDrawThreads) {
                const int low = 2 * (i - i % distance) + i % distance;
                const int high = low + distance;
                const Scored a{c.weights[low], c.tokens[low]};
                const Scored b{c.weights[high], c.tokens[high]};
                if (before(b, a) != ((low & run) == 0)) continue;
                c.weights[low] = b.score;
                c.tokens[low] = b.token;
                c.weights[high] = a.score;
                c.tokens[high] = a.token;
            }
            __syncthreads();
        }
    }
}

// Of sorted candidates, as the host's keep_first and draw; one thread. `mass`: of all, unless top-k has cut.
__device__ inline int32_t draw_of_best(const ChoiceTask& t, bool cut, int count, double mass,
                                       const Candidates& c) {
    const int all = cut && t.top_k < count ? t.top_k : count;
    if (cut) {
        mass = 0;
        for (int i = 0; i < all; ++i) mass += c.weights[i];
    }
    int kept = 0;
    double reached = 0;
    while (kept < all && (kept == 0 || t.top_p >= 1 || reached < t.top_p * mass))
        reached += c.weights[kept++];
    // Others may be missing that were not gathered.
    if (!cut && reached < t.top_p * mass) return -1;
    while (kept > 1 && c.weights[kept - 1] < t.min_p) --kept;
    mass = 0;
    for (int i = kept - 1; i >= 0; --i) mass += c.weights[i];
    const double point = t.unit * mass;
    reached = 0;
    for (int i = kept - 1; i >= 0; --i) {
        reached += c.weights[i];
        if (reached > point) return c.tokens[i];
    }
    return -1;
}

// reached[b]: the sum of all blocks before b, from the sums of blocks; returns that of all.
__device__ inline double add_up(int blocks, double* reached) {
    double mass = 0;
    for (int b = 0; b < blocks; ++b) {
        const double sum = reached[b];
        reached[b] = mass;
        mass += sum;
    }
    return mass;
}

// The last block that begins at or before the point, and in it the token that passes it.
__device__ inline int32_t draw_of_all(const ChoiceTask& t, double mass, const double* reached) {
    const double point = t.unit * mass;
    int block = 0;
    for (int end = t.blocks; end - block > 1;) {
        const int middle = (block + end) / 2;
        if (reached[middle] <= point) {
            block = middle;
        } else {
            end = middle;
        }
    }
    const int first = block * kChoiceBlock;
    const int end = first + kChoiceBlock < t.vocabulary ? first + kChoiceBlock : t.vocabulary;
    double sum = reached[block];
#pragma unroll 8
    for (int i = first; i < end; ++i) {
        sum += t.values[i];
        if (sum > point) return i;
    }
    return -1;
}

__global__ void __launch_bounds__(kDrawThreads) draw_kernel(ChoiceTask t) {
    __shared__ Scored of_warps[kDrawThreads / kWarp];
    __shared__ double reached[kChoiceBlocksMax];
    __shared__ Candidates candidates;
    const int thread = own_thread();
    const Scored best = best_of_all<kDrawThreads>(t, of_warps);
    if (!is_number(best.score) || t.temperature == 0) {
        if (thread == 0) t.state->token = is_number(best.score) ? best.token : -1;
        return;
    }
    for (int b = thread; b < t.blocks; b += kDrawThreads) reached[b] = t.block_sums[b];
    const bool cut = t.sorted && t.state->cut != 0;
    const bool of_best = cut || t.top_p < 1;
    const int count = of_best ? static_cast<int>(t.state->gathered) : 0;
    __syncthreads();
    if (of_best) sort_candidates(t, count, candidates);
    if (thread != 0) return;
    const double mass = add_up(t.blocks, reached);
    if (!of_best) {
        t.state->token = draw_of_all(t, mass, reached);
    } else {
        t.state->token = count == 0 ? -1 : draw_of_best(t, cut, count, mass, candidates);
    }
}

}  // namespace

uint64_t CudaOps::choice_scratch_bytes(int64_t vocabulary) {
    return static_cast<uint64_t>(choice_scratch(vocabulary).bytes);
}

Result<std::optional<TokenId>> CudaOps::choose(std::span<const float> logits,
                                               const ChoiceRequest& request) {
    const auto vocabulary = static_cast<int64_t>(logits.size());
    const ChoiceScratch places = choice_scratch(vocabulary);
    const auto adjustments = static_cast<int64_t>(request.adjustments.size());
    if (vocabulary == 0 || static_cast<uint64_t>(places.bytes) > choice_scratch_.bytes() ||
        vocabulary > kChoiceBlocksMax * kChoiceBlock || adjustments > kAdjustmentsMax ||
        request.top_k > kTopKMax) {
        return std::optional<TokenId>();
    }
    auto* const base = choice_scratch_.as<std::byte>();
    auto* const listed = reinterpret_cast<Adjustment*>(base + places.adjustments);
    auto* const state = reinterpret_cast<ChoiceState*>(base + places.state);
    TRY(write(listed, request.adjustments.data(), request.adjustments.size_bytes()));
    const LaunchConfig config = choice_config(vocabulary);
    const ChoiceTask task{logits.data(),
                          reinterpret_cast<double*>(base + places.values),
                          reinterpret_cast<double*>(base + places.block_best),
                          reinterpret_cast<int32_t*>(base + places.block_first),
                          reinterpret_cast<double*>(base + places.block_sums),
                          reinterpret_cast<double*>(base + places.weights),
                          reinterpret_cast<int32_t*>(base + places.tokens),
                          listed,
                          state,
                          static_cast<int32_t>(vocabulary),
                          static_cast<int32_t>(config.blocks.x),
                          static_cast<int32_t>(adjustments),
                          request.top_k,
                          request.penalties,
                          request.temperature,
                          request.top_p,
                          request.min_p,
                          request.unit,
                          request.top_k > 0 || request.top_p < 1};
    launch<score_kernel>(config, stream_, task);
    if (request.temperature > 0) launch<weigh_kernel>(config, stream_, task);
    if (request.temperature > 0 && task.sorted) launch<gather_kernel>(config, stream_, task);
    launch<draw_kernel>(draw_config(), stream_, task);
    int32_t token = -1;
    TRY(read(&token, &state->token, sizeof token));
    if (token < 0) return std::optional<TokenId>();
    return std::optional<TokenId>(TokenId{token});
}

}  // namespace millrace::cuda
