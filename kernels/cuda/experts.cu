// Routed experts (experts.h): gate and up, SwiGLU and aq128 in one launch, down in another.
//
//   gate_up   per pair: codes, scales = aq128(weight · silu(w1·x) · (w3·x))     reads 2·inner·hidden weights, writes inner
//   down      per pair: out = w2 · those                                       reads hidden·inner weights, writes 2·hidden
//
// Bound: bandwidth of the experts' weights in a decode step: six of Flash are 76 MB of FP4 a layer. The one idea: a block
// takes 128 outputs, the group that aq128 has one scale for, so that nothing but its codes goes from one launch to the next.
// A warp has 16 outputs of one matrix (eight warps the gates, eight the ups), all columns, and two stages of 2 KiB of its
// weight under way (tile_product.cuh): 64 KiB of a block.
//
// A job is some rows of one expert: up to 8, or 32 where most experts have more than a dozen. Those 32 are decoded once a
// block, 128 columns at a time, into one of two buffers while the other is multiplied; eight every warp decodes for itself,
// which keeps warps from waiting for each other. With one row each pair is a job; otherwise expert_pairs.cu sorts the pairs
// by expert. Blocks of jobs that do not exist, of experts that are not there or have another format end at once.
//
// A pair's sums are those of a warp, stage by stage, in both ways: nothing of them depends on other pairs.

#include "kernels/cuda/experts.h"

#include <algorithm>

#include "core/base/check.h"
#include "kernels/cuda/device/expert_pairs.cuh"
#include "kernels/cuda/device/formulas.cuh"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/loads.cuh"
#include "kernels/cuda/device/rows_tile.cuh"
#include "kernels/cuda/device/tile_product.cuh"
#include "kernels/cuda/device/warp.cuh"

namespace millrace::cuda {
namespace {

constexpr int kTileWarps = kBlockOutputs / kTileOutputs;  // of a matrix
constexpr int kUnits = 4, kPartColumns = kUnits * kUnit;  // with one scale of a row
constexpr int kShortRing = 2;  // of many rows, which keep warps waiting for each other anyway
// Members' rows, 128 columns of them.
template <int kTiles>
using MemberRows = RowsTile<kTiles * kTileRows, kPartColumns>;

constexpr uint32_t shared_bytes_of(int matrices, int tiles) {
    const int ring = tiles == 1 ? kRing : kShortRing;
    const auto rows = tiles == 1 ? 0 : 2 * sizeof(MemberRows<kExpertTiles>);
    return static_cast<uint32_t>(matrices * kTileWarps * ring * kStageBytes +
                                 static_cast<int>(rows));
}

// What a block of the smallest of these GPUs may have.
static_assert(shared_bytes_of(2, 1) <= 99 * 1024 && shared_bytes_of(2, kExpertTiles) <= 99 * 1024);

constexpr int64_t kJobsMax = 65535;  // blocks of the grid's second dimension

struct PairsTask {
    const ExpertWeights* experts;
    int64_t experts_count;
    const int32_t* ids;  // of pair p: row p / per_row, column p % per_row
    int64_t ids_stride, per_row;
    const float* weights;  // likewise
    int64_t weights_stride;
    const int32_t* rows;  // of x, of each pair; null: p / per_row
    const Job* jobs;      // null: a pair each
    const int32_t* order;
    Fp8Rows x;
    bool x_vectors;
    Fp8Rows middle;     // of each pair, without gaps
    Bf16* const* outs;  // of each pair; null: rows of out
    Bf16* out;
    int64_t out_stride;
    int64_t hidden, inner;
    float limit;

    __device__ int32_t row_of(int32_t pair) const {
        return rows != nullptr ? rows[pair] : static_cast<int32_t>(pair / per_row);
    }
    __device__ int32_t id_of(int64_t pair) const {
        return ids[pair / per_row * ids_stride + pair % per_row];
    }
    __device__ float weight_of(int64_t pair) const {
        return weights[pair / per_row * weights_stride + pair % per_row];
    }
};

__device__ inline Job job_of_block(const PairsTask& t) {
    const auto own = static_cast<int32_t>(blockIdx.y);
    if (t.jobs == nullptr) return {t.id_of(own), own, 1};
    return t.jobs[own];
}
__device__ inline int32_t pair_of(const PairsTask& t, const Job& job, int member) {
    const int32_t place = job.first + (member < job.count ? member : job.count - 1);
    return t.order == nullptr ? place : t.order[place];
}

// Rows of aq128, and whether eight codes lie at multiples of 8.
struct Input {
    Fp8Rows x;
    bool vectors;

