// The lightning indexer (spec §4.6): scores of packed entries, and the best k of them.
//
//   score_s = b( Σ_h b( relu(b(q_h·k_s)) · w_h ) )       q [64][128], k_s [128] e2m1 with one scale per 32
//   picks   = the k entries of the highest scores, best first, the lower entry first on a tie
//
// Bytes: 68 an entry, read once a row, and 2 of its key written and read; at a million tokens 262144 entries are 18 MB. 64 ·
// 128 products an entry make arithmetic the bound. The one idea: e2m1 times two is an integer of at most 12, so the 32
// products of a scale group are exactly one step of the tensor cores' byte product, 16 entries by 8 heads; what remains for
// each of a group's sums are three operations in fp32 (off the integer, times both scales), about 36 instructions of a warp
// for each entry and 64 heads.
//
// Selection: keys are the 16 bits of the score in an order of unsigned integers, 0 = not there. A block finds the k-th
// largest of 8192 keys, held in registers, two bits a round by counting; then the place of each pick follows from ballots.
// Where one block is not enough, each leaves its k best in the order of entries and the next stage chooses from those: the
// place among the candidates is the tie's rule in every stage. 32768 tokens need one stage, a million three. Counts are
// sums of integers through shuffles and shared memory: no atomics.
//
// A row's score: groups of a dot product in order; heads 8 at a time as a lane's columns have them, then four lanes as a
// tree. Entries beyond visible[r] are neither read nor scored.
//
// ptxas, nothing spilled (registers for sm_80, 89, 90, 120; bytes of shared memory):
//   index_score_kernel          120, 120, 120, 162;  18176
//   index_select_kernel<false>   44,  63,  44,  64;   1568
//   index_select_kernel<true>    50,  64,  40,  64;  17952

#include "kernels/cuda/indexer.h"

#include <cmath>

#include "kernels/cuda/device/byte_product.cuh"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/warp.cuh"
#include "quant/float_codes.h"

