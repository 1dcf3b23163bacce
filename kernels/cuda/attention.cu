// Attention of some queries over packed keys, K = V, with one sink logit a head (spec §4.7).
//
//   a_k = (q_h·K_k)·512^−½      M = max_k a_k      P_k = exp(a_k − M)
//   out_h = b( Σ_k b(P_k)·V_k / (Σ_k P_k + exp(sink_h − M)) )           q, out [n][heads·512], keys 584 bytes each
//
// Bytes of a row with 64 heads and 640 keys: 374 KB of keys (from the caches but for the first time), and 1.5 MB of scores
// and sums of splits that are written and read again. 2 · 64 · 512 fused products a key, 42 million for this row: 1.5 µs of
// an H200's fp32 units, against 0.1 µs for the keys' way from memory, so arithmetic is the bound. It is plain fp32, whose
// bits are the same everywhere; tensor cores add floats in an order of their own, on each generation another, and would
// be worth it in a prefill.
//
// The one idea: three launches, cut by constants of a key's place alone. M must be known before P is rounded, so
//   scores  16 keys × 16 heads a block: keys are decoded to fp32 in shared memory, half of the channels at a time; a thread
//           has 4 keys × 4 heads of every eighth float4, eight lanes exchange halves until each has two sums
//   values  64 keys × 64 heads × one scale group of 64 channels a block: M from the tiles' maxima, P, then 8 heads × 4
//           channels a thread. P is computed once for each group of channels: cheaper than a fourth launch
//   merge   the splits in order, the sink, one quotient
// so that 640 keys and 64 heads are 160 and 80 blocks in a decode step; a prefill has those for every row.
//
// The order of a row's sums: scores: the float4s of a lane in order, then eight lanes as a tree. Σ P: 32 keys in order, two
// of these, then the splits in order. Σ P·V: 64 keys in order, then the splits in order. Nothing of it depends on how many
// rows, heads or keys there are besides.
//
// ptxas, nothing spilled (registers for sm_80, 89, 90, 120; bytes of shared memory):
//   attend_scores_kernel   94, 94, 80, 82;  33024
//   attend_values_kernel   75, 77, 80, 94;  33792
//   attend_merge_kernel    32, 40, 36, 40;  none

#include "kernels/cuda/attention.h"

#include <cmath>

#include "kernels/cuda/device/arithmetic.cuh"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/warp.cuh"
#include "quant/float_codes.h"

