#include "core/engine/runtime.h"

#include <malloc.h>

#include <algorithm>
#include <limits>

#include "core/base/machine.h"
#include "core/base/strings.h"
#include "core/engine/gpu_stages.h"
#include "core/engine/kv_cache.h"

namespace millrace {
namespace {

Status check_options(const RuntimeOptions& options, const ModelConfig& config) {
    if (options.ops != "cpu" && options.ops != "reference" && options.ops != "cuda") {
        return Error{ErrorCode::kUnsupported,
                     cat("there are no ops called ", quote_text(options.ops),
                         "; there are cpu, reference and cuda")};
    }
    if (options.ops != "reference" && !isa_available(options.cpu.isa)) {
        return Error{ErrorCode::kUnsupported,
                     cat("this processor cannot run ", isa_name(options.cpu.isa),
                         "; the best it has is ", isa_name(best_isa()), " (--isa)")};
    }
    if (options.context_max < 1 || options.context_max > config.context_max) {
        return Error{ErrorCode::kInvalid,
                     cat("a context of ", options.context_max,
                         " tokens was asked for; this model allows 1 to ", config.context_max)};
    }
    constexpr int32_t kChunkMax = 65536;
    if (options.prefill_chunk < 1 || options.prefill_chunk > kChunkMax) {
        return Error{ErrorCode::kInvalid,
                     cat("a prefill chunk of ", options.prefill_chunk,
                         " tokens was asked for; possible are 1 to ", kChunkMax)};
    }
    constexpr int kThreadsMax = 1024;
    if (options.threads < 0 || options.threads > kThreadsMax) {
        return Error{ErrorCode::kInvalid,
                     cat(options.threads, " threads were asked for; possible are 1 to ",
                         kThreadsMax, ", or 0 for one for every CPU")};
    }
    return {};
}

// Of what a token looks up a row of.
uint64_t table_bytes(const ModelWeights& weights) {
    auto bytes = static_cast<uint64_t>(weights.embed.rows * weight_row_bytes(weights.embed));
    for (const BlockWeights& block : weights.layers) bytes += block.moe.tid2eid.size_bytes();
    return bytes;
}

std::unique_ptr<Ops> make_host_ops(Pool& pool, const RuntimeOptions& options) {
    return options.ops == "reference" ? make_reference_ops(pool) : make_cpu_ops(pool, options.cpu);
}

}  // namespace

ExpertLayout expert_layout(const ExpertSource& source) {
    ExpertLayout layout;
    layout.files = source.files();
    layout.layers = source.layers();
    layout.experts = source.experts();
    for (int32_t l = 0; l < source.layers(); ++l) {
        for (int32_t e = 0; e < source.experts(); ++e) {
            const ExpertRecord& record = source.record({LayerId{l}, ExpertId{e}});
            ExpertPlace place;
            place.range_count = record.range_count;
            place.checksum = record.checksum;
            for (size_t r = 0; r < static_cast<size_t>(record.range_count); ++r) {
                const ByteRange& range = record.ranges[r];
                place.ranges[r] = {range.file, range.offset, range.bytes};
            }
            layout.places.push_back(place);
        }
    }
    return layout;
}

struct Runtime::Parts {
    Parts(const Path& from, Checkpoint opened, const RuntimeOptions& chosen)
        : directory(from),
          checkpoint(std::move(opened)),
          options(chosen),
          pool(chosen.threads > 0 ? chosen.threads : usable_threads(), chosen.pinning),
          host_ops(make_host_ops(pool, chosen)) {}

