#include "core/engine/runtime.h"

#include <algorithm>
#include <limits>
#include <thread>

#include "core/base/strings.h"
#include "core/engine/kv_cache.h"

namespace millrace {
namespace {

// offload knows bytes, the model knows experts: the engine is where they meet.
ExpertLayout layout_of(const ExpertSource& source) {
    ExpertLayout layout;
    layout.files = source.files();
    layout.layers = source.layers();
    layout.experts = source.experts();
    for (int32_t l = 0; l < source.layers(); ++l) {
        for (int32_t e = 0; e < source.experts(); ++e) {
            const ExpertRecord& record = source.record({LayerId{l}, ExpertId{e}});
            ExpertPlace place;
            place.range_count = record.range_count;
            for (size_t r = 0; r < static_cast<size_t>(record.range_count); ++r) {
                const ByteRange& range = record.ranges[r];
                place.ranges[r] = {range.file, range.offset, range.bytes};
            }
            layout.places.push_back(place);
        }
    }
    return layout;
}

Status check_options(const RuntimeOptions& options, const ModelConfig& config) {
    if (options.ops != "reference") {
        return Error{ErrorCode::kUnsupported,
                     cat("there are no ops called ", quote_text(options.ops),
                         "; this build has: reference")};
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
                         kThreadsMax, ", or 0 for one per core")};
    }
    return {};
}

int thread_count(int wanted) {
    return wanted > 0 ? wanted
                      : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace

struct Runtime::Parts {
    Parts(Checkpoint opened, const RuntimeOptions& chosen)
        : checkpoint(std::move(opened)),
          options(chosen),
          pool(thread_count(chosen.threads)),
          ops(make_reference_ops(pool)) {}

    [[nodiscard]] int32_t draft_blocks() const {
        return checkpoint.experts().layers() - checkpoint.config().layer_count();
    }
    [[nodiscard]] KvLimits kv_limits() const {
        return {options.context_max, options.rollback_tokens};
    }

    Checkpoint checkpoint;
    RuntimeOptions options;
    MemoryPlan plan;
    SystemClock clock;
    Pool pool;
    std::unique_ptr<Ops> ops;
    std::unique_ptr<ExpertCache> cache;
    std::unique_ptr<Step> step;  // last: it refers to all of the above
};

Runtime::Runtime(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Runtime::~Runtime() = default;

Result<std::unique_ptr<Runtime>> Runtime::open(const Path& directory,
                                               const RuntimeOptions& options) {
    Checkpoint checkpoint = TRY(Checkpoint::open(directory));
    TRY(check_options(options, checkpoint.config()));
    auto parts = std::make_unique<Parts>(std::move(checkpoint), options);
    const ModelConfig& config = parts->checkpoint.config();

    ExpertCacheOptions cache;
    cache.ram_budget_bytes = options.ram_budget_bytes != 0 ? options.ram_budget_bytes
                                                           : std::numeric_limits<uint64_t>::max();
    cache.min_slots =
        std::min(config.experts_per_token + 1,
                 static_cast<int32_t>(parts->checkpoint.experts().layers()) * config.experts);
    cache.backend = options.io;
    cache.direct = options.direct_io;
    parts->cache =
        TRY(ExpertCache::create(layout_of(parts->checkpoint.experts()), cache, parts->clock));

    // A drafted block goes through the same scratch, so a chunk is never smaller than that.
    const int64_t chunk = std::max(options.prefill_chunk, config.dspark.block_size);
    const StepLimits limits{chunk, options.context_max};
    parts->step = TRY(Step::create(parts->checkpoint, *parts->ops, *parts->cache, limits));

    const ExpertCacheStats stats = parts->cache->stats();
    parts->plan = {.dense_bytes = parts->checkpoint.dense_bytes(),
                   .expert_bytes = static_cast<uint64_t>(stats.slots) * stats.slot_bytes,
                   .expert_slots = stats.slots,
                   .experts_total = parts->checkpoint.experts().layers() * config.experts,
                   .kv_bytes = KvCache::bytes(config, parts->draft_blocks(), parts->kv_limits()),
                   .scratch_bytes = Step::scratch_bytes(config, limits)};
    return std::unique_ptr<Runtime>(new Runtime(std::move(parts)));
}

const Checkpoint& Runtime::checkpoint() const { return parts_->checkpoint; }
const RuntimeOptions& Runtime::options() const { return parts_->options; }
const MemoryPlan& Runtime::plan() const { return parts_->plan; }
ExpertCacheStats Runtime::expert_stats() const { return parts_->cache->stats(); }
Step& Runtime::step() { return *parts_->step; }

Result<Session> Runtime::new_session() {
    return Session(TRY(KvCache::create(config(), parts_->draft_blocks(), parts_->kv_limits())));
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
    const Status done = parts_->step->forward(session.kv(), tokens, first, wanted, logits);
    session.append(tokens);
    if (!done.ok()) {
        // Some layers have seen the tokens, others have not: take all of them back, or begin anew.
        session.roll_back(session.can_roll_back_to(first) ? first : 0);
    }
    return done;
}

std::string MemoryPlan::text() const {
    const auto line = [](std::string_view what, uint64_t bytes, std::string_view how) {
        std::string name(what);
        name.resize(18, ' ');
        std::string size = human_bytes(bytes);
        size.insert(0, size.size() < 12 ? 12 - size.size() : 0, ' ');
        return cat(name, size, "  ", how, "\n");
    };
    return line("dense weights", dense_bytes, "mapped from the checkpoint") +
           line("expert slots", expert_bytes,
                cat(expert_slots, " slots for ", experts_total, " experts")) +
           line("KV state", kv_bytes, "one session at its longest; taken as it fills") +
           line("activations", scratch_bytes, "one chunk");
}

}  // namespace millrace