namespace millrace::cuda {
namespace {

constexpr float kScoreScale = 0.04419417382415922F;  // 512^−½
constexpr int kGroups = kHeadDim / kKvGroup;
constexpr int kPieces = kHeadDim / 4;  // a piece: 4 channels, one float4
constexpr int kHalfPieces = kPieces / 2;
constexpr int kGroupPieces = kKvGroup / 4;
constexpr int kWarps = kAttendThreads / kWarp;
constexpr int kScalesAt = kLatentDim;                           // bytes from a row's beginning
constexpr int kRopeAt = kScalesAt + kLatentDim / kKvGroup + 1;  // 456
static_assert(kRopeAt + 2 * kRopeDim == sizeof(KvRow));

struct AttendTask {
    const Bf16* q;
    const KeyList* lists;
    const float* sink;
    Bf16* out;
    int64_t q_stride, out_stride;
    int64_t keys_max, heads;
    int64_t lanes, tiles, splits;
    float* scores;
    float* tile_most;
    float* totals;
    float* most;
    float* sums;
};

__device__ inline int64_t count_of(const AttendTask& t, const KeyList& list) {
    const auto count = static_cast<int64_t>(list.window.size() + list.entries.size());
    return count < t.keys_max ? count : t.keys_max;
}
__device__ inline const uint8_t* key_of(const KeyList& list, int64_t k) {
    const auto window = static_cast<int64_t>(list.window.size());
    const KvRow* row = k < window ? list.window.data()[k] : list.entries.data()[k - window];
    return reinterpret_cast<const uint8_t*>(row);
}

// Four bytes of a row. Rows lie on even addresses; in an array that is allocated, on multiples of 8.
__device__ inline uint32_t load_word(const uint8_t* at) {
    if (reinterpret_cast<uintptr_t>(at) % 4 == 0) return load_vector<uint32_t>(at);
    return load_vector<uint16_t>(at) | static_cast<uint32_t>(load_vector<uint16_t>(at + 2)) << 16;
}

// Channels 4·piece … 4·piece + 3 of a row, exactly. Where one of the codes is NaN, the first is: the sum over channels that
// every head has of this key takes it in.
__device__ inline float4 decode_piece(const uint8_t* row, int piece) {
    if (piece >= kLatentDim / 4) {
        const uint8_t* at = row + kRopeAt + (piece - kLatentDim / 4) * 8;
        const uint32_t low = load_word(at);
        const uint32_t high = load_word(at + 4);
        return {std::bit_cast<float>(low << 16), std::bit_cast<float>(low & 0xFFFF0000u),
                std::bit_cast<float>(high << 16), std::bit_cast<float>(high & 0xFFFF0000u)};
    }
    const uint32_t word = load_word(row + 4 * piece);
    const float scale = e8m0_value(row[kScalesAt + piece / kGroupPieces]);
    float out[4];
    for (int i = 0; i < 4; ++i) {
        const uint32_t top = word << (24 - 8 * i);
        const uint32_t bits = (top & 0x80000000u) | (top >> 4 & 0x07F00000u);
        out[i] = std::bit_cast<float>(bits) * 0x1p120F * scale;
    }
    const bool nan = (((word & 0x7F7F7F7Fu) + 0x01010101u) & 0x80808080u) != 0;
    return {nan ? std::bit_cast<float>(0x7FC00000u) : out[0], out[1], out[2], out[3]};
}

template <bool kVectors>
__device__ inline float4 load_query_piece(const Bf16* at) {
    if constexpr (kVectors) {
        const auto four = load_vector<Bf16s<4>>(at);
        return {to_float(four.at[0]), to_float(four.at[1]), to_float(four.at[2]),
                to_float(four.at[3])};
    } else {
        return {to_float(at[0]), to_float(at[1]), to_float(at[2]), to_float(at[3])};
    }
}

__device__ inline float dot4(const float4& a, const float4& b, float sum) {
    sum = std::fma(a.x, b.x, sum);
    sum = std::fma(a.y, b.y, sum);
    sum = std::fma(a.z, b.z, sum);
    return std::fma(a.w, b.w, sum);
}
// NaN does not count; it comes out of exp().
__device__ inline float larger(float a, float b) { return a < b ? b : a; }

struct ScoreTile {
    float4 keys[kTileKeys][kHalfPieces];
    float4 queries[kTileHeads][kHalfPieces];
    float most[kWarps][kTileHeads];
};

// Half of the channels of a block's keys and queries; what does not exist is zero. A warp reads what is neighbouring.
template <bool kVectors>
__device__ inline void load_tile(const AttendTask& t, const KeyList& list, int64_t first_key,
                                 int64_t count, int half, ScoreTile& tile) {
    const float4 zero{0, 0, 0, 0};
    for (int k = warp_of_thread(); k < kTileKeys; k += kWarps) {
        const uint8_t* row = first_key + k < count ? key_of(list, first_key + k) : nullptr;
        for (int piece = lane_of_thread(); piece < kHalfPieces; piece += kWarp) {
            const float4 value =
                row == nullptr ? zero : decode_piece(row, half * kHalfPieces + piece);
            store_vector(&tile.keys[k][piece], value);
        }
    }
    const int64_t first_head = static_cast<int64_t>(blockIdx.y) * kTileHeads;
    const Bf16* q = t.q + blockIdx.z * t.q_stride + first_head * kHeadDim;
    for (int h = warp_of_thread(); h < kTileHeads; h += kWarps) {
        for (int piece = lane_of_thread(); piece < kHalfPieces; piece += kWarp) {
            const Bf16* at = q + h * kHeadDim + 4 * (half * kHalfPieces + piece);
            const float4 value = first_head + h < t.heads ? load_query_piece<kVectors>(at) : zero;
            store_vector(&tile.queries[h][piece], value);
        }
    }
}

// Of 16 sums each of eight neighbouring lanes has a part; each of them gets two whole ones: lane bits 4, 2, 1 choose keys
// 2 and 3, the odd key, heads 2 and 3.
__device__ inline void add_lanes(const float (&sums)[4][4], float (&out)[2]) {
    const int lane = lane_of_thread();
    const bool later_keys = (lane & 4) != 0, odd_key = (lane & 2) != 0,
               later_heads = (lane & 1) != 0;
    float two[2][4];
    for (int k = 0; k < 2; ++k) {
        for (int h = 0; h < 4; ++h) {
            const float given = later_keys ? sums[k][h] : sums[k + 2][h];
            const float kept = later_keys ? sums[k + 2][h] : sums[k][h];
            two[k][h] = kept + __shfl_xor_sync(kAllLanes, given, 4);
        }
    }
    float one[4];
    for (int h = 0; h < 4; ++h) {
        const float kept = odd_key ? two[1][h] : two[0][h];
        one[h] = kept + __shfl_xor_sync(kAllLanes, odd_key ? two[0][h] : two[1][h], 2);
    }
    for (int h = 0; h < 2; ++h) {
        const float kept = later_heads ? one[h + 2] : one[h];
        out[h] = kept + __shfl_xor_sync(kAllLanes, later_heads ? one[h] : one[h + 2], 1);
    }
}

template <bool kVectors>
__global__ void __launch_bounds__(kAttendThreads) attend_scores_kernel(AttendTask t) {
    __shared__ ScoreTile tile;
    const int64_t row = blockIdx.z;
    const int64_t first_key = static_cast<int64_t>(blockIdx.x) * kTileKeys;
    const KeyList& list = t.lists[row];
    const int64_t count = count_of(t, list);
    if (first_key >= count) return;
    const int lane = lane_of_thread();
    // A warp has four keys, eight of its lanes four heads.
    const int keys = 4 * warp_of_thread();
    const int heads = lane / 8 * 4;
    float sums[4][4] = {};
    for (int half = 0; half < 2; ++half) {
        if (half != 0) __syncthreads();
        load_tile<kVectors>(t, list, first_key, count, half, tile);
        __syncthreads();
        for (int piece = lane % 8; piece < kHalfPieces; piece += 8) {
            float4 key[4];
            for (int k = 0; k < 4; ++k) key[k] = load_vector<float4>(&tile.keys[keys + k][piece]);
            for (int h = 0; h < 4; ++h) {
                const auto query = load_vector<float4>(&tile.queries[heads + h][piece]);
                for (int k = 0; k < 4; ++k) sums[k][h] = dot4(key[k], query, sums[k][h]);
            }
        }
    }
    float own[2];
    add_lanes(sums, own);
    const int k = keys + (lane & 4) / 2 + (lane & 2) / 2;
    const int h = heads + lane % 2 * 2;
    const bool exists = first_key + k < count;
    const int64_t first_head = static_cast<int64_t>(blockIdx.y) * kTileHeads;
    const float2 scores{own[0] * kScoreScale, own[1] * kScoreScale};
    if (exists) {
        const int64_t at = (row * t.tiles * kTileKeys + first_key + k) * t.lanes + first_head + h;
        store_vector(t.scores + at, scores);
    }
    const float lowest = std::bit_cast<float>(0xFF800000u);
    float most[2] = {exists ? scores.x : lowest, exists ? scores.y : lowest};
    for (float& m : most) {
        m = larger(lowest, m);
        m = larger(m, __shfl_xor_sync(kAllLanes, m, 2));
        m = larger(m, __shfl_xor_sync(kAllLanes, m, 4));
    }
    if ((lane & 6) == 0) store_vector(&tile.most[warp_of_thread()][h], float2{most[0], most[1]});
    __syncthreads();
    if (threadIdx.x >= kTileHeads) return;
    float m = lowest;
    for (int w = 0; w < kWarps; ++w) m = larger(m, tile.most[w][threadIdx.x]);
    t.tile_most[(row * t.tiles + blockIdx.x) * t.lanes + first_head + threadIdx.x] = m;
}

struct ValueTile {
    float4 values[kSplitKeys][kGroupPieces];
    float weights[kSplitKeys][kValueHeads];
    float most[2][kValueHeads];
    float totals[2][kValueHeads];
};

// P of a split's keys and the block's heads. Two threads share a head: each has every second tile's maximum, and half of
// the keys.
__device__ inline void weigh(const AttendTask& t, int64_t count, int64_t first_key,
                             ValueTile& tile) {
    constexpr int kHalf = kSplitKeys / 2;
    const int64_t row = blockIdx.z;
    const auto h = static_cast<int>(threadIdx.x % kValueHeads);
    const auto part = static_cast<int>(threadIdx.x / kValueHeads);
    const int64_t lane = static_cast<int64_t>(blockIdx.y) * kValueHeads + h;
    float most = std::bit_cast<float>(0xFF800000u);
    const int64_t tiles = (count + kTileKeys - 1) / kTileKeys;
    for (int64_t i = part; i < tiles && lane < t.lanes; i += 2)
        most = larger(most, t.tile_most[(row * t.tiles + i) * t.lanes + lane]);
    tile.most[part][h] = most;
    __syncthreads();
    most = larger(tile.most[0][h], tile.most[1][h]);
    const float* scores = t.scores + (row * t.tiles * kTileKeys + first_key) * t.lanes + lane;
    float total = 0;
    for (int k = part * kHalf; k < (part + 1) * kHalf; ++k) {
        float p = 0;
        if (first_key + k < count && lane < t.lanes) p = exponential(scores[k * t.lanes] - most);
        total += p;
        tile.weights[k][h] = to_float(to_bf16(p));
    }
    tile.totals[part][h] = total;
    __syncthreads();
    if (blockIdx.x % kGroups != 0 || part != 0 || lane >= t.lanes) return;
    const int64_t split = blockIdx.x / kGroups;
    t.totals[(row * t.splits + split) * t.lanes + lane] = tile.totals[0][h] + tile.totals[1][h];
    if (split == 0) t.most[row * t.lanes + lane] = most;
}

__global__ void __launch_bounds__(kAttendThreads) attend_values_kernel(AttendTask t) {
    __shared__ ValueTile tile;
    const int64_t row = blockIdx.z;
    const int64_t split = blockIdx.x / kGroups;
    const auto group = static_cast<int>(blockIdx.x % kGroups);
    const int64_t first_key = split * kSplitKeys;
    const KeyList& list = t.lists[row];
    const int64_t count = count_of(t, list);
    if (first_key >= count) return;
    const int here =
        count - first_key < kSplitKeys ? static_cast<int>(count - first_key) : kSplitKeys;
    const auto piece = static_cast<int>(threadIdx.x % kGroupPieces);
    for (auto k = static_cast<int>(threadIdx.x / kGroupPieces); k < here;
         k += kAttendThreads / kGroupPieces) {
        const uint8_t* key = key_of(list, first_key + k);
        store_vector(&tile.values[k][piece], decode_piece(key, group * kGroupPieces + piece));
    }
    weigh(t, count, first_key, tile);
    // 8 heads a thread, 16 a warp; what beyond t.lanes there is nobody asks for.
    const int heads = static_cast<int>(threadIdx.x / kGroupPieces) * 8;
    const int64_t first_lane = static_cast<int64_t>(blockIdx.y) * kValueHeads + heads;
    if (first_lane >= t.lanes) return;
    float4 sums[8] = {};
    for (int k = 0; k < here; ++k) {
        const auto value = load_vector<float4>(&tile.values[k][piece]);
        float weights[8];
        for (int i = 0; i < 8; i += 4) {
            const auto four = load_vector<float4>(&tile.weights[k][heads + i]);
            weights[i] = four.x;
            weights[i + 1] = four.y;
            weights[i + 2] = four.z;
            weights[i + 3] = four.w;
        }
        for (int i = 0; i < 8; ++i) {
            sums[i].x = std::fma(weights[i], value.x, sums[i].x);
            sums[i].y = std::fma(weights[i], value.y, sums[i].y);
            sums[i].z = std::fma(weights[i], value.z, sums[i].z);
            sums[i].w = std::fma(weights[i], value.w, sums[i].w);
        }
    }
    float* to = t.sums + ((row * t.splits + split) * t.lanes + first_lane) * kHeadDim +
                group * kKvGroup + piece * 4;
    for (int i = 0; i < 8; ++i) store_vector(to + i * kHeadDim, sums[i]);
}

template <bool kVectors>
__global__ void __launch_bounds__(kAttendThreads) attend_merge_kernel(AttendTask t) {
    const int64_t head = blockIdx.x;
    const int64_t row = blockIdx.y;
    const int64_t count = count_of(t, t.lists[row]);
    const int64_t splits = (count + kSplitKeys - 1) / kSplitKeys;
    Bf16* to = t.out + row * t.out_stride + head * kHeadDim + 4 * threadIdx.x;
    Bf16s<4> out{};
    if (count > 0) {
        float total = 0;
        float4 sum{0, 0, 0, 0};
        for (int64_t s = 0; s < splits; ++s) {
            const int64_t at = (row * t.splits + s) * t.lanes + head;
            total += t.totals[at];
            const auto more = load_vector<float4>(t.sums + at * kHeadDim + 4 * threadIdx.x);
            sum = {sum.x + more.x, sum.y + more.y, sum.z + more.z, sum.w + more.w};
        }
        total += exponential(t.sink[head] - t.most[row * t.lanes + head]);
        out = {{to_bf16(sum.x / total), to_bf16(sum.y / total), to_bf16(sum.z / total),
                to_bf16(sum.w / total)}};
    }
    if constexpr (kVectors) {
        store_vector(to, out);
    } else {
        for (int i = 0; i < 4; ++i) to[i] = out.at[i];
    }
}

}  // namespace

void attend(MatrixView<const Bf16> q, std::span<const KeyList> keys, int64_t keys_max,
            std::span<const float> sink, MatrixView<Bf16> out, const DeviceMemory& scratch,
            Stream stream) {
    const auto heads = static_cast<int64_t>(sink.size());
    ENSURE(q.cols == heads * kHeadDim && out.cols == q.cols && out.rows == q.rows);
    ENSURE(static_cast<int64_t>(keys.size()) == q.rows && keys_max >= 0);
    if (q.rows == 0) return;
    const auto bytes = static_cast<int64_t>(scratch.bytes());
    const AttendScratch parts = attend_scratch({q.rows, heads, keys_max}, bytes);
    ENSURE(parts.bytes <= bytes);
    const auto part = [&scratch](int64_t at) {
        return reinterpret_cast<float*>(scratch.as<std::byte>() + at);
    };
    const bool query_vectors = fits_vectors({q.data}, {2 * q.stride});
    const bool out_vectors = fits_vectors({out.data}, {2 * out.stride});
    for (int64_t first = 0; first < q.rows; first += parts.rows) {
        const int64_t rows = q.rows - first < parts.rows ? q.rows - first : parts.rows;
        const AttendConfig config = attend_config({rows, heads, keys_max});
        const AttendTask task{.q = q.data + first * q.stride,
                              .lists = keys.data() + first,
                              .sink = sink.data(),
                              .out = out.data + first * out.stride,
                              .q_stride = q.stride,
                              .out_stride = out.stride,
                              .keys_max = keys_max,
                              .heads = heads,
                              .lanes = parts.lanes,
                              .tiles = parts.tiles,
                              .splits = parts.splits,
                              .scores = part(parts.scores),
                              .tile_most = part(parts.tile_most),
                              .totals = part(parts.totals),
                              .most = part(parts.most),
                              .sums = part(parts.sums)};
        if (query_vectors) {
            launch<attend_scores_kernel<true>>(config.scores, stream, task);
        } else {
            launch<attend_scores_kernel<false>>(config.scores, stream, task);
        }
        launch<attend_values_kernel>(config.values, stream, task);
        if (out_vectors) {
            launch<attend_merge_kernel<true>>(config.merge, stream, task);
        } else {
            launch<attend_merge_kernel<false>>(config.merge, stream, task);
        }
    }
}

}  // namespace millrace::cuda