    __device__ uint2 codes(int32_t row, int64_t col) const {
        if (col >= x.codes.cols) return {};
        const uint8_t* at = x.codes.data + row * x.codes.stride + col;
        if (vectors) return load_vector<uint2>(at);
        const uint4 bytes = load_bytes(at, 8);
        return {bytes.x, bytes.y};
    }
    __device__ float scale(int32_t row, int64_t col) const {
        return col < x.codes.cols ? e8m0_value(x.scales.data[row * x.scales.stride + col / 128])
                                  : 0;
    }
};

// A warp's 16 outputs from `first` on by eight rows, the members' row_of(member) of x. `ring` is its own.
template <WeightFormat kFormat, class RowOf>
__device__ inline void multiply_alone(const TileWeight& weight, int64_t first, const Input& x,
                                      const RowOf& row_of, uint8_t* ring, Sums (&totals)[1]) {
    using Format = Codes<kFormat>;
    constexpr int kParts = Format::kStageUnits / kUnits;
    const int64_t last = weight.outputs - 1;
    const int64_t stages = (weight.cols + kStageColumns<kFormat> - 1) / kStageColumns<kFormat>;
    const int g = lane_of_thread() / 4, quarter = lane_of_thread() % 4;
    const int32_t own = row_of(g);
    const int32_t scaled[2] = {row_of(2 * quarter), row_of(2 * quarter + 1)};
    const StageCopy<kFormat> copy(weight, first, last);
    const auto ask_for = [&](int64_t stage, int slot) {
        if (stage < stages) copy.ask_for(stage, ring + slot * kStageBytes);
        commit_copies();
    };
    for (int i = 0; i < kRing - 1; ++i) ask_for(i, i);
    const auto load_rows = [&](int64_t begin, uint2(&to)[kUnits]) {
#pragma unroll
        for (int i = 0; i < kUnits; ++i) to[i] = x.codes(own, begin + i * kUnit + quarter * 8);
    };
    // Of kQ3s there are registers for 128 columns of rows only.
    constexpr bool kAllAhead = kFormat != WeightFormat::kQ3s;
    int slot = 0;
    for (int64_t stage = 0; stage < stages; ++stage) {
        // Scales and rows are asked for before the wait.
        const int64_t col = stage * kStageColumns<kFormat>;
        UnitScales<kFormat, kUnits> scales[kParts];
        float row_scales[kParts][2];
        uint2 rows[kParts][kUnits];
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
            const int64_t begin = col + part * kPartColumns;
            scales[part] = UnitScales<kFormat, kUnits>::load(weight, first, last, begin);
            for (int i = 0; i < 2; ++i) row_scales[part][i] = x.scale(scaled[i], begin);
            if (part == 0 || kAllAhead) load_rows(begin, rows[part]);
        }
        wait_for_copies<kRing - 2>();
        __syncwarp();
        // The slot that all lanes have left before the barrier.
        ask_for(stage + kRing - 1, slot == 0 ? kRing - 1 : slot - 1);
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
            if (part > 0 && !kAllAhead) load_rows(col + part * kPartColumns, rows[part]);
            multiply_units<kFormat, InputFormat::kFp8>(
                ring + slot * kStageBytes, part * kUnits, scales[part],
                [&](int unit, int) { return pairs_of<Format::kPairs>(rows[part][unit]); },
                [&](int, int, int i) { return row_scales[part][i]; }, totals);
        }
        slot = slot == kRing - 1 ? 0 : slot + 1;
    }
}

// What a thread of kThreads brings of 128 columns of all members' rows: pieces of eight codes.
template <int kTiles, int kThreads>
struct RowsPart {
    using Tile = MemberRows<kTiles>;
    static constexpr int kOwn = kTiles * kTileRows * Tile::kPieces / kThreads;
    int32_t rows[kOwn];
    int32_t scaled;
    uint2 codes[kOwn];
    float scale;

