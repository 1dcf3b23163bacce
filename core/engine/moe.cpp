#include "core/engine/moe.h"

#include <algorithm>

#include "core/engine/routed.h"
#include "core/engine/router_ranks.h"
#include "offload/router_trace.h"

namespace millrace {
namespace {

// So many rows at a time go to their places on a GPU: a row is some kilobytes.
constexpr int64_t kArrivingRows = 512;

std::span<const int64_t> table_row(const MoeWeights& weights, TokenId token, int k) {
    return weights.tid2eid.subspan(static_cast<size_t>(token.value) * static_cast<size_t>(k),
                                   static_cast<size_t>(k));
}

// What the router decides, in the ops' memory.
struct Routing {
    MatrixView<int32_t> ids;    // [n, k]
    MatrixView<float> weights;  // [n, k]
    MatrixView<float> logits;   // of the last rows that are ranked; none of hash layers
    MatrixView<float> guess;    // of the next layer's router for this layer's input, or no rows
    Fp8Rows x8;
};

// The experts that a hash layer's table has for the tokens, where the ops may read them.
Result<MatrixView<int32_t>> fixed_experts(Ops& ops, const MoeWeights& weights,
                                          std::span<const TokenId> tokens,
                                          const MoeScratch& scratch) {
    const auto n = static_cast<int64_t>(tokens.size());
    const MatrixView<int32_t> rows = scratch.host_fixed.slice_rows(0, n);
    for (int64_t r = 0; r < n; ++r) {
        const auto row =
            table_row(weights, tokens[static_cast<size_t>(r)], static_cast<int>(rows.cols));
        std::ranges::transform(row, rows.row(r).begin(),
                               [](int64_t id) { return static_cast<int32_t>(id); });
    }
    if (ops.on_host()) return rows;
    TRY(ops.write(scratch.fixed.data, rows.data,
                  static_cast<size_t>(n * rows.cols) * sizeof(int32_t)));
    return scratch.fixed.slice_rows(0, n);
}

Result<Routing> route(const StepContext& context, const Chunk& chunk, const MoeWeights& weights,
                      MatrixView<const Bf16> x, const MoeScratch& scratch) {
    Ops& ops = context.ops;
    const ModelConfig& config = context.config;
    const int64_t n = chunk.rows();
    Routing out;
    const MatrixView<float> logits = scratch.logits.slice_rows(0, n);
    ops.linear_f32(x, weights.gate, logits);
    out.x8 = first_rows(scratch.x8, n);
    ops.quantise(x, out.x8);
    MatrixView<int32_t> fixed;
    if (!weights.tid2eid.empty()) {
        fixed = TRY(fixed_experts(ops, weights, chunk.tokens, scratch));
    } else {
        const int64_t ranked = std::min(n, kRankedRows);
        out.logits = logits.slice_rows(n - ranked, ranked);
    }
    out.ids = scratch.ids.slice_rows(0, n);
    out.weights = scratch.weights.slice_rows(0, n);
    ops.route(logits, weights.bias, fixed, {config.experts_per_token, config.route_scale}, out.ids,
              out.weights);
    return out;
}

// What the next layer's router says of this layer's input: the streams change little from one to the next. Only for one
// token; a prompt wants nearly every expert anyway.
void ask_next(Ops& ops, MatrixView<const Bf16> x, const Experts& experts, const MoeScratch& scratch,
              Routing& routing) {
    if (experts.next == nullptr || x.rows > 1 || !experts.cache.wants_guess()) return;
    routing.guess = scratch.guess;
    ops.linear_f32(x, experts.next->gate, routing.guess);
}

void guess_next(LayerId layer, MatrixView<const float> logits, const Experts& experts,
                const MoeScratch& scratch) {
    if (logits.rows == 0) return;
    const LayerId next{layer.value + 1};
    // The ranks of this layer have done their work.
    const auto ranks = scratch.ranks.row(0);
    rank_experts(logits.row(0), experts.next->host_bias, {}, ranks);
    size_t count = 0;
    for (size_t rank = 0; rank < scratch.guesses.size(); ++rank) {
        for (size_t e = 0; e < ranks.size() && count < scratch.guesses.size(); ++e) {
            const ExpertId id{static_cast<int32_t>(e)};
            if (ranks[e] != rank) continue;
            if (experts.gpu != nullptr && experts.gpu->has({next, id})) continue;
            scratch.guesses[count++] = id;
        }
    }
    experts.cache.guess(next, scratch.guesses.first(count));
}

// Where all experts stood, of the last rows.
MatrixView<const uint8_t> rank_rows(const MoeWeights& weights, MatrixView<const float> logits,
                                    MatrixView<const int32_t> ids, const MoeScratch& scratch) {
    const int64_t count = std::min(ids.rows, kRankedRows);
    const MatrixView<uint8_t> ranks = scratch.ranks.slice_rows(0, count);
    for (int64_t i = 0; i < count; ++i) {
        const int64_t r = ids.rows - count + i;
        if (weights.tid2eid.empty()) {
            rank_experts(logits.row(i), weights.host_bias, ids.row(r), ranks.row(i));
        } else {
            rank_fixed(ids.row(r), ranks.row(i));
        }
    }
    return ranks;
}

// Both tiers, of what the router decided.
void learn(LayerId layer, MatrixView<const uint8_t> ranks, int32_t chosen, const Experts& experts) {
    experts.cache.observe(layer, ranks, chosen);
    if (experts.gpu != nullptr) experts.gpu->observe(layer, ranks, chosen);
}

// What the host computed to where the ops have it: `count` rows of host_outputs, each to its pair's (`in_order`: they are
// all pairs').
Status place_outputs(Ops& ops, int64_t count, bool in_order, const MoeScratch& scratch,
                     MatrixView<Bf16> outputs) {
    if (ops.on_host()) return {};
    const auto row_bytes = static_cast<size_t>(outputs.cols) * sizeof(Bf16);
    const auto write_rows = [&](MatrixView<Bf16> to, int64_t first) {
        return ops.write(to.data, scratch.host_outputs.row(first).data(),
                         static_cast<size_t>(to.rows) * row_bytes);
    };
    if (in_order) return write_rows(outputs, 0);
    for (int64_t first = 0; first < count; first += kArrivingRows) {
        const int64_t rows = std::min(kArrivingRows, count - first);
        const MatrixView<Bf16> arriving = scratch.arriving.slice_rows(0, rows);
        TRY(write_rows(arriving, first));
        const auto places =
            scratch.placed.subspan(static_cast<size_t>(first), static_cast<size_t>(rows));
        const auto there = scratch.arriving_places.first(places.size());
        TRY(ops.write(there.data(), places.data(), places.size_bytes()));
        ops.place_rows(arriving, there, outputs);
    }
    return {};
}

void run_shared(const StepContext& context, const LinearInput& x, const ExpertWeights& weights,
                const MoeScratch& scratch, MatrixView<Bf16> out) {
    const std::span<int32_t> all = scratch.all_rows.first(static_cast<size_t>(out.rows));
    context.ops.count(all, 0, 1, 1);
    context.ops.expert(x, all, weights, {}, context.config.swiglu_limit, out);
}

// Those of `used` that the GPU does not compute already.
std::span<ExpertId> missing_of(std::span<ExpertId> used, LayerId layer, GpuTier* gpu) {
    if (gpu == nullptr) return used;
    const auto there = std::ranges::remove_if(used, [&](ExpertId id) {
        const bool has = gpu->has({layer, id});
        if (has) gpu->count_hit(layer);
        return has;
    });
    return used.first(used.size() - there.size());
}

}  // namespace

Status go_on(StepWatch* watch, const StepPlace& place) {
    if (watch == nullptr) return {};
    // So short that it is carried up without memory.
    if (watch->cancelled()) return Error{ErrorCode::kCancelled, "it was stopped"};
    watch->reached(place);
    return {};
}

MoeScratch MoeScratch::take(Arenas& arenas, const ModelConfig& config, int64_t chunk_max) {
    const int64_t n = chunk_max;
    const int64_t k = config.experts_per_token;
    const int64_t ranked = std::min(n, kRankedRows);
    Arena& arena = arenas.ops;
    MoeScratch s;
    s.x8 = take_fp8(arena, n, config.hidden);
    s.logits = arena.rows<float>(n, config.experts);
    s.guess = arena.rows<float>(1, config.experts);
    s.fixed = arena.rows<int32_t>(n, k);
    s.ids = arena.rows<int32_t>(n, k);
    s.weights = arena.rows<float>(n, k);
    s.shared = arena.rows<Bf16>(n, config.hidden);
    s.outputs = arena.rows<Bf16>(n * k, config.hidden);
    s.all_rows = arena.list<int32_t>(n);
    if (arenas.apart) {
        const int64_t arriving = std::min(n * k, kArrivingRows);
        s.arriving = arena.rows<Bf16>(arriving, config.hidden);
        s.arriving_places = arena.list<int32_t>(arriving);
    }
    s.host.x = arenas.copy_rows<Bf16>(n, config.hidden);
    s.host.x8 = {arenas.copy_rows<uint8_t>(n, config.hidden),
                 arenas.copy_rows<uint8_t>(n, s.x8.scales.cols)};
    s.host.logits = arenas.copy_rows<float>(ranked, config.experts);
    s.host.guess = arenas.copy_rows<float>(1, config.experts);
    s.host.ids = arenas.copy_rows<int32_t>(n, k);
    s.host.weights = arenas.copy_rows<float>(n, k);
    s.host_fixed = arenas.apart ? arenas.host.rows<int32_t>(n, k) : s.fixed;
    s.host_outputs = arenas.apart ? arenas.host.rows<Bf16>(n * k, config.hidden) : s.outputs;
    Arena& host = arenas.host;
    s.ranks = host.rows<uint8_t>(ranked, config.experts);
    s.expert_rows = host.rows<Bf16>(n, config.hidden);
    s.begin = host.list<int32_t>(config.experts + 1);
    s.pairs = host.list<int32_t>(n * k);
    s.rows = host.list<int32_t>(n * k);
    s.row_weights = host.list<float>(n * k);
    s.home = host.list<int32_t>(n * k);
    s.placed = host.list<int32_t>(n * k);
    s.calls = host.list<ExpertCall>(k);
    s.used = host.list<ExpertId>(config.experts);
    s.guesses = host.list<ExpertId>(k);
    return s;
}

Status run_moe(const StepContext& context, const Chunk& chunk, LayerId layer,
               const MoeWeights& weights, MatrixView<const Bf16> x, const Experts& experts,
               const MoeScratch& scratch, StepObserver* observer, MatrixView<Bf16> y) {
    Ops& ops = context.ops;
    const ModelConfig& config = context.config;
    const int64_t n = chunk.rows();
    GpuTier* const gpu = wants_rows(observer) ? nullptr : experts.gpu;
    begin_part(observer, StepPart::kRouter);
    if (gpu != nullptr) TRY(gpu->begin_layer());
    Routing routing = TRY(route(context, chunk, weights, x, scratch));
    // The host's own guess comes later, when its reads are under way.
    if (!ops.on_host()) ask_next(ops, x, experts, scratch, routing);

    const MatrixView<Bf16> shared = scratch.shared.slice_rows(0, n);
    const auto compute_shared = [&] {
        begin_part(observer, StepPart::kShared);
        run_shared(context, {x, routing.x8}, weights.shared, scratch, shared);
    };
    // The one wait of a layer for a GPU. What it has to do anyway it is told before.
    HostReads reads(ops);
    const MatrixView<int32_t> chosen = reads.add(routing.ids, scratch.host.ids);
    MoeInput input{{}, reads.add(routing.weights, scratch.host.weights), config.swiglu_limit};
    MatrixView<const float> logits = reads.add(routing.logits, scratch.host.logits);
    MatrixView<const float> guess = reads.add(routing.guess, scratch.host.guess);
    if (gpu == nullptr || !gpu->copies(1)) {
        input.x.rows = reads.add(x, scratch.host.x);
        input.x.quantised.codes = reads.add(routing.x8.codes, scratch.host.x8.codes);
        input.x.quantised.scales = reads.add(routing.x8.scales, scratch.host.x8.scales);
    }
    const MatrixView<Bf16> outputs = scratch.outputs.slice_rows(0, n * routing.ids.cols);
    const RoutedRows on_gpu{routing.x8, routing.ids, routing.weights, config.swiglu_limit, outputs};
    TRY(reads.begin());
    if (gpu != nullptr) gpu->compute(layer, on_gpu);
    if (!ops.on_host()) compute_shared();
    if (gpu != nullptr) TRY(gpu->begin_promotions());
    if (!ops.on_host()) begin_part(observer, StepPart::kRouter);
    TRY(reads.end());

    const MatrixView<const uint8_t> ranks = rank_rows(weights, logits, chosen, scratch);
    learn(layer, ranks, config.experts_per_token, experts);
    if (observer != nullptr) {
        observer->routed(layer, chosen, input.weights);
        observer->ranked(layer, ranks);
    }
    const std::span<const ExpertId> used =
        missing_of(group_by_expert(chosen, config.experts, scratch), layer, gpu);
    const RoutedWork work{
        .ops = context.expert_ops,
        .place = {layer.value, config.layer_count(), 0, static_cast<int32_t>(used.size())},
        .experts = experts,
        .input = input,
        .scratch = scratch,
        .observer = observer,
        .gpu = gpu,
        .on_gpu = on_gpu};
    const int64_t by_host = give_homes(work, used);
    TRY(run_routed(work, used, [&]() -> Status {
        begin_part(observer, StepPart::kRouter);
        if (ops.on_host()) {
            ask_next(ops, x, experts, scratch, routing);
            guess = routing.guess;
        }
        guess_next(layer, guess, experts, scratch);
        if (ops.on_host()) compute_shared();
        return {};
    }));
    TRY(place_outputs(ops, by_host, gpu == nullptr, scratch, outputs));
    ops.combine(outputs, routing.ids, shared, y);
    return {};
}

void hint_hash_layer(LayerId layer, const MoeWeights& weights, std::span<const TokenId> tokens,
                     int experts_per_token, const Experts& experts, const MoeScratch& scratch) {
    std::fill(scratch.begin.begin(), scratch.begin.end(), 0);
    size_t used = 0;
    for (const TokenId token : tokens) {
        for (const int64_t id : table_row(weights, token, experts_per_token)) {
            if (scratch.begin[static_cast<size_t>(id)]++ > 0) continue;
            const ExpertId expert{static_cast<int32_t>(id)};
            if (experts.gpu != nullptr && experts.gpu->has({layer, expert})) continue;
            scratch.used[used++] = expert;
        }
    }
    experts.cache.hint(layer, scratch.used.first(used));
}

}  // namespace millrace