namespace millrace::cuda {
namespace {

constexpr int kRowWords = static_cast<int>(sizeof(IndexRow) / 4);  // 16 of codes, one of scales
constexpr int kGroups = kIndexDim / kIndexGroup;
constexpr int kScoreWarps = kScoreThreads / kWarp;
constexpr int kHeadTiles = static_cast<int>(kIndexHeadsMax / 8);
constexpr int kSelectWarps = kSelectThreads / kWarp;
static_assert(kRowWords == 17 && kGroups == 4 && kSelectWarps <= kWarp);
static_assert(kSelectKeys <= kFewThreads / kWarp, "each warp adds up the ranks of one key");
static_assert(kScoreWarps * kWarpEntries >= kIndexHeadsMax, "heads are staged like entries");

struct ScoreTask {
    const uint8_t* q;
    const Bf16* weights;
    const uint8_t* entries;
    const int32_t* visible;
    uint16_t* keys;
    int64_t weights_stride, key_stride, entry_count;
    int heads, rounds;
};

// What a warp knows of the heads, columns as the tensor cores have them: column c of tile t is head 32·(t/4) + 4c + t % 4,
// which lets the lanes that read words of rows (17 words apart) meet each bank once.
struct Heads {
    uint4 codes[kHeadTiles][2][kWarp];  // of each lane: b[0], b[1] of two groups
    float4 scales[kHeadTiles * 8];
    float weights[kHeadTiles * 8];
};

__device__ inline int head_of(int tile, int column) {
    return tile / 4 * 32 + 4 * column + tile % 4;
}

// Four e2m1 codes in the low 16 bits as signed bytes of twice their value.
__device__ inline uint32_t doubled_bytes(uint32_t codes) {
    const uint32_t sizes = select_bytes(0x03020100u, 0x0C080604u, codes & 0x7777u);
    const uint32_t two = (codes & 0x00FFu) | (codes & 0xFF00u) << 8;
    const uint32_t signs = ((two & 0x00080008u) >> 3 | (two & 0x00800080u) << 1) & 0x01010101u;
    const uint32_t negative = signs * 255u;
    // No byte borrows from its neighbour: sizes are below 128.
    return (sizes & ~negative) | (((0x80808080u - sizes) ^ 0x80808080u) & negative);
}

// Scales are kept 2¹² too small for entries, since a group's sum (below 2¹³) meets them first, and 2¹⁰ too large for
// queries (doubled values are the rest), up to 2¹²⁷: nothing leaves fp32's range where the dot product does not.
__device__ inline float entry_scale(uint32_t word, int group) {
    return e8m0_value(static_cast<uint8_t>(word >> (8 * group) & 255u)) * 0x1p-12F;
}
__device__ inline float query_scale(uint32_t word, int group) {
    const uint32_t byte = (word >> (8 * group) & 255u) + 10u;
    return std::bit_cast<float>((byte < 254u ? byte : 254u) << 23);
}

// Decodes the heads of the block's row. `stage` has room for their words.
__device__ inline void prepare_heads(const ScoreTask& t, int tiles, uint32_t* stage, Heads& heads) {
    const int64_t row = blockIdx.y;
    const int words = t.heads * kRowWords;
    const uint8_t* q = t.q + row * words * 4;
    for (int i = static_cast<int>(threadIdx.x); i < words; i += kScoreThreads)
        stage[i] = load_vector<uint32_t>(q + 4 * i);
    __syncthreads();
    for (int pair = warp_of_thread(); pair < 2 * tiles; pair += kScoreWarps) {
        const int tile = pair / 2;
        const int head = head_of(tile, lane_of_thread() / 4);
        const int at = head * kRowWords + pair % 2 * 8 + lane_of_thread() % 4;
        // Heads that do not exist are zeros.
        const uint32_t first = head < t.heads ? stage[at] : 0u;
        const uint32_t second = head < t.heads ? stage[at + 4] : 0u;
        store_vector(&heads.codes[tile][pair % 2][lane_of_thread()],
                     uint4{doubled_bytes(first), doubled_bytes(first >> 16), doubled_bytes(second),
                           doubled_bytes(second >> 16)});
    }
    for (int slot = static_cast<int>(threadIdx.x); slot < 8 * tiles; slot += kScoreThreads) {
        const int head = head_of(slot / 8, slot % 8);
        float4 scales{0, 0, 0, 0};
        float weight = 0;
        if (head < t.heads) {
            const uint32_t word = stage[head * kRowWords + kRowWords - 1];
            scales = {query_scale(word, 0), query_scale(word, 1), query_scale(word, 2),
                      query_scale(word, 3)};
            weight = to_float(t.weights[row * t.weights_stride + head]);
        }
        store_vector(&heads.scales[slot], scales);
        heads.weights[slot] = weight;
    }
    __syncthreads();
}

// A lane's part of 32 entries, of which it has 4(lane / 4) + i, i = 0…3.
struct Entries {
    uint32_t codes[4][kGroups][2];
    float scales[4][kGroups];
};

__device__ inline void load_entries(const ScoreTask& t, int64_t first, int64_t count,
                                    uint32_t* stage, Entries& entries) {
    const int64_t words = (count - first) * kRowWords;
    const uint8_t* from = t.entries + first * kRowWords * 4;
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kRowWords; ++i) {
        const int at = i * kWarp + lane_of_thread();
        stage[at] = at < words ? load_vector<uint32_t>(from + 4 * at) : 0u;
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const uint32_t* row = stage + (lane_of_thread() / 4 * 4 + i) * kRowWords;
        const uint32_t scales = row[kRowWords - 1];
#pragma unroll
        for (int g = 0; g < kGroups; ++g) {
            const uint32_t word = row[4 * g + lane_of_thread() % 4];
            entries.codes[i][g][0] = doubled_bytes(word);
            entries.codes[i][g][1] = doubled_bytes(word >> 16);
            entries.scales[i][g] = entry_scale(scales, g);
        }
    }
}

// dots[i][c] = q·k of the lane's entry i and column c of a tile.
__device__ inline void multiply(const Heads& heads, int tile, const Entries& entries,
                                float (&dots)[4][2]) {
    // An integer below 2²² in the low bits of 1.5·2²³ is a float without a conversion.
    constexpr float kBase = 12582912.0F;
    const uint4 low = load_vector<uint4>(&heads.codes[tile][0][lane_of_thread()]);
    const uint4 high = load_vector<uint4>(&heads.codes[tile][1][lane_of_thread()]);
    const uint32_t codes[kGroups][2] = {
        {low.x, low.y}, {low.z, low.w}, {high.x, high.y}, {high.z, high.w}};
    const int slot = tile * 8 + lane_of_thread() % 4 * 2;
    const float4 left = load_vector<float4>(&heads.scales[slot]);
    const float4 right = load_vector<float4>(&heads.scales[slot + 1]);
    const float scales[kGroups][2] = {
        {left.x, right.x}, {left.y, right.y}, {left.z, right.z}, {left.w, right.w}};
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            constexpr auto kStart = std::bit_cast<int32_t>(kBase);
            int32_t sums[4] = {kStart, kStart, kStart, kStart};
            const uint32_t a[4] = {entries.codes[i][g][0], entries.codes[i + 1][g][0],
                                   entries.codes[i][g][1], entries.codes[i + 1][g][1]};
            add_byte_products(sums, a, codes[g]);
#pragma unroll
            for (int s = 0; s < 4; ++s) {
                const float sum = std::bit_cast<float>(sums[s]) - kBase;
                float& dot = dots[i + s / 2][s % 2];
                dot = std::fma(sum * entries.scales[i + s / 2][g], scales[g][s % 2], dot);
            }
        }
    }
}

