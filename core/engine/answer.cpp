#include "core/engine/answer.h"

#include <algorithm>
#include <utility>

#include "core/base/strings.h"
#include "core/engine/sampler.h"

namespace millrace {
namespace {

// Returned through Result while the answer runs: an Error means kFailed.
using Finish = Result<FinishReason>;

class Answer final : public StepWatch {
public:
    Answer(const AnswerTools& tools, const Request& request, const std::stop_token& stop,
           Mailbox& mailbox)
        : model_(tools.model),
          recorder_(tools.recorder),
          logits_(tools.logits),
          clock_(tools.clock),
          request_(request),
          stop_(stop),
          mailbox_(mailbox) {}

    void run() {
        recorder_.begin_request(static_cast<int64_t>(request_.prompt.size()));
        model_.watch(this);
        const Finish finish = generate();
        model_.watch(nullptr);
        if (!finish.ok()) model_.reset();
        count_experts(recorder_.before(), recorder_.last());
        recorder_.end_request();
        Event last;
        last.kind = finish.ok() ? Event::Kind::kFinished : Event::Kind::kFailed;
        if (finish.ok()) {
            last.reason = *finish;
        } else {
            last.error = finish.error();
        }
        stats_.lost_gpu = model_.lost_gpu();
        last.stats = stats_;
        mailbox_.close(std::move(last));
    }

    [[nodiscard]] bool cancelled() const override {
        return stop_.stop_requested() || mailbox_.cancelled();
    }
    // The bar moves with every expert, as far as that is a whole token's share: a chunk can take long.
    void reached(const StepPlace& place) override {
        if (chunk_ == 0) return;
        const int64_t experts = std::max(place.experts, 1);
        // Its last token is there when all of it is.
        const int64_t share =
            std::min(chunk_ - 1, chunk_ * (place.layer * experts + place.experts_done) /
                                     (place.layers * experts));
        if (done_ + share <= posted_) return;
        // Prefill never fills a mailbox.
        static_cast<void>(post_progress(done_ + share));
    }

private:
    Finish generate() {
        const int64_t begin = clock_.now_ns();
        const bool prefilled = TRY(prefill());
        const int64_t middle = clock_.now_ns();
        stats_.prefill_ns = middle - begin;
        if (!prefilled) return FinishReason::kCancelled;
        Finish finish = decode();
        stats_.decode_ns = clock_.now_ns() - middle;
        return finish;
    }

    // False: cancelled.
    Result<bool> prefill() {
        const std::span<const TokenId> prompt = request_.prompt;
        const auto total = static_cast<int64_t>(prompt.size());
        stats_.prompt_tokens = total;
        if (cancelled()) return false;
        const KeptTokens kept = model_.keep(prompt);
        stats_.reused_tokens = kept.tokens;
        stats_.archived_tokens = kept.archived;
        recorder_.reused(kept.tokens);
        done_ = posted_ = kept.tokens;
        while (done_ < total) {
            chunk_ = std::min(total - done_, model_.chunk_max());
            const auto tokens =
                prompt.subspan(static_cast<size_t>(done_), static_cast<size_t>(chunk_));
            const bool last = done_ + chunk_ == total;
            const bool extended =
                TRY(extend({done_, chunk_, false}, tokens, last ? logits_ : std::span<float>{}));
            if (!extended) return false;
            done_ += std::exchange(chunk_, 0);
            TRY(post_progress(done_));
        }
        return true;
    }

    Finish decode() {
        Sampler sampler(request_.sampling, static_cast<int64_t>(logits_.size()), request_.prompt,
                        request_.generated);
        while (true) {
            if (cancelled()) return FinishReason::kCancelled;
            const Result<TokenId> chosen = model_.choose(sampler, logits_);
            if (!chosen.ok() && chosen.error().code == ErrorCode::kCancelled)
                return FinishReason::kCancelled;
            const TokenId token = TRY(chosen);
            recorder_.generated(++stats_.generated_tokens);
            TRY(post(Event::Kind::kToken, 0, token));
            if (std::ranges::find(request_.stop_ids, token) != request_.stop_ids.end()) {
                return FinishReason::kStop;
            }
            if (stats_.generated_tokens == request_.tokens_max) return FinishReason::kLength;
            const int64_t length = stats_.prompt_tokens + stats_.generated_tokens;
            if (length == model_.context_max()) return FinishReason::kContext;
            if (!TRY(extend({length - 1, 1, true}, {&token, 1}, logits_))) {
                return FinishReason::kCancelled;
            }
        }
    }

    // False: cancelled, and the sequence is what it was.
    Result<bool> extend(const StepStart& start, std::span<const TokenId> tokens,
                        std::span<float> logits) {
        if (cancelled()) return false;
        recorder_.begin_step(start);
        const Status done = logits.empty() ? model_.append(tokens, logits)
                                           : model_.append_to_choose(tokens, logits);
        recorder_.end_step(done.ok());
        if (done.ok()) return true;
        if (done.error().code == ErrorCode::kCancelled) return false;
        return done.error();
    }

    Status post_progress(int64_t done) {
        posted_ = done;
        recorder_.prompt_done(done);
        return post(Event::Kind::kPrefill, done, TokenId{});
    }

    Status post(Event::Kind kind, int64_t prefill_done, TokenId token) {
        if (mailbox_.post(kind, prefill_done, stats_.prompt_tokens, token)) return {};
        return Error{ErrorCode::kCapacity,
                     "nobody reads the answer: its mailbox is full, so the request was cancelled"};
    }

    void count_experts(const ExpertPulse& before, const ExpertPulse& after) {
        stats_.expert_hits = static_cast<int64_t>(after.hits - before.hits);
        stats_.expert_misses = static_cast<int64_t>(after.misses - before.misses);
        stats_.drive_bytes = after.bytes_read - before.bytes_read;
        stats_.expert_wait_ns = after.wait_ns - before.wait_ns;
        stats_.drive_busy_ns = after.drive_busy_ns - before.drive_busy_ns;
    }

    SequenceModel& model_;
    StepRecorder& recorder_;
    std::span<float> logits_;
    Clock& clock_;
    const Request& request_;
    const std::stop_token& stop_;
    Mailbox& mailbox_;
    AnswerStats stats_;
    int64_t done_ = 0;    // tokens of the prompt in whole chunks
    int64_t chunk_ = 0;   // tokens of the chunk at work; 0: none is
    int64_t posted_ = 0;  // what the last progress said
};

}  // namespace

void answer(const AnswerTools& tools, const Request& request, const std::stop_token& stop,
            Mailbox& mailbox) {
    Answer(tools, request, stop, mailbox).run();
}

}  // namespace millrace