    [[nodiscard]] bool on_gpus() const { return gpus != nullptr && !gpu_lost; }
    [[nodiscard]] StepOps step_ops() {
        if (on_gpus()) return {gpus->stages(), *host_ops};
        const StepStage all{host_ops.get(), nullptr, checkpoint.config().layer_count()};
        return {{all}, *host_ops};
    }
    // Of each layer, the trunk's and the draft blocks'.
    [[nodiscard]] std::vector<Ops*> layer_ops() {
        if (on_gpus()) return gpus->layer_ops(checkpoint.experts());
        return std::vector<Ops*>(static_cast<size_t>(checkpoint.experts().layers()),
                                 host_ops.get());
    }
    [[nodiscard]] OpsSizes gpu_sizes() const {
        const ModelConfig& config = checkpoint.config();
        return {.rows = step_limits().chunk_max * kStreams,
                .hidden = config.hidden,
                .inner = config.expert_inner,
                .heads = config.heads,
                .keys = config.window + step_limits().chunk_max +
                        std::max<int64_t>(config.index_topk, options.context_max / 128 + 1),
                .entries = options.context_max / 4 + 1,
                .picks = config.index_topk,
                .vocabulary = config.vocabulary};
    }
    [[nodiscard]] int64_t pairs() const {
        return step_limits().chunk_max * checkpoint.config().experts_per_token;
    }
    // Ops of GPUs, the dense weights and the experts in their memory.
    [[nodiscard]] Status move_to_gpus(const OpenWatch& watch) {
        gpus = TRY(GpuStages::open(plan.gpus, options.gpu.misses,
                                   {checkpoint, gpu_sizes(), pairs(), *host_ops, *cache, clock},
                                   watch));
        plan = with_shares(std::move(plan), gpus->shares());
        gpu_counts = gpus->counts();
        return {};
    }

    [[nodiscard]] KvLimits kv_limits() const {
        return {options.context_max, options.rollback_tokens, step_limits().chunk_max};
    }
    [[nodiscard]] StepLimits step_limits() const {
        // A drafted block goes through the same scratch, so a chunk is never smaller than that.
        return {std::max(options.prefill_chunk, checkpoint.config().dspark.block_size),
                options.context_max};
    }
    [[nodiscard]] int32_t experts_total() const {
        return checkpoint.experts().layers() * checkpoint.config().experts;
    }
    [[nodiscard]] int32_t slots_min() const {
        return std::min(checkpoint.config().experts_per_token + 1, experts_total());
    }
    [[nodiscard]] uint64_t budget_bytes() const {
        return options.ram_budget_bytes != 0 ? options.ram_budget_bytes
                                             : std::numeric_limits<uint64_t>::max();
    }
    [[nodiscard]] Result<MemoryPlan> make_plan(const ExpertLayout& layout) {
        const uint64_t tables = table_bytes(checkpoint.weights());
        MemoryWishes wishes{.dense_bytes = checkpoint.dense_bytes() - tables,
                            .table_bytes = tables,
                            .slot_bytes = layout.slot_bytes(),
                            .routed_layers = checkpoint.experts().layers(),
                            .budget_bytes = budget_bytes(),
                            .context_max = options.context_max,
                            .rollback_tokens = options.rollback_tokens,
                            .prefill_chunk = options.prefill_chunk};
        if (options.ops != "cuda") return plan_memory(checkpoint.config(), wishes);
        wishes.on_gpu = true;
        std::vector<GpuShare> shares = TRY(split_model(
            options.gpu, checkpoint, {gpu_sizes(), step_limits(), kv_limits(), pairs()}));
        TRY(check_gpus(shares));
        return with_shares(plan_memory(checkpoint.config(), wishes), std::move(shares));
    }