// NaN stays.
__device__ inline float relu(float x) { return x < 0 ? 0 : x; }

__device__ inline uint32_t ones(uint32_t bits) {
#if defined(__CUDACC__)
    return static_cast<uint32_t>(__popc(bits));
#else
    return static_cast<uint32_t>(std::popcount(bits));
#endif
}

// Larger for better scores, never 0. NaN is the lowest score.
__device__ inline uint32_t key_of(float score) {
    uint32_t bits = to_bf16(score).bits;
    if ((bits & 0x7FFFu) > 0x7F80u) bits = 0xFF80u;
    if (bits == 0x8000u) bits = 0;
    return (bits & 0x8000u) != 0 ? bits ^ 0xFFFFu : bits | 0x8000u;
}

__global__ void __launch_bounds__(kScoreThreads, 3) index_score_kernel(ScoreTask t) {
    __shared__ Heads heads;
    __shared__ uint32_t staging[kScoreWarps * kWarpEntries * kRowWords];
    const int64_t row = blockIdx.y;
    const int64_t seen = t.visible[row];
    const int64_t count = seen < t.entry_count ? seen : t.entry_count;
    const int64_t begin = static_cast<int64_t>(blockIdx.x) * t.rounds * kScoreEntries;
    if (begin >= count) return;
    const int rest = t.heads % 32;
    const int tiles = t.heads / 32 * 4 + (rest < 4 ? rest : 4);
    prepare_heads(t, tiles, staging, heads);
    uint32_t* stage = staging + warp_of_thread() * (kWarpEntries * kRowWords);
    for (int round = 0; round < t.rounds; ++round) {
        const int64_t first = begin + round * kScoreEntries + warp_of_thread() * kWarpEntries;
        if (first >= count) return;
        Entries entries;
        load_entries(t, first, count, stage, entries);
        float scores[4] = {};
#pragma unroll 1
        for (int tile = 0; tile < tiles; ++tile) {
            float dots[4][2] = {};
            multiply(heads, tile, entries, dots);
            const auto weights =
                load_vector<float2>(&heads.weights[tile * 8 + lane_of_thread() % 4 * 2]);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const FloatPair dot = through_bf16(dots[i][0], dots[i][1]);
                const FloatPair term =
                    through_bf16(relu(dot.low) * weights.x, relu(dot.high) * weights.y);
                scores[i] += term.low;
                scores[i] += term.high;
            }
        }
        // Those of entries beyond the last are written too, and never read.
        uint32_t keys[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            scores[i] += __shfl_xor_sync(kAllLanes, scores[i], 1);
            scores[i] += __shfl_xor_sync(kAllLanes, scores[i], 2);
            keys[i] = key_of(scores[i]);
        }
        if (lane_of_thread() % 4 == 0) {
            uint16_t* to = t.keys + row * t.key_stride + first + lane_of_thread();
            store_vector(to, uint2{keys[0] | keys[1] << 16, keys[2] | keys[3] << 16});
        }
    }
}

struct SelectTask {
    const uint16_t* keys;
    const int32_t* indices;  // of the candidates; null: their places
    const int32_t* visible;  // null: all places have keys
    int64_t stride;          // of keys and indices
    int64_t positions;
    int picks;
    // What is left: for the next stage, or for good.
    uint16_t* out_keys;
    int32_t* out_indices;
    int64_t out_stride;
};

