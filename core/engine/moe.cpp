#include "core/engine/moe.h"

#include <algorithm>

#include "core/engine/router_ranks.h"
#include "offload/router_trace.h"

namespace millrace {
namespace {

std::span<const int64_t> table_row(const MoeWeights& weights, TokenId token, int k) {
    return weights.tid2eid.subspan(static_cast<size_t>(token.value) * static_cast<size_t>(k),
                                   static_cast<size_t>(k));
}

// Groups (row, place) pairs by expert, rows ascending; returns the experts used, ascending.
std::span<const ExpertId> group_by_expert(MatrixView<const int32_t> ids, int32_t experts,
                                          const MoeScratch& scratch) {
    std::fill(scratch.begin.begin(), scratch.begin.end(), 0);
    for (int64_t r = 0; r < ids.rows; ++r) {
        for (const int32_t id : ids.row(r)) ++scratch.begin[static_cast<size_t>(id) + 1];
    }
    size_t used = 0;
    for (int32_t e = 0; e < experts; ++e) {
        const auto at = static_cast<size_t>(e);
        if (scratch.begin[at + 1] > 0) scratch.used[used++] = ExpertId{e};
        scratch.begin[at + 1] += scratch.begin[at];
    }
    for (int64_t r = 0; r < ids.rows; ++r) {
        for (int64_t j = 0; j < ids.cols; ++j) {
            const auto e = static_cast<size_t>(ids.row(r)[static_cast<size_t>(j)]);
            scratch.pairs[static_cast<size_t>(scratch.begin[e]++)] =
                static_cast<int32_t>(r * ids.cols + j);
        }
    }
    // Filling moved every start to the next one's: shift back.
    for (auto e = static_cast<size_t>(experts); e > 0; --e) scratch.begin[e] = scratch.begin[e - 1];
    scratch.begin[0] = 0;
    return scratch.used.first(used);
}

struct MoeInput {
    LinearInput x;
    MatrixView<const float> weights;  // [n, k]
    float limit;
};

// One expert on the rows that chose it. A single row goes to its place of scratch.host_outputs at once.
ExpertCall call_of(const ExpertWeights& expert, ExpertId id, const MoeInput& input,
                   const MoeScratch& scratch) {
    const int64_t k = input.weights.cols;
    const auto first = static_cast<size_t>(scratch.begin[static_cast<size_t>(id.value)]);
    const auto end = static_cast<size_t>(scratch.begin[static_cast<size_t>(id.value) + 1]);
    for (size_t i = first; i < end; ++i) {
        const int32_t pair = scratch.pairs[i];
        scratch.rows[i] = static_cast<int32_t>(pair / k);
        scratch.row_weights[i] = input.weights.row(pair / k)[static_cast<size_t>(pair % k)];
    }
    const auto count = static_cast<int64_t>(end - first);
    return {.weights = expert,
            .rows = scratch.rows.subspan(first, end - first),
            .route_weights = scratch.row_weights.subspan(first, end - first),
            .out = count == 1 ? scratch.host_outputs.slice_rows(scratch.pairs[first], 1)
                              : scratch.expert_rows.slice_rows(0, count)};
}

// The rows of an expert that has several into their places of scratch.host_outputs.
void spread(const ExpertCall& call, ExpertId id, const MoeScratch& scratch) {
    const auto first = static_cast<size_t>(scratch.begin[static_cast<size_t>(id.value)]);
    for (int64_t i = 0; i < call.out.rows; ++i) {
        const int32_t pair = scratch.pairs[first + static_cast<size_t>(i)];
        std::ranges::copy(call.out.row(i), scratch.host_outputs.row(pair).begin());
    }
}

// The matrices of an expert that has landed, in the layout that the ops like: they are turned where they lie, once for
// every time that they are read.
ExpertWeights landed_expert(Ops& ops, const ExpertRecord& record, LeaseBatch& batch, size_t i) {
    std::array<const std::byte*, 6> data{};
    for (int32_t r = 0; r < record.range_count; ++r) {
        data[static_cast<size_t>(r)] = batch.data(i, r);
    }
    ExpertWeights expert = record.at(data);
    const bool first = batch.first_use(i);
    const auto turn = [&](LinearWeight& weight, const ExpertPart& part) {
        if (!ops.arranges(weight)) return;
        if (first) {
            const bool scaled = weight.scale_format != ScaleFormat::kNone;
            ops.arrange(
                weight, batch.writable(i, part.codes_range) + part.codes_offset,
                scaled ? batch.writable(i, part.scales_range) + part.scales_offset : nullptr);
        }
        weight.layout = WeightLayout::kStrips;
    };
    turn(expert.w1, record.w1);
    turn(expert.w3, record.w3);
    turn(expert.w2, record.w2);
    return expert;
}

// What a wave needs to know about all waves of its layer.
struct Wave {
    LayerId layer;
    std::span<const ExpertId> ids;
    StepPlace place;  // when it begins
};

// The experts of a batch as they come. Those of one row are gathered as long as more of them are there.
Status run_wave(Ops& ops, LeaseBatch& batch, const Wave& wave, const Experts& experts,
                const MoeInput& input, const MoeScratch& scratch, StepObserver* observer) {
    size_t gathered = 0;
    StepPlace place = wave.place;
    for (;; ++place.experts_done) {
        TRY(go_on(experts.watch, place));
        begin_part(observer, StepPart::kWait);
        const std::optional<size_t> ready = TRY(batch.next());
        begin_part(observer, StepPart::kExperts);
        if (!ready) break;
        const ExpertId id = wave.ids[*ready];
        const ExpertRecord& record = experts.source.record({wave.layer, id});
        const ExpertCall call =
            call_of(landed_expert(ops, record, batch, *ready), id, input, scratch);
        if (observer != nullptr) {
            observer->expert({wave.layer, id}, input.x, call.rows, call.weights,
                             call.route_weights);
        }
        if (call.rows.size() > 1) {
            ops.experts(input.x, {&call, 1}, input.limit);
            spread(call, id, scratch);
        } else {
            scratch.calls[gathered++] = call;
        }
        if (gathered > 0 && (gathered == scratch.calls.size() || !batch.ready())) {
            ops.experts(input.x, scratch.calls.first(gathered), input.limit);
            gathered = 0;
        }
    }
    ENSURE(gathered == 0);
    return {};
}

// Experts in waves of what the slots can hold; `meanwhile` runs once, while the first wave's misses are on their way.
template <class Meanwhile>
Status run_routed(Ops& ops, StepPlace place, std::span<const ExpertId> used, const Experts& experts,
                  const MoeInput& input, const MoeScratch& scratch, StepObserver* observer,
                  const Meanwhile& meanwhile) {
    const LayerId layer{place.layer};
    const auto wave = static_cast<size_t>(experts.cache.max_batch());
    for (size_t first = 0; first < used.size(); first += wave) {
        const auto ids = used.subspan(first, std::min(wave, used.size() - first));
        begin_part(observer, StepPart::kWait);
        LeaseBatch batch = TRY(experts.cache.acquire(layer, ids));
        if (first == 0) TRY(meanwhile());
        place.experts_done = static_cast<int32_t>(first);
        TRY(run_wave(ops, batch, {layer, ids, place}, experts, input, scratch, observer));
    }
    return {};
}

// Where all experts stood, of the last rows.
Result<MatrixView<const uint8_t>> rank_rows(Ops& ops, const MoeWeights& weights,
                                            MatrixView<float> all_logits,
                                            MatrixView<const int32_t> ids,
                                            const MoeScratch& scratch) {
    const int64_t count = std::min(ids.rows, kRankedRows);
    MatrixView<float> logits;
    if (weights.tid2eid.empty()) {
        const MatrixView<float> last = all_logits.slice_rows(ids.rows - count, count);
        logits = TRY(on_host(ops, last, scratch.host.logits));
    }
    const MatrixView<uint8_t> ranks = scratch.ranks.slice_rows(0, count);
    for (int64_t i = 0; i < count; ++i) {
        const int64_t r = ids.rows - count + i;
        if (weights.tid2eid.empty()) {
            rank_experts(logits.row(i), weights.bias, ids.row(r), ranks.row(i));
        } else {
            rank_fixed(ids.row(r), ranks.row(i));
        }
    }
    return MatrixView<const uint8_t>(ranks);
}

// What the next layer's router says of this layer's input: the streams change little from one to the next. Only for one
// token; a prompt wants nearly every expert anyway. Overwrites the scores and ranks of this layer, which have done their
// work.
Status guess_next(Ops& ops, LayerId layer, MatrixView<const Bf16> x, const Experts& experts,
                  const MoeScratch& scratch) {
    if (experts.next == nullptr || x.rows > 1 || !experts.cache.wants_guess()) return {};
    const MatrixView<float> logits = scratch.logits.slice_rows(0, 1);
    ops.linear_f32(x, experts.next->gate, logits);
    const auto ranks = scratch.ranks.row(0);
    const MatrixView<float> seen = TRY(on_host(ops, logits, scratch.host.logits));
    rank_experts(seen.row(0), experts.next->bias, {}, ranks);
    size_t count = 0;
    for (size_t rank = 0; rank < scratch.guesses.size(); ++rank) {
        for (size_t e = 0; e < ranks.size() && count < scratch.guesses.size(); ++e) {
            if (ranks[e] == rank) scratch.guesses[count++] = ExpertId{static_cast<int32_t>(e)};
        }
    }
    experts.cache.guess(LayerId{layer.value + 1}, scratch.guesses.first(count));
    return {};
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
    s.fixed = arena.rows<int32_t>(n, k);
    s.ids = arena.rows<int32_t>(n, k);
    s.weights = arena.rows<float>(n, k);
    s.shared = arena.rows<Bf16>(n, config.hidden);
    s.outputs = arena.rows<Bf16>(n * k, config.hidden);
    s.all_rows = arena.list<int32_t>(n);
    s.host.x = arenas.copy_rows<Bf16>(n, config.hidden);
    s.host.x8 = {arenas.copy_rows<uint8_t>(n, config.hidden),
                 arenas.copy_rows<uint8_t>(n, s.x8.scales.cols)};
    s.host.logits = arenas.copy_rows<float>(ranked, config.experts);
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
    s.calls = host.list<ExpertCall>(k);
    s.used = host.list<ExpertId>(config.experts);
    s.guesses = host.list<ExpertId>(k);
    return s;
}

namespace {

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

// What routed experts are computed from, where they are computed.
Result<LinearInput> expert_input(Ops& ops, MatrixView<const Bf16> x, const Fp8Rows& x8,
                                 const MoeHostRooms& rooms) {
    if (ops.on_host()) return LinearInput{x, x8};
    LinearInput input;
    input.rows = TRY(on_host(ops, x, rooms.x));
    input.quantised.codes = TRY(on_host(ops, x8.codes, rooms.x8.codes));
    input.quantised.scales = TRY(on_host(ops, x8.scales, rooms.x8.scales));
    return input;
}

}  // namespace

Status run_moe(const StepContext& context, const Chunk& chunk, LayerId layer,
               const MoeWeights& weights, MatrixView<const Bf16> x, const Experts& experts,
               const MoeScratch& scratch, StepObserver* observer, MatrixView<Bf16> y) {
    Ops& ops = context.ops;
    const ModelConfig& config = context.config;
    const int64_t n = chunk.rows();
    begin_part(observer, StepPart::kRouter);
    const MatrixView<float> logits = scratch.logits.slice_rows(0, n);
    ops.linear_f32(x, weights.gate, logits);
    const Fp8Rows x8 = first_rows(scratch.x8, n);
    ops.quantise(x, x8);

    MatrixView<int32_t> fixed;
    if (!weights.tid2eid.empty()) {
        fixed = TRY(fixed_experts(ops, weights, chunk.tokens, scratch));
    }
    const MatrixView<int32_t> ids = scratch.ids.slice_rows(0, n);
    const MatrixView<float> route_weights = scratch.weights.slice_rows(0, n);
    ops.route(logits, weights.bias, fixed, {config.experts_per_token, config.route_scale}, ids,
              route_weights);
    const MatrixView<int32_t> chosen = TRY(on_host(ops, ids, scratch.host.ids));
    const MatrixView<float> chosen_weights = TRY(on_host(ops, route_weights, scratch.host.weights));
    const MatrixView<const uint8_t> ranks = TRY(rank_rows(ops, weights, logits, chosen, scratch));
    experts.cache.observe(layer, ranks, config.experts_per_token);
    if (observer != nullptr) {
        observer->routed(layer, chosen, chosen_weights);
        observer->ranked(layer, ranks);
    }

    const LinearInput expert_x = TRY(expert_input(ops, x, x8, scratch.host));
    const MoeInput input{expert_x, chosen_weights, config.swiglu_limit};
    const MatrixView<Bf16> shared = scratch.shared.slice_rows(0, n);
    const auto run_shared = [&]() -> Status {
        begin_part(observer, StepPart::kRouter);
        TRY(guess_next(ops, layer, x, experts, scratch));
        begin_part(observer, StepPart::kShared);
        const std::span<int32_t> all = scratch.all_rows.first(static_cast<size_t>(n));
        ops.count(all, 0, 1, 1);
        ops.expert({x, x8}, all, weights.shared, {}, input.limit, shared);
        return {};
    };
    const std::span<const ExpertId> used = group_by_expert(chosen, config.experts, scratch);
    const StepPlace place{layer.value, config.layer_count(), 0, static_cast<int32_t>(used.size())};
    TRY(run_routed(context.expert_ops, place, used, experts, input, scratch, observer, run_shared));
    const MatrixView<Bf16> outputs = scratch.outputs.slice_rows(0, n * ids.cols);
    if (!ops.on_host()) {
        TRY(ops.write(outputs.data, scratch.host_outputs.data,
                      static_cast<size_t>(outputs.rows * outputs.cols) * sizeof(Bf16)));
    }
    ops.combine(outputs, ids, shared, y);
    return {};
}

void hint_hash_layer(LayerId layer, const MoeWeights& weights, std::span<const TokenId> tokens,
                     int experts_per_token, const Experts& experts, const MoeScratch& scratch) {
    std::fill(scratch.begin.begin(), scratch.begin.end(), 0);
    size_t used = 0;
    for (const TokenId token : tokens) {
        for (const int64_t id : table_row(weights, token, experts_per_token)) {
            if (scratch.begin[static_cast<size_t>(id)]++ == 0) {
                scratch.used[used++] = ExpertId{static_cast<int32_t>(id)};
            }
        }
    }
    experts.cache.hint(layer, scratch.used.first(used));
}

}  // namespace millrace