    const Path directory;
    Checkpoint checkpoint;
    RuntimeOptions options;
    MemoryPlan plan;
    SystemClock clock;
    Pool pool;
    std::unique_ptr<Ops> host_ops;
    PageBuffer dense;  // arranged copies of dense weights
    std::unique_ptr<ExpertCache> cache;
    std::unique_ptr<GpuStages> gpus;  // null without any
    bool gpu_lost = false;            // one stopped working: sessions still refer to them
    std::vector<std::shared_ptr<const GpuTierCounts>> gpu_counts;
    std::unique_ptr<Step> step;  // last: it refers to all of the above
};

Runtime::Runtime(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Runtime::~Runtime() = default;

Result<std::unique_ptr<Runtime>> Runtime::open(const Path& directory, const RuntimeOptions& options,
                                               const OpenWatch& watch) {
    Checkpoint opened = TRY(Checkpoint::open(directory));
    TRY(check_options(options, opened.config()));
    // Reading the headers of the shards took memory that nobody needs any more and nobody has planned.
    ::malloc_trim(0);
    auto parts = std::make_unique<Parts>(directory, std::move(opened), options);
    const ExpertLayout layout = expert_layout(parts->checkpoint.experts());
    parts->plan = TRY(parts->make_plan(layout));
    TRY(check_limit(parts->plan, parts->slots_min(), group_limits().memory_bytes));

    ExpertCacheOptions cache;
    cache.ram_budget_bytes = parts->budget_bytes();
    cache.min_slots = parts->slots_min();
    cache.backend = options.io;
    cache.direct = options.direct_io;
    parts->cache = TRY(ExpertCache::create(layout, cache, parts->clock));
    ENSURE(parts->cache->slots() == parts->plan.expert_slots);
    if (options.ops == "cuda") {
        TRY(parts->move_to_gpus(watch));
    } else {
        parts->dense = TRY(arrange_dense_weights(parts->checkpoint, *parts->host_ops,
                                                 machine_memory().available_bytes, watch));
    }
    parts->step = TRY(
        Step::create(parts->checkpoint, parts->step_ops(), *parts->cache, parts->step_limits()));
    return std::unique_ptr<Runtime>(new Runtime(std::move(parts)));
}

const Checkpoint& Runtime::checkpoint() const { return parts_->checkpoint; }
const RuntimeOptions& Runtime::options() const { return parts_->options; }
const MemoryPlan& Runtime::plan() const { return parts_->plan; }
ExpertCacheStats Runtime::expert_stats() const { return parts_->cache->stats(); }
ExpertPulse Runtime::expert_pulse() const { return parts_->cache->pulse(); }
std::optional<GpuTierStats> Runtime::gpu_stats() const {
    if (parts_->gpu_counts.empty()) return std::nullopt;
    GpuTierStats sum;
    for (const auto& counts : parts_->gpu_counts) sum += counts->stats();
    return sum;
}
Step& Runtime::step() { return *parts_->step; }

Result<Session> Runtime::new_session() {
    while (true) {
        Ops* full = nullptr;
        auto kv = KvCache::create(parts_->layer_ops(), config(), parts_->kv_limits(), &full);
        if (kv.ok()) return Session(*std::move(kv));
        if (kv.error().code != ErrorCode::kCapacity || full == nullptr || !parts_->on_gpus())
            return kv.error();
        if (!TRY(parts_->gpus->shrink(*full))) return kv.error();
    }
}

Status Runtime::continue_on_cpu() {
    Parts& parts = *parts_;
    StepObserver* const observer = parts.step->observer();
    parts.step.reset();
    parts.gpus->lose();
    parts.gpu_lost = true;
    // The weights that were copied to the GPU, as the files have them.
    parts.checkpoint = TRY(Checkpoint::open(parts.directory));
    parts.dense = TRY(
        arrange_dense_weights(parts.checkpoint, *parts.host_ops, machine_memory().available_bytes));
    parts.step =
        TRY(Step::create(parts.checkpoint, parts.step_ops(), *parts.cache, parts.step_limits()));
    parts.step->observe(observer);
    return {};
}

Status Runtime::forward(Session& session, std::span<const TokenId> tokens, LogitsWanted wanted,
                        MatrixView<float> logits) {
    const int64_t first = session.length();
    const auto n = static_cast<int64_t>(tokens.size());
    if (first + n > session.context_max()) {
        return Error{
            ErrorCode::kCapacity,
            cat(first, " tokens and ", n, " more do not fit the context of ", session.context_max(),
                "; start a new conversation or raise "
                "--context")};
    }
    // What rolling back cannot bring back is put aside. Nothing is lost with a chunk that begins an empty sequence.
    KvCache& kv = session.kv();
    const bool aside = first > 0 && n > kv.limits().rollback_max;
    if (aside) kv.save(first, n);
    const Status done = parts_->step->forward(kv, tokens, first, wanted, logits);
    if (done.ok()) {
        session.append(tokens);
    } else if (aside) {
        kv.restore(first, n);
    } else {
        // Some layers have seen the tokens, others have not: all of them are taken back.
        session.append(tokens);
        session.roll_back(first);
    }
    return done;
}

}  // namespace millrace
