#include "core/engine/moe.h"

#include <algorithm>

#include "core/engine/routed.h"
#include "core/engine/router_ranks.h"
#include "core/engine/step_recordings.h"
#include "offload/router_trace.h"

namespace millrace {
namespace {

// So many rows at a time go to their places on a GPU: a row is some kilobytes.
constexpr int64_t kArrivingRows = 512;

std::span<const int64_t> table_row(const MoeWeights& weights, TokenId token, int k) {
    return weights.tid2eid.subspan(static_cast<size_t>(token.value) * static_cast<size_t>(k),
                                   static_cast<size_t>(k));
}

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

// The first `n` rows of those of a chunk.
MoeRows first_rows(const MoeRows& all, int64_t n) {
    return {all.guess,
            all.logits.slice_rows(0, n),
            all.ids.slice_rows(0, n),
            all.weights.slice_rows(0, n),
            first_rows(all.x8, n),
            all.x};
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

MoeRows MoeRows::take(Arena& arena, const ModelConfig& config, const MoeRowCounts& counts) {
    const int64_t n = counts.rows, k = config.experts_per_token;
    MoeRows r;
    r.guess = arena.rows<float>(1, config.experts);
    r.logits = arena.rows<float>(counts.logits, config.experts);
    r.ids = arena.rows<int32_t>(n, k);
    r.weights = arena.rows<float>(n, k);
    r.x8 = take_fp8(arena, n, config.hidden);
    r.x = arena.rows<Bf16>(counts.inputs, config.hidden);
    return r;
}

MoeScratch MoeScratch::take(Arenas& arenas, const ModelConfig& config, int64_t chunk_max) {
    const int64_t n = chunk_max;
    const int64_t k = config.experts_per_token;
    const int64_t ranked = std::min(n, kRankedRows);
    Arena& arena = arenas.ops;
    MoeScratch s;
    s.chunk = MoeRows::take(arena, config, {.rows = n, .logits = n, .inputs = 0});
    s.one = MoeRows::take(arena, config, {.rows = 1, .logits = 1, .inputs = 1});
    s.pinned = arenas.pinned;
    s.fixed = arena.rows<int32_t>(n, k);
    s.shared = arena.rows<Bf16>(n, config.hidden);
    s.outputs = arena.rows<Bf16>(n * k, config.hidden);
    s.all_rows = arena.list<int32_t>(n);
    if (arenas.apart) {
        const int64_t arriving = std::min(n * k, kArrivingRows);
        s.arriving = arena.rows<Bf16>(arriving, config.hidden);
        s.arriving_places = arena.list<int32_t>(arriving);
    }
    if (arenas.apart) {
        s.host = MoeRows::take(arenas.host, config, {.rows = n, .logits = ranked, .inputs = n});
        s.host_one = MoeRows::take(arenas.host, config, {.rows = 1, .logits = 1, .inputs = 1});
    }
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

MoeHalf::MoeHalf(const MoeCall& call)
    : call_(call),
      ops_(call.context.ops),
      gpu_(wants_rows(call.observer) ? nullptr : call.experts.gpu),
      single_(call.chunk.rows() == 1),
      of_(single_ ? call.scratch.one : first_rows(call.scratch.chunk, call.chunk.rows())),
      reads_(ops_) {}

Status MoeHalf::prepare() {
    const MoeScratch& scratch = call_.scratch;
    const MoeRows& host = single_ ? scratch.host_one : scratch.host;
    const int64_t n = call_.chunk.rows(), ranked = std::min(n, kRankedRows);
    const bool by_table = !call_.weights.tid2eid.empty();
    if (by_table) fixed_ = TRY(fixed_experts(ops_, call_.weights, call_.chunk.tokens, scratch));
    // The host's own guess comes later, when its reads are under way.
    if (!ops_.on_host()) decide_guess();
    host_guess_ = reads_.add(guess_, host.guess);
    if (!by_table) logits_ = reads_.add(of_.logits.slice_rows(n - ranked, ranked), host.logits);
    chosen_ = reads_.add(of_.ids, host.ids);
    input_ = {{}, reads_.add(of_.weights, host.weights), call_.context.config.swiglu_limit};
    if (gpu_ == nullptr || !gpu_->copies(1)) {
        input_.x.quantised.codes = reads_.add(of_.x8.codes, host.x8.codes);
        input_.x.quantised.scales = reads_.add(of_.x8.scales, host.x8.scales);
        input_.x.rows = reads_.add(call_.x, host.x);
    }
    on_gpu_ = {of_.x8, of_.ids, of_.weights, input_.limit,
               scratch.outputs.slice_rows(0, n * of_.ids.cols)};
    return {};
}

// Only for one token; a prompt wants nearly every expert anyway.
void MoeHalf::decide_guess() {
    const Experts& experts = call_.experts;
    if (experts.next != nullptr && single_ && experts.cache.wants_guess()) guess_ = of_.guess;
}

// What the next layer's router says of this layer's input: the streams change little from one to the next.
void MoeHalf::ask_next() {
    if (guesses()) ops_.linear_f32(call_.x, call_.experts.next->gate, guess_);
}

Status MoeHalf::choose() {
    const ModelConfig& config = call_.context.config;
    begin_part(call_.observer, StepPart::kRouter);
    ops_.linear_f32(call_.x, call_.weights.gate, of_.logits);
    ops_.quantise(call_.x, of_.x8);
    ops_.route(of_.logits, call_.weights.bias, fixed_,
               {config.experts_per_token, config.route_scale}, of_.ids, of_.weights);
    ask_next();
    return sends() ? reads_.begin() : Status();
}

void MoeHalf::compute_shared() {
    begin_part(call_.observer, StepPart::kShared);
    const int64_t n = call_.chunk.rows();
    call_.context.ops.expert({call_.x, of_.x8},
                             call_.scratch.all_rows.first(static_cast<size_t>(n)),
                             call_.weights.shared, {}, call_.context.config.swiglu_limit,
                             call_.scratch.shared.slice_rows(0, n));
}

// The one wait of a layer for a GPU is for what choose() asked. What it has to do anyway it is told before.
Status MoeHalf::begin_compute() {
    TRY(sends() ? reads_.begin_again() : reads_.begin());
    if (gpu_ != nullptr) TRY(gpu_->begin_layer());
    const RecordingKey key{call_.layer, RecordedPart::kExperts};
    TRY(run_part(call_.chunk.recordings, ops_, key, [&]() -> Status {
        if (gpu_ != nullptr) gpu_->compute(call_.layer, on_gpu_);
        compute_shared();
        return {};
    }));
    if (gpu_ != nullptr) TRY(gpu_->begin_promotions());
    // What most of the wait is for.
    begin_part(call_.observer,
               call_.chunk.recordings != nullptr ? StepPart::kProjections : StepPart::kRouter);
    return reads_.end();
}

Status MoeHalf::compute() {
    const auto& [context, chunk, layer, weights, x, experts, scratch, observer] = call_;
    const ModelConfig& config = context.config;
    if (!ops_.on_host()) TRY(begin_compute());
    const MatrixView<const uint8_t> ranks = rank_rows(weights, logits_, chosen_, scratch);
    learn(layer, ranks, config.experts_per_token, experts);
    if (observer != nullptr) {
        observer->routed(layer, chosen_, input_.weights);
        observer->ranked(layer, ranks);
    }
    const std::span<const ExpertId> used =
        missing_of(group_by_expert(chosen_, config.experts, scratch), layer, gpu_);
    const RoutedWork work{
        .ops = context.expert_ops,
        .place = {layer.value, config.layer_count(), 0, static_cast<int32_t>(used.size())},
        .experts = experts,
        .input = input_,
        .scratch = scratch,
        .observer = observer,
        .gpu = gpu_,
        .on_gpu = on_gpu_};
    const int64_t by_host = give_homes(work, used);
    TRY(run_routed(work, used, [&]() -> Status {
        begin_part(call_.observer, StepPart::kRouter);
        if (ops_.on_host()) {
            decide_guess();
            ask_next();
            host_guess_ = guess_;
        }
        guess_next(call_.layer, host_guess_, call_.experts, call_.scratch);
        if (ops_.on_host()) compute_shared();
        return {};
    }));
    return place_outputs(ops_, by_host, gpu_ == nullptr, scratch, on_gpu_.out);
}

void MoeHalf::sum(const StepContext& context, const MoeScratch& scratch, MatrixView<Bf16> y) {
    const int64_t n = y.rows;
    const MatrixView<int32_t> ids = (n == 1 ? scratch.one : scratch.chunk).ids.slice_rows(0, n);
    context.ops.combine(scratch.outputs.slice_rows(0, n * ids.cols), ids,
                        scratch.shared.slice_rows(0, n), y);
}

Status run_moe(const MoeCall& call, MatrixView<Bf16> y) {
    MoeHalf half(call);
    TRY(half.prepare());
    TRY(half.choose());
    TRY(half.compute());
    MoeHalf::sum(call.context, call.scratch, y);
    return {};
}

MatrixView<Bf16> moe_input(const MoeScratch& scratch, MatrixView<Bf16> rows) {
    return rows.rows == 1 ? scratch.one.x : rows;
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