    template <class RowOf>
    __device__ explicit RowsPart(const RowOf& row_of) {
        for (int i = 0; i < kOwn; ++i) rows[i] = row_of(row(i));
        scaled = scales() ? row_of(static_cast<int>(threadIdx.x)) : 0;
    }
    __device__ static int row(int i) {
        return (static_cast<int>(threadIdx.x) + i * kThreads) / Tile::kPieces;
    }
    __device__ static int piece() { return static_cast<int>(threadIdx.x) % Tile::kPieces; }
    __device__ static bool scales() { return threadIdx.x < kTiles * kTileRows; }

    __device__ void load(const Input& x, int64_t col) {
#pragma unroll
        for (int i = 0; i < kOwn; ++i) codes[i] = x.codes(rows[i], col + piece() * 8);
        scale = scales() ? x.scale(scaled, col) : 0;
    }
    template <Pairs kPairs>
    __device__ void store(Tile& to) const {
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
            const Eight e = pairs_of<kPairs>(codes[i]);
            store_vector(&to.pieces[Tile::place(row(i), piece())],
                         uint4{e.at[0], e.at[1], e.at[2], e.at[3]});
        }
        if (scales()) to.scales[threadIdx.x] = scale;
    }
};

// The same for several tiles of rows, which all warps of the block go through together.
template <WeightFormat kFormat, int kThreads, int kTiles, class RowOf>
__device__ inline void multiply_together(const TileWeight& weight, int64_t first, const Input& x,
                                         const RowOf& row_of, uint8_t* ring,
                                         MemberRows<kTiles>* buffers, Sums (&totals)[kTiles]) {
    using Format = Codes<kFormat>;
    constexpr int kParts = Format::kStageUnits / kUnits;
    const int64_t last = weight.outputs - 1;
    const int64_t stages = (weight.cols + kStageColumns<kFormat> - 1) / kStageColumns<kFormat>;
    const int g = lane_of_thread() / 4, quarter = lane_of_thread() % 4;
    const StageCopy<kFormat> copy(weight, first, last);
    const auto ask_for = [&](int64_t stage, int slot) {
        if (stage < stages) copy.ask_for(stage, ring + slot * kStageBytes);
        commit_copies();
    };
    ask_for(0, 0);
    RowsPart<kTiles, kThreads> coming(row_of);
    coming.load(x, 0);
    coming.template store<Format::kPairs>(buffers[0]);
    __syncthreads();
    int buffer = 0;
    for (int64_t stage = 0; stage < stages; ++stage) {
        const auto slot = static_cast<int>(stage % kShortRing);
        wait_for_copies<0>();
        __syncwarp();
        ask_for(stage + 1, 1 - slot);  // which all lanes have left before the barrier
#pragma unroll 1
        for (int part = 0; part < kParts; ++part) {
            const int64_t begin = stage * kStageColumns<kFormat> + part * kPartColumns;
            const auto scales = UnitScales<kFormat, kUnits>::load(weight, first, last, begin);
            coming.load(x, begin + kPartColumns);
            const MemberRows<kTiles>& rows = buffers[buffer];
            multiply_units<kFormat, InputFormat::kFp8>(
                ring + slot * kStageBytes, part * kUnits, scales,
                [&](int unit, int tile) { return rows.eight(tile * kTileRows + g, unit); },
                [&](int, int tile, int i) {
                    return rows.scales[tile * kTileRows + 2 * quarter + i];
                },
                totals);
            buffer ^= 1;
            coming.template store<Format::kPairs>(buffers[buffer]);
            __syncthreads();
        }
    }
}