__device__ inline int threads_of_block() { return static_cast<int>(blockDim.x); }
__device__ inline int warps_of_block() { return threads_of_block() / kWarp; }

// Sums of two counts that fit 16 bits, over the block.
struct Counts {
    uint2 of_warps[2][kSelectWarps];
};
__device__ inline uint2 sum_of_counts(uint32_t pair, uint32_t single, uint2* of_warps) {
    const uint32_t warp_pair = __reduce_add_sync(kAllLanes, pair);
    const uint32_t warp_single = __reduce_add_sync(kAllLanes, single);
    if (lane_of_thread() == 0)
        store_vector(of_warps + warp_of_thread(), uint2{warp_pair, warp_single});
    __syncthreads();
    uint2 own{0, 0};
    if (lane_of_thread() < warps_of_block()) own = load_vector<uint2>(of_warps + lane_of_thread());
    return {__reduce_add_sync(kAllLanes, own.x), __reduce_add_sync(kAllLanes, own.y)};
}

struct Threshold {
    uint32_t kept;   // how many the block keeps
    uint32_t key;    // of the last of them
    uint32_t above;  // how many have more
};

// The largest key that at least `kept` of the block's reach, two bits a round.
__device__ inline Threshold find_threshold(const uint32_t (&keys)[kSelectKeys], uint32_t picks,
                                           Counts& counts) {
    uint32_t present = 0;
    for (const uint32_t key : keys) present += key != 0 ? 1u : 0u;
    const uint32_t all = sum_of_counts(present, 0, counts.of_warps[1]).x;
    Threshold out{all < picks ? all : picks, 0, 0};
    int round = 0;
    for (uint32_t step = 1u << 14; step > 0; step /= 4, ++round) {
        uint32_t pair = 0;
        uint32_t single = 0;
        for (const uint32_t key : keys) {
            pair += (key >= out.key + step ? 1u : 0u) + (key >= out.key + 2 * step ? 1u << 16 : 0u);
            single += key >= out.key + 3 * step ? 1u : 0u;
        }
        // Two places in turn: nobody writes one while another still reads it.
        const uint2 reached = sum_of_counts(pair, single, counts.of_warps[round % 2]);
        const uint32_t taken = ((reached.x & 0xFFFFu) >= out.kept ? 1u : 0u) +
                               (reached.x >> 16 >= out.kept ? 1u : 0u) +
                               (reached.y >= out.kept ? 1u : 0u);
        // How many reach what was not taken.
        if (taken == 0) out.above = reached.x & 0xFFFFu;
        if (taken == 1) out.above = reached.x >> 16;
        if (taken == 2) out.above = reached.y;
        out.key += taken * step;
    }
    return out;
}

// Of a thread's key i: how many of those in front of it, in the order of places, are above the threshold, and how many at
// it, in 16 bits each. Key i of all threads stands before key i + 1 of any.
struct Ranks {
    uint32_t before[kSelectKeys][kSelectWarps];
    uint32_t totals[kSelectKeys];
};
__device__ inline void rank(const uint32_t (&keys)[kSelectKeys], uint32_t threshold, Ranks& ranks,
                            uint32_t (&out)[kSelectKeys]) {
    const uint32_t lower = (1u << lane_of_thread()) - 1;
#pragma unroll
    for (int i = 0; i < kSelectKeys; ++i) {
        const uint32_t above = __ballot_sync(kAllLanes, keys[i] > threshold ? 1 : 0);
        const uint32_t equal = __ballot_sync(kAllLanes, keys[i] == threshold ? 1 : 0);
        out[i] = ones(above & lower) | ones(equal & lower) << 16;
        if (lane_of_thread() == 0)
            ranks.before[i][warp_of_thread()] = ones(above) | ones(equal) << 16;
    }
    __syncthreads();
    if (warp_of_thread() < kSelectKeys) {
        const bool exists = lane_of_thread() < warps_of_block();
        const uint32_t own = exists ? ranks.before[warp_of_thread()][lane_of_thread()] : 0u;
        uint32_t sum = own;
        for (int distance = 1; distance < kWarp; distance *= 2) {
            const uint32_t other = __shfl_up_sync(kAllLanes, sum, static_cast<uint32_t>(distance));
            sum += lane_of_thread() >= distance ? other : 0;
        }
        ranks.before[warp_of_thread()][lane_of_thread()] = sum - own;
        if (lane_of_thread() == kWarp - 1) ranks.totals[warp_of_thread()] = sum;
    }
    __syncthreads();
    uint32_t running = 0;
#pragma unroll
    for (int i = 0; i < kSelectKeys; ++i) {
        out[i] += running + ranks.before[i][warp_of_thread()];
        running += ranks.totals[i];
    }
}

