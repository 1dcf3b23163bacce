#include "core/engine/draft.h"

#include <algorithm>

namespace millrace {
namespace {

// A row of a table that lies in the host's memory, to the ops'.
Status copy_table_row(Ops& ops, const LinearWeight& table, TokenId token, std::span<Bf16> out) {
    ENSURE(table.format == WeightFormat::kBf16 && token.value >= 0 && token.value < table.rows);
    return ops.write(out.data(), table.codes + static_cast<size_t>(token.value) * out.size_bytes(),
                     out.size_bytes());
}

}  // namespace
Result<std::unique_ptr<MtpDrafter>> MtpDrafter::create(Step& step) {
    std::unique_ptr<MtpDrafter> drafter(new MtpDrafter(step));
    const int64_t n = step.limits().chunk_max;
    const int64_t d = step.checkpoint().config().hidden;
    const auto lay_out = [&](Arenas& arenas) {
        Arena& arena = arenas.ops;
        drafter->embedded_ = arena.rows<Bf16>(n, kStreams * d);
        drafter->e_ = arena.rows<Bf16>(n, d);
        drafter->h_ = arena.rows<Bf16>(n, kStreams * d);
        drafter->x8_ = take_fp8(arena, kStreams * n, d);
    };
    drafter->memory_ = TRY(ScratchMemory::create(step.context().ops, HugePages::kNo, lay_out));
    return drafter;
}

Status MtpDrafter::logits(size_t block, MatrixView<Bf16> trunk_streams,
                          std::span<const TokenId> next_tokens, int64_t first, LayerKv& kv,
                          MatrixView<float> logits) {
    const ModelWeights& model = step_.checkpoint().weights();
    const ModelConfig& config = step_.checkpoint().config();
    ENSURE(block < model.mtp.size() &&
           trunk_streams.rows == static_cast<int64_t>(next_tokens.size()));
    const MtpWeights& weights = model.mtp[block];
    Ops& ops = step_.context().ops;
    const int64_t n = trunk_streams.rows;
    const int64_t d = config.hidden;

    const MatrixView<Bf16> embedded = embedded_.slice_rows(0, n);
    TRY(step_.embed(next_tokens, embedded));
    const MatrixView<Bf16> e = e_.slice_rows(0, n);
    ops.rms_norm(MatrixView<const Bf16>(embedded.data, n, d, embedded.stride), weights.enorm,
                 config.norm_eps, e);
    ops.quantise(e, first_rows(x8_, n));
    ops.linear({e, first_rows(x8_, n)}, weights.e_proj, e);

    // Every stream is a row of its own for the norm and the projection.
    const MatrixView<Bf16> each(trunk_streams.data, n * kStreams, d);
    const MatrixView<Bf16> h(h_.data, n * kStreams, d);
    ops.rms_norm(each, weights.hnorm, config.norm_eps, h);
    ops.quantise(h, first_rows(x8_, h.rows));
    ops.linear({h, first_rows(x8_, h.rows)}, weights.h_proj, h);
    ops.add(e, MatrixView<const Bf16>(h_.data, n, kStreams * d), kStreams, trunk_streams);

    const LayerId layer{config.layer_count() + static_cast<int32_t>(block)};
    const Chunk chunk = step_.chunk_of(next_tokens, first);
    TRY(step_.run_layer(chunk, layer, weights.block, kv, trunk_streams));
    return step_.logits_of(trunk_streams, weights.head, logits);
}

Result<std::unique_ptr<DsparkDrafter>> DsparkDrafter::create(Step& step) {
    std::unique_ptr<DsparkDrafter> drafter(new DsparkDrafter(step));
    const ModelConfig& config = step.checkpoint().config();
    const int64_t n = step.limits().chunk_max;
    const int64_t d = config.hidden;
    const int64_t block = config.dspark.block_size;
    ENSURE(block <= n);
    const auto lay_out = [&](Arenas& arenas) {
        Arena& arena = arenas.ops;
        const int64_t targets = static_cast<int64_t>(config.dspark.target_layers.size());
        drafter->hidden8_ = take_fp8(arena, n, targets * d);
        drafter->main_x_ = arena.rows<Bf16>(n, d);
        drafter->main_x8_ = take_fp8(arena, n, d);
        drafter->rows_ = arena.list<KvRow>(n);
        drafter->streams_ = arena.rows<Bf16>(block, kStreams * d);
        drafter->confidence_x_ = arena.rows<Bf16>(1, d + config.dspark.markov_rank);
        drafter->markov_ = arenas.host.rows<float>(1, config.vocabulary);
        drafter->positions_ = arena.list<int32_t>(n);
    };
    drafter->memory_ = TRY(ScratchMemory::create(step.context().ops, HugePages::kNo, lay_out));
    return drafter;
}

const DsparkWeights& DsparkDrafter::weights() const { return *step_.checkpoint().weights().dspark; }

LayerId DsparkDrafter::stage_layer(size_t stage) const {
    return LayerId{step_.checkpoint().config().layer_count() + static_cast<int32_t>(stage)};
}

void DsparkDrafter::commit(MatrixView<const Bf16> main_hidden, int64_t first, KvCache& kv) {
    const StepContext context = step_.context();
    const int64_t n = main_hidden.rows;
    const std::span<int32_t> positions = positions_.first(static_cast<size_t>(n));
    context.ops.count(positions, first, 1, 1);

    const Fp8Rows hidden8 = first_rows(hidden8_, n);
    const MatrixView<Bf16> main_x = main_x_.slice_rows(0, n);
    context.ops.quantise(main_hidden, hidden8);
    context.ops.linear({main_hidden, hidden8}, weights().main_proj, main_x);
    context.ops.rms_norm(main_x, weights().main_norm, context.config.norm_eps, main_x);
    const Fp8Rows main_x8 = first_rows(main_x8_, n);
    context.ops.quantise(main_x, main_x8);
    for (size_t stage = 0; stage < weights().stages.size(); ++stage) {
        const auto rows = rows_.first(static_cast<size_t>(n));
        project_kv(context, weights().stages[stage].attention, {main_x, main_x8}, positions,
                   context.rope.plain, step_.block_scratch().attention, rows);
        kv.layer(stage_layer(stage))
            .window.keep(context.ops, positions.data(), MatrixView<const KvRow>(rows.data(), n, 1));
    }
}

// Every query of the block sees the committed window and the whole block, also what comes after it.
void DsparkDrafter::attend_block(const BlockWeights& stage, const Chunk& chunk, LayerKv& kv,
                                 MatrixView<const Bf16> x, MatrixView<Bf16> y) {
    const StepContext context = step_.context();
    const AttentionScratch& scratch = step_.block_scratch().attention;
    const RopeTable& rope = context.rope.plain;
    const auto n = static_cast<size_t>(chunk.rows());
    project_q(context, stage.attention, x, chunk.positions, rope, scratch);
    project_kv(context, stage.attention, {x, first_rows(scratch.x8, x.rows)}, chunk.positions, rope,
               scratch, rows_.first(n));
    const KeyLists keys = context.ops.list_keys({.ring = kv.window.data(),
                                                 .capacity = kv.window.capacity(),
                                                 .chunk = rows_.data(),
                                                 .first = chunk.positions.data(),
                                                 .limit = chunk.limit,
                                                 .window = context.config.window,
                                                 .whole_chunk = true,
                                                 .entries = nullptr,
                                                 .picks = {},
                                                 .ratio = 0},
                                                scratch.key_rows, scratch.keys.first(n));
    attend_and_project(context, stage.attention, chunk.positions, rope, keys, scratch,
                       step_.observer(), y);
}

Result<DsparkDrafter::Draft> DsparkDrafter::draft(int64_t last, TokenId next, KvCache& kv,
                                                  MatrixView<float> logits) {
    const StepContext context = step_.context();
    const DsparkConfig& config = context.config.dspark;
    const auto block = static_cast<size_t>(config.block_size);
    std::vector<TokenId> ids(block, TokenId{config.noise_token});
    ids[0] = next;
    TRY(step_.embed(ids, streams_));
    const Chunk chunk = step_.chunk_of(ids, last + 1);
    for (size_t i = 0; i < weights().stages.size(); ++i) {
        const BlockWeights& stage = weights().stages[i];
        LayerKv& window = kv.layer(stage_layer(i));
        const Experts experts = step_.experts();
        TRY(run_half(context, stage.hc_attn, stage.attn_norm, streams_, step_.block_scratch(),
                     step_.observer(), [&](MatrixView<Bf16> x, MatrixView<Bf16> y) -> Status {
                         attend_block(stage, chunk, window, x, y);
                         return {};
                     }));
        TRY(run_half(context, stage.hc_ffn, stage.ffn_norm, streams_, step_.block_scratch(),
                     step_.observer(), [&](MatrixView<Bf16> x, MatrixView<Bf16> y) -> Status {
                         return run_moe({context, chunk, stage_layer(i), stage.moe, x, experts,
                                         step_.block_scratch().moe, step_.observer()},
                                        y);
                     }));
    }
    const MatrixView<Bf16> z = step_.reduce_head(streams_, weights().head);
    TRY(step_.project_head(z, weights().head, logits));

    Draft draft{{next}, {}};
    for (int64_t i = 0; i < config.block_size; ++i) {
        const MatrixView<Bf16> previous(confidence_x_.data + z.cols, 1, config.markov_rank);
        TRY(copy_table_row(context.ops, weights().markov_w1, draft.tokens.back(), previous.row(0)));
        TRY(step_.project(previous, weights().markov_w2, markov_));
        const auto row = logits.row(i);
        for (size_t v = 0; v < row.size(); ++v) row[v] += markov_.row(0)[v];
        const auto best = std::ranges::max_element(row) - row.begin();
        context.ops.copy(confidence_x_.data, z.row(i).data(), z.row(i).size_bytes());
        float confidence = 0;
        TRY(step_.project(confidence_x_, weights().confidence, {&confidence, 1, 1}));
        draft.confidence.push_back(confidence);
        draft.tokens.push_back(TokenId{static_cast<int32_t>(best)});
    }
    return draft;
}

}  // namespace millrace