// Sums of the block's 128 outputs, [matrix][row][output]: padded, so that a warp that writes its tile meets no bank twice.
constexpr int kSumsStride = kBlockOutputs + 4;
template <int kTiles>
__device__ inline float* sums_of(int matrix, int row) {
    return dynamic_shared<float>() + (matrix * kTiles * kTileRows + row) * kSumsStride;
}
// The block's sums, of kMatrices matrices of which this warp's is `matrix`, for all to read.
template <WeightFormat kFormat, int kMatrices, int kTiles, class RowOf>
__device__ inline void multiply_block(const LinearWeight& w, int matrix, const Input& x,
                                      const RowOf& row_of) {
    const TileWeight weight{reinterpret_cast<const uint8_t*>(w.codes),
                            reinterpret_cast<const uint8_t*>(w.scales),
                            w.scale_format == ScaleFormat::kF32, w.cols, w.rows};
    constexpr int kWarps = kMatrices * kTileWarps;
    const int tile_first = warp_of_thread() % kTileWarps * kTileOutputs;
    const int64_t first = static_cast<int64_t>(blockIdx.x) * kBlockOutputs + tile_first;
    auto* shared = dynamic_shared<uint8_t>();
    Sums totals[kTiles] = {};
    if constexpr (kTiles == 1) {
        multiply_alone<kFormat>(weight, first, x, row_of,
                                shared + warp_of_thread() * kRing * kStageBytes, totals);
    } else {
        auto* buffers =
            reinterpret_cast<MemberRows<kTiles>*>(shared + kWarps * kShortRing * kStageBytes);
        multiply_together<kFormat, kWarps * kWarp>(
            weight, first, x, row_of, shared + warp_of_thread() * kShortRing * kStageBytes, buffers,
            totals);
    }
    __syncthreads();  // sums lie where the rings were
    const int lane = lane_of_thread();
    for (int tile = 0; tile < kTiles; ++tile) {
        for (int i = 0; i < 4; ++i) {
            sums_of<kTiles>(matrix, tile * kTileRows + lane % 4 * 2 +
                                        i % 2)[tile_first + lane / 4 + i / 2 * 8] =
                totals[tile].at[i] * kTotalUnit<kFormat, InputFormat::kFp8>;
        }
    }
    __syncthreads();
}

// This lane's four sums of a member.
template <int kTiles>
__device__ inline void load_sums(int matrix, int member, float (&out)[4]) {
    const auto four = load_vector<float4>(sums_of<kTiles>(matrix, member) + lane_of_thread() * 4);
    out[0] = four.x;
    out[1] = four.y;
    out[2] = four.z;
    out[3] = four.w;
}

template <WeightFormat kFormat, int kTiles>
__global__ void __launch_bounds__(2 * kTileWarps * kWarp) gate_up_kernel(PairsTask t) {
    const Job job = job_of_block(t);
    if (job.count == 0 || job.expert < 0 || job.expert >= t.experts_count) return;
    const ExpertWeights& expert = t.experts[job.expert];
    if (expert.w1.codes == nullptr || expert.w1.format != kFormat) return;
    const int matrix = warp_of_thread() / kTileWarps;
    multiply_block<kFormat, 2, kTiles>(
        matrix == 0 ? expert.w1 : expert.w3, matrix, Input{t.x, t.x_vectors},
        [&](int member) { return t.row_of(pair_of(t, job, member)); });
    for (int member = warp_of_thread(); member < job.count; member += 2 * kTileWarps) {
        const int64_t pair = pair_of(t, job, member);
        float gate[4], up[4];
        load_sums<kTiles>(0, member, gate);
        load_sums<kTiles>(1, member, up);
        const float weight = t.weight_of(pair);
        for (int i = 0; i < 4; ++i) {
            const float value =
                swiglu_of(to_float(to_bf16(gate[i])), to_float(to_bf16(up[i])), t.limit);
            gate[i] = to_float(to_bf16(weight * value));
        }
        const uint8_t scale = fp8_scale(largest_of_lanes<kWarp>(largest_of(gate)));
        const float s = e8m0_value(scale);
        uint32_t word = 0;
        for (int i = 0; i < 4; ++i) word |= static_cast<uint32_t>(fp8_code(gate[i], s)) << (8 * i);
        const int lane = lane_of_thread();
        store_vector(t.middle.codes.data + pair * t.inner + blockIdx.x * kBlockOutputs + lane * 4,
                     word);
        if (lane == 0) t.middle.scales.data[pair * (t.inner / 128) + blockIdx.x] = scale;
    }
}

