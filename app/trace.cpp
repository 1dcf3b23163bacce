#include <algorithm>

#include "app/composition.h"
#include "app/eval_texts.h"
#include "app/verbs.h"
#include "core/base/clock.h"
#include "core/base/strings.h"
#include "core/engine/observer.h"
#include "offload/router_trace.h"

namespace millrace {
namespace {

TraceShape shape_of(const Checkpoint& checkpoint) {
    const ModelConfig& config = checkpoint.config();
    TraceShape shape{config.layer_count(), config.experts, config.experts_per_token, {}};
    for (const BlockWeights& block : checkpoint.weights().layers) {
        shape.fixed.push_back(block.moe.tid2eid.empty() ? 0 : 1);
    }
    return shape;
}

class Recorder final : public StepObserver {
public:
    explicit Recorder(RouterTrace& trace) : trace_(trace) {}
    void routed(LayerId, MatrixView<const int32_t> ids, MatrixView<const float>) override {
        ids_ = ids;
    }
    void ranked(LayerId layer, MatrixView<const uint8_t> ranks) override {
        trace_.add(layer, ids_, ranks);
    }

private:
    RouterTrace& trace_;
    MatrixView<const int32_t> ids_;  // of the routed that was just before
};

// A text to be computed: the first `prefill` tokens together, the rest one by one; then answered.
struct Work {
    std::vector<TokenId> tokens;
    int64_t prefill = 0;
    int64_t answer_max = 0;
};

Result<std::vector<Work>> read_work(const TraceOptions& options, const Conversation& conversation) {
    std::vector<Work> work;
    for (const Path& file : options.files) {
        const EvalClass texts = TRY(read_eval_class(
            file, conversation, options.texts.value_or(std::numeric_limits<int64_t>::max())));
        for (const auto& tokens : texts.texts) work.push_back({tokens, options.prefill, 0});
    }
    for (const std::string& prompt : options.prompts) {
        const Message message{.role = Role::kUser, .content = prompt};
        Prompt rendered = TRY(conversation.render(std::span(&message, 1), {}));
        const auto length = static_cast<int64_t>(rendered.ids.size());
        work.push_back({std::move(rendered.ids), length, options.answer_max});
    }
    if (work.empty()) {
        return Error{ErrorCode::kInvalid,
                     "there is nothing to record; give a PROMPT or texts with --files"};
    }
    return work;
}

class Tracer {
public:
    Tracer(Runtime& runtime, RouterTrace& trace)
        : runtime_(runtime),
          recorder_(trace),
          logits_(static_cast<size_t>(runtime.config().vocabulary)) {
        runtime_.step().observe(&recorder_);
    }
    ~Tracer() { runtime_.step().observe(nullptr); }
    Tracer(const Tracer&) = delete;
    Tracer& operator=(const Tracer&) = delete;

    Status run(Session& session, const Work& work, std::span<const TokenId> stop_ids) {
        session.reset();
        const std::span all(work.tokens);
        const auto room = static_cast<size_t>(session.context_max());
        const auto tokens = all.first(std::min(all.size(), room));
        const auto prefill = std::min(static_cast<size_t>(work.prefill), tokens.size());
        const auto chunk_max = static_cast<size_t>(runtime_.options().prefill_chunk);
        for (size_t done = 0; done < tokens.size();) {
            const size_t count = done < prefill ? std::min(chunk_max, prefill - done) : 1;
            TRY(forward(session, tokens.subspan(done, count)));
            done += count;
        }
        for (int64_t made = 0; made < work.answer_max; ++made) {
            if (session.length() == session.context_max()) break;
            // The most probable token: the trace of a prompt is the same every time.
            const auto best = std::ranges::max_element(logits_);
            const TokenId next{static_cast<int32_t>(best - logits_.begin())};
            if (std::ranges::find(stop_ids, next) != stop_ids.end()) break;
            TRY(forward(session, std::span(&next, 1)));
        }
        return {};
    }

private:
    Status forward(Session& session, std::span<const TokenId> tokens) {
        return runtime_.forward(session, tokens, LogitsWanted::kLast,
                                {logits_.data(), 1, static_cast<int64_t>(logits_.size())});
    }

    Runtime& runtime_;
    Recorder recorder_;
    std::vector<float> logits_;
};

Status record(const TraceOptions& options, Terminal& terminal) {
    const Conversation conversation =
        TRY(open_conversation(options.model.directory, options.model.effort_table));
    const std::vector<Work> work = TRY(read_work(options, conversation));
    const std::unique_ptr<Runtime> runtime = TRY(open_runtime(options.model));
    Session session = TRY(runtime->new_session());
    RouterTrace trace(shape_of(runtime->checkpoint()));
    {
        Tracer tracer(*runtime, trace);
        for (size_t i = 0; i < work.size(); ++i) {
            TRY(tracer.run(session, work[i], conversation.stop_ids()));
            terminal.progress(cat(i + 1, " of ", work.size(), " texts"));
        }
    }
    const std::vector<std::byte> bytes = trace.file();
    TRY(write_file(options.out, bytes));
    terminal.clear_progress();
    terminal.text(cat(options.out.string(), ": ", trace.tokens(), " tokens, ", trace.steps().size(),
                      " steps, ", human_bytes(bytes.size()), "\n"));
    return terminal.flush();
}

}  // namespace

int trace_verb(const TraceOptions& options, Terminal& terminal) {
    const Status status = record(options, terminal);
    terminal.clear_progress();
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
