#pragma once
// A sequence model between the engine and the real one: it can stop a request at its n-th question whether to go on, and
// shows the test what the engine's observer sees.

#include <functional>
#include <memory>

#include "core/engine/answer.h"
#include "core/engine/engine.h"
#include "core/engine/sequence_model.h"

namespace millrace::test {

class WatchedModel final : public SequenceModel, private StepWatch, private StepObserver {
public:
    explicit WatchedModel(std::unique_ptr<SequenceModel> model) : model_(std::move(model)) {}

    std::function<void()> on_question;               // before the engine is asked
    std::function<void(const StepPlace&)> on_place;  // after it was told
    std::function<void(LayerId, MatrixView<const int32_t>)> on_routed;

    const ModelConfig& config() const override { return model_->config(); }
    const MemoryPlan& plan() const override { return model_->plan(); }
    int64_t context_max() const override { return model_->context_max(); }
    int64_t chunk_max() const override { return model_->chunk_max(); }
    ExpertCacheStats expert_stats() const override { return model_->expert_stats(); }
    ExpertPulse expert_pulse() const override { return model_->expert_pulse(); }
    std::optional<GpuTierStats> gpu_stats() const override { return model_->gpu_stats(); }
    KeptTokens keep(std::span<const TokenId> prompt) override { return model_->keep(prompt); }
    void watch(StepWatch* watch) override {
        watch_ = watch;
        model_->watch(watch == nullptr ? nullptr : this);
    }
    void observe(StepObserver* observer) override {
        observer_ = observer;
        model_->observe(observer == nullptr ? nullptr : this);
    }
    Status append(std::span<const TokenId> tokens, std::span<float> logits) override {
        return model_->append(tokens, logits);
    }
    Status append_to_choose(std::span<const TokenId> tokens, std::span<float> room) override {
        return model_->append_to_choose(tokens, room);
    }
    Result<TokenId> choose(Sampler& sampler, std::span<float> room) override {
        return model_->choose(sampler, room);
    }
    void reset() override { model_->reset(); }

private:
    bool cancelled() const override {
        if (on_question) on_question();
        return watch_->cancelled();
    }
    void reached(const StepPlace& place) override {
        watch_->reached(place);
        if (on_place) on_place(place);
    }
    void begins(StepPart part) override { observer_->begins(part); }
    void routed(LayerId layer, MatrixView<const int32_t> ids,
                MatrixView<const float> weights) override {
        observer_->routed(layer, ids, weights);
        if (on_routed) on_routed(layer, ids);
    }

    std::unique_ptr<SequenceModel> model_;
    StepWatch* watch_ = nullptr;
    StepObserver* observer_ = nullptr;
};

struct Answered {
    std::vector<TokenId> tokens;
    Event last;
};

// The engine's loop in the test's own thread: what happens when is decided by the test.
class Answerer {
public:
    explicit Answerer(std::unique_ptr<SequenceModel> real)
        : model(std::move(real)),
          feed(model),
          recorder(feed, model, clock),
          logits(static_cast<size_t>(model.config().vocabulary)) {
        model.observe(&recorder);
    }

    // Cancelled at the question number `stop_at`, from 0; negative: never.
    Answered run(const Request& request, int64_t stop_at = -1) {
        Mailbox mailbox(Engine::kMailboxMax);
        questions = 0;
        model.on_question = [&] {
            if (questions++ == stop_at) mailbox.cancel();
        };
        answer({model, recorder, logits, clock}, request, {}, mailbox);
        Answered out;
        while (true) {
            Event event = mailbox.next();
            if (event.kind == Event::Kind::kToken) {
                out.tokens.push_back(event.token);
            } else if (event.kind != Event::Kind::kPrefill) {
                out.last = std::move(event);
                return out;
            }
        }
    }
    [[nodiscard]] std::vector<StepRecord> steps(uint64_t from = 0) const {
        std::vector<StepRecord> out;
        (void)feed.read_steps(from, out);
        return out;
    }

    SystemClock clock;
    WatchedModel model;
    LiveFeed feed;
    StepRecorder recorder;
    std::vector<float> logits;
    int64_t questions = 0;  // of the last run
};

}  // namespace millrace::test