template <WeightFormat kFormat, int kTiles>
__global__ void __launch_bounds__(kTileWarps* kWarp) down_kernel(PairsTask t) {
    const Job job = job_of_block(t);
    if (job.count == 0 || job.expert < 0 || job.expert >= t.experts_count) return;
    const ExpertWeights& expert = t.experts[job.expert];
    if (expert.w1.codes == nullptr || expert.w2.format != kFormat) return;
    multiply_block<kFormat, 1, kTiles>(expert.w2, 0, Input{t.middle, true},
                                       [&](int member) { return pair_of(t, job, member); });
    for (int member = warp_of_thread(); member < job.count; member += kTileWarps) {
        const int64_t pair = pair_of(t, job, member);
        float values[4];
        load_sums<kTiles>(0, member, values);
        Bf16* out = t.outs != nullptr ? t.outs[pair] : t.out + pair * t.out_stride;
        out += static_cast<int64_t>(blockIdx.x) * kBlockOutputs;
        if (reinterpret_cast<uintptr_t>(out) % 8 == 0) {
            store_chunk<true>(values, lane_of_thread() * 4, kBlockOutputs, out);
        } else {
            store_chunk<false>(values, lane_of_thread() * 4, kBlockOutputs, out);
        }
    }
}

template <int kTiles>
void launch_pairs(const PairsTask& task, const ExpertFormats& formats, int64_t jobs,
                  Stream stream) {
    const auto config = [&](int64_t outputs, uint32_t matrices) {
        const uint32_t warps = matrices * kTileWarps;
        return LaunchConfig{
            {static_cast<uint32_t>(outputs / kBlockOutputs), static_cast<uint32_t>(jobs)},
            warps * kWarp,
            shared_bytes_of(static_cast<int>(matrices), kTiles)};
    };
    const LaunchConfig first = config(task.inner, 2), second = config(task.hidden, 1);
    const auto& [gate_up, down] = formats;
    using enum WeightFormat;
    if (gate_up.has(kFp8)) launch<gate_up_kernel<kFp8, kTiles>>(first, stream, task);
    if (gate_up.has(kFp4)) launch<gate_up_kernel<kFp4, kTiles>>(first, stream, task);
    if (gate_up.has(kQ3s)) launch<gate_up_kernel<kQ3s, kTiles>>(first, stream, task);
    if (gate_up.has(kQ2s)) launch<gate_up_kernel<kQ2s, kTiles>>(first, stream, task);
    if (gate_up.has(kQ2v)) launch<gate_up_kernel<kQ2v, kTiles>>(first, stream, task);
    if (down.has(kFp8)) launch<down_kernel<kFp8, kTiles>>(second, stream, task);
    if (down.has(kFp4)) launch<down_kernel<kFp4, kTiles>>(second, stream, task);
    if (down.has(kQ3s)) launch<down_kernel<kQ3s, kTiles>>(second, stream, task);
    if (down.has(kQ2s)) launch<down_kernel<kQ2s, kTiles>>(second, stream, task);
    if (down.has(kQ2v)) launch<down_kernel<kQ2v, kTiles>>(second, stream, task);
}

// Everything of `task` is set but jobs and order.
void run_pairs(PairsTask task, int64_t rows, int64_t pairs, const ExpertFormats& formats,
               const ExpertScratch& parts, const DeviceMemory& scratch, Stream stream) {
    static_assert(kTileWarps * kShortRing * kStageBytes >=
                  kExpertTiles * kTileRows * kSumsStride * 4);
    ENSURE(task.hidden % kBlockOutputs == 0 && task.inner % kBlockOutputs == 0 &&
           task.experts_count <= kExpertsTotalMax && pairs <= INT32_MAX);
    const ExpertConfig config = expert_config(rows, pairs, task.experts_count);
    ENSURE(config.jobs <= kJobsMax);
    auto* base = scratch.as<std::byte>();
    task.middle = {{reinterpret_cast<uint8_t*>(base + parts.codes), pairs, task.inner},
                   {reinterpret_cast<uint8_t*>(base + parts.scales), pairs, task.inner / 128}};
    task.x_vectors =
        reinterpret_cast<uintptr_t>(task.x.codes.data) % 8 == 0 && task.x.codes.stride % 8 == 0;
    if (config.grouped) {
        GroupTask group{};
        group.ids = task.ids;
        group.ids_stride = task.ids_stride;
        group.per_row = task.per_row;
        group.pairs = pairs;
        group.experts = task.experts_count;
        group.rows = config.tiles * kTileRows;
        group.jobs = reinterpret_cast<Job*>(base + parts.jobs);
        group.jobs_max = config.jobs;
        group.order = reinterpret_cast<int32_t*>(base + parts.order);
        launch_groups(group, stream);
        task.jobs = group.jobs;
        task.order = group.order;
    }
    if (config.tiles == 1) {
        launch_pairs<1>(task, formats, config.jobs, stream);
    } else {
        launch_pairs<kExpertTiles>(task, formats, config.jobs, stream);
    }
}