struct alignas(16) SortPair {
    uint64_t at[2];
};

__device__ inline void keep_of(SortPair& own, const SortPair& other, bool smaller) {
    for (int b = 0; b < 2; ++b) {
        const bool take = (other.at[b] < own.at[b]) == smaller;
        own.at[b] = take ? other.at[b] : own.at[b];
    }
}

// Sorts the first `count` of pairs, a power of two from 64 on, ascending: a bitonic network with two neighbours a thread.
// Lanes meet through shuffles, warps through shared memory.
__device__ inline void sort_pairs(SortPair* pairs, int count) {
    const auto thread = static_cast<int>(threadIdx.x);
    const bool busy = thread < count / 2;
    SortPair own{};
    if (busy) own = load_vector<SortPair>(pairs + thread);
    for (int size = 2; size <= count; size *= 2) {
        const bool up = (2 * thread & size) == 0;
        for (int distance = size / 2; distance > 0; distance /= 2) {
            const bool smaller = ((2 * thread & distance) == 0) == up;
            if (distance >= 2 * kWarp) {
                if (busy) store_vector(pairs + thread, own);
                __syncthreads();
                if (busy)
                    keep_of(own, load_vector<SortPair>(pairs + (thread ^ distance / 2)), smaller);
                __syncthreads();
            } else if (busy && distance > 1) {
                SortPair other;
                other.at[0] = __shfl_xor_sync(kAllLanes, own.at[0], distance / 2);
                other.at[1] = __shfl_xor_sync(kAllLanes, own.at[1], distance / 2);
                keep_of(own, other, smaller);
            } else if (busy && (own.at[1] < own.at[0]) == up) {
                own = {{own.at[1], own.at[0]}};
            }
        }
    }
    if (busy) store_vector(pairs + thread, own);
    __syncthreads();
}

template <bool kLast>
__global__ void __launch_bounds__(kSelectThreads) index_select_kernel(SelectTask t) {
    __shared__ Counts counts;
    __shared__ Ranks ranks;
    __shared__ SortPair order[kLast ? kIndexPicksMax / 2 : 1];
    const int64_t row = blockIdx.y;
    const auto thread = static_cast<int>(threadIdx.x);
    const int threads = threads_of_block();
    const int64_t first = static_cast<int64_t>(blockIdx.x) * kSelectKeys * threads + thread;
    const int64_t seen = t.visible == nullptr ? t.positions : t.visible[row];
    const int64_t end = seen < t.positions ? seen : t.positions;
    uint32_t keys[kSelectKeys];
#pragma unroll
    for (int i = 0; i < kSelectKeys; ++i) {
        const int64_t place = first + i * threads;
        keys[i] = place < end ? t.keys[row * t.stride + place] : 0u;
    }
    const Threshold threshold = find_threshold(keys, static_cast<uint32_t>(t.picks), counts);
    uint32_t places[kSelectKeys];
    rank(keys, threshold.key, ranks, places);
    const auto kept = static_cast<int>(threshold.kept);
    const uint32_t at_threshold = threshold.kept - threshold.above;
    const int64_t out = row * t.out_stride + static_cast<int64_t>(blockIdx.x) * t.picks;
#pragma unroll
    for (int i = 0; i < kSelectKeys; ++i) {
        __syncwarp();  // lanes write to neighbouring places: together
        const uint32_t equal = places[i] >> 16;
        const bool picked =
            keys[i] > threshold.key || (keys[i] == threshold.key && equal < at_threshold);
        if (!picked) continue;
        const uint32_t place =
            (places[i] & 0xFFFFu) + (equal < at_threshold ? equal : at_threshold);
        const int64_t from = first + i * threads;
        const auto index =
            t.indices == nullptr ? static_cast<int32_t>(from) : t.indices[row * t.stride + from];
        if constexpr (kLast) {
            order[place / 2].at[place % 2] =
                static_cast<uint64_t>(0xFFFFu - keys[i]) << 32 | static_cast<uint32_t>(index);
        } else {
            t.out_keys[out + place] = static_cast<uint16_t>(keys[i]);
            t.out_indices[out + place] = index;
        }
    }
    if constexpr (kLast) {
        int whole = 2 * kWarp;
        while (whole < kept) whole *= 2;
        for (int i = kept + thread; i < whole; i += threads) order[i / 2].at[i % 2] = ~uint64_t{0};
        __syncthreads();
        sort_pairs(order, whole);
        for (int i = thread; i < t.picks; i += threads)
            t.out_indices[out + i] = i < kept ? static_cast<int32_t>(order[i / 2].at[i % 2]) : -1;
    } else {
        for (int i = kept + thread; i < t.picks; i += threads) t.out_keys[out + i] = 0;
    }
}