// Up to kCallsTogether calls.
void run_calls(const LinearInput& x, std::span<const ExpertCall> calls, float limit,
               const DeviceMemory& scratch, Stream stream) {
    CallsTask list{};
    PairsTask task{};
    ExpertFormats formats;
    task.hidden = calls.front().weights.w1.cols;
    task.inner = calls.front().weights.w1.rows;
    for (const ExpertCall& call : calls) {
        const auto n = static_cast<int64_t>(call.rows.size());
        ENSURE(computes(call.weights) && call.weights.w1.cols == task.hidden &&
               call.weights.w1.rows == task.inner && call.out.rows == n &&
               call.out.cols == task.hidden);
        ENSURE(call.route_weights.empty() || call.route_weights.size() == call.rows.size());
        if (n == 0) continue;
        list.calls[list.count++] = {call.weights,  call.rows.data(), call.route_weights.data(),
                                    call.out.data, call.out.stride,  list.pairs};
        list.pairs += static_cast<int32_t>(n);
        formats.add(call.weights);
    }
    if (list.pairs == 0) return;
    const ExpertScratch parts = expert_scratch(list.pairs, task.inner, kCallsTogether);
    ENSURE(parts.bytes <= static_cast<int64_t>(scratch.bytes()));
    ENSURE(x.quantised.codes.cols == task.hidden && x.quantised.scales.cols == task.hidden / 128);
    auto* base = scratch.as<std::byte>();
    list.table = reinterpret_cast<ExpertWeights*>(base + parts.table);
    list.ids = reinterpret_cast<int32_t*>(base + parts.ids);
    list.rows = reinterpret_cast<int32_t*>(base + parts.rows);
    list.weights = reinterpret_cast<float*>(base + parts.weights);
    list.outs = reinterpret_cast<Bf16**>(base + parts.outs);
    launch_calls(list, stream);
    task.experts = list.table;
    task.experts_count = list.count;
    task.ids = list.ids;
    task.weights = list.weights;
    task.ids_stride = task.weights_stride = task.per_row = 1;
    task.rows = list.rows;
    task.outs = list.outs;
    task.x = x.quantised;
    task.limit = limit;
    // Of calls with one row each every pair is an expert of its own: nothing to group.
    const int64_t rows = list.pairs == list.count ? 1 : list.pairs;
    run_pairs(task, rows, list.pairs, formats, parts, scratch, stream);
}

}  // namespace

void experts(const ExpertTable& table, const Fp8Rows& x, MatrixView<const int32_t> ids,
             MatrixView<const float> weights, float limit, MatrixView<Bf16> out,
             const DeviceMemory& scratch, Stream stream) {
    const int64_t pairs = ids.rows * ids.cols;
    ENSURE(weights.rows == ids.rows && weights.cols == ids.cols && x.codes.rows == ids.rows &&
           out.rows == pairs && out.cols == table.hidden && x.codes.cols == table.hidden &&
           x.scales.cols == table.hidden / 128);
    if (pairs == 0 || table.experts.empty()) return;
    PairsTask task{};
    task.experts = table.experts.data();
    task.experts_count = static_cast<int64_t>(table.experts.size());
    task.ids = ids.data;
    task.ids_stride = ids.stride;
    task.per_row = ids.cols;
    task.weights = weights.data;
    task.weights_stride = weights.stride;
    task.x = x;
    task.out = out.data;
    task.out_stride = out.stride;
    task.hidden = table.hidden;
    task.inner = table.inner;
    task.limit = limit;
    const ExpertScratch parts = expert_scratch(pairs, table.inner, task.experts_count);
    ENSURE(parts.bytes <= static_cast<int64_t>(scratch.bytes()));
    run_pairs(task, ids.rows, pairs, table.formats, parts, scratch, stream);
}

void experts(const LinearInput& x, std::span<const ExpertCall> calls, float limit,
             const DeviceMemory& scratch, Stream stream) {
    for (size_t first = 0; first < calls.size(); first += kCallsTogether) {
        const size_t count = std::min<size_t>(calls.size() - first, kCallsTogether);
        run_calls(x, calls.subspan(first, count), limit, scratch, stream);
    }
}

}  // namespace millrace::cuda