// All stages for some rows whose keys lie in the scratch.
void select(const IndexProblem& problem, const IndexScratch& parts, const DeviceMemory& scratch,
            const int32_t* visible, MatrixView<int32_t> picks, Stream stream) {
    auto* const base = scratch.as<std::byte>();
    SelectTask task{reinterpret_cast<const uint16_t*>(base),
                    nullptr,
                    visible,
                    parts.key_stride,
                    problem.entries,
                    static_cast<int>(picks.cols),
                    nullptr,
                    nullptr,
                    0};
    SelectStage stage = first_stage(problem);
    for (int turn = 0; !stage.last(); turn = 1 - turn) {
        task.out_keys = reinterpret_cast<uint16_t*>(base + parts.candidate_keys[turn]);
        task.out_indices = reinterpret_cast<int32_t*>(base + parts.candidate_indices[turn]);
        task.out_stride = parts.candidate_stride[turn];
        launch<index_select_kernel<false>>(stage.launch, stream, task);
        stage = next_stage(stage, problem);
        task.keys = task.out_keys;
        task.indices = task.out_indices;
        task.visible = nullptr;
        task.stride = task.out_stride;
        task.positions = stage.positions;
    }
    task.out_keys = nullptr;
    task.out_indices = picks.data;
    task.out_stride = picks.stride;
    launch<index_select_kernel<true>>(stage.launch, stream, task);
}

}  // namespace

void index_topk(std::span<const IndexRow> q, MatrixView<const Bf16> weights,
                std::span<const IndexRow> entries, std::span<const int32_t> visible,
                MatrixView<int32_t> picks, const DeviceMemory& scratch, Stream stream) {
    const int64_t heads = weights.cols;
    const auto count = static_cast<int64_t>(entries.size());
    ENSURE(weights.rows == picks.rows && static_cast<int64_t>(q.size()) == picks.rows * heads &&
           static_cast<int64_t>(visible.size()) == picks.rows);
    ENSURE(heads <= kIndexHeadsMax && picks.cols <= kIndexPicksMax && count <= INT32_MAX);
    ENSURE(reinterpret_cast<uintptr_t>(q.data()) % 4 == 0 &&
           reinterpret_cast<uintptr_t>(entries.data()) % 4 == 0);
    if (picks.rows == 0 || picks.cols == 0) return;
    const auto bytes = static_cast<int64_t>(scratch.bytes());
    const IndexScratch parts = index_scratch({picks.rows, count, picks.cols}, bytes);
    ENSURE(parts.bytes <= bytes);
    for (int64_t first = 0; first < picks.rows; first += parts.rows) {
        const int64_t rows = picks.rows - first < parts.rows ? picks.rows - first : parts.rows;
        const IndexProblem problem{rows, count, picks.cols};
        const ScoreConfig config = score_config(problem);
        const ScoreTask task{reinterpret_cast<const uint8_t*>(q.data() + first * heads),
                             weights.data + first * weights.stride,
                             reinterpret_cast<const uint8_t*>(entries.data()),
                             visible.data() + first,
                             scratch.as<uint16_t>(),
                             weights.stride,
                             parts.key_stride,
                             count,
                             static_cast<int>(heads),
                             config.rounds};
        launch<index_score_kernel>(config.launch, stream, task);
        select(problem, parts, scratch, visible.data() + first, picks.slice_rows(first, rows),
               stream);
    }
}

}  // namespace millrace::cuda
