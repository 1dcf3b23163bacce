#include "core/engine/answer.h"

#include <algorithm>

#include "core/base/strings.h"
#include "core/engine/sampler.h"

namespace millrace {
namespace {

// Returned through Result while the answer runs: an Error means kFailed.
using Finish = Result<FinishReason>;

class Answer {
public:
    Answer(SequenceModel& model, const Request& request, std::span<float> logits, Clock& clock,
           const std::stop_token& stop, Mailbox& mailbox)
        : model_(model),
          request_(request),
          logits_(logits),
          clock_(clock),
          stop_(stop),
          mailbox_(mailbox) {}

    void run() {
        const ExpertCacheStats before = model_.expert_stats();
        const Finish finish = generate();
        if (!finish.ok()) model_.reset();
        count_experts(before, model_.expert_stats());
        Event last;
        last.kind = finish.ok() ? Event::Kind::kFinished : Event::Kind::kFailed;
        if (finish.ok()) {
            last.reason = *finish;
        } else {
            last.error = finish.error();
        }
        last.stats = stats_;
        mailbox_.close(std::move(last));
    }

private:
    [[nodiscard]] bool cancelled() const { return stop_.stop_requested() || mailbox_.cancelled(); }

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
        stats_.prompt_tokens = static_cast<int64_t>(prompt.size());
        if (cancelled()) return false;
        const KeptTokens kept = model_.keep(prompt);
        stats_.reused_tokens = kept.tokens;
        stats_.archived_tokens = kept.archived;
        auto done = static_cast<size_t>(stats_.reused_tokens);
        while (done < prompt.size()) {
            if (cancelled()) return false;
            const size_t chunk =
                std::min(prompt.size() - done, static_cast<size_t>(model_.chunk_max()));
            const bool last = done + chunk == prompt.size();
            TRY(model_.append(prompt.subspan(done, chunk), last ? logits_ : std::span<float>{}));
            done += chunk;
            TRY(post(Event::Kind::kPrefill, static_cast<int64_t>(done), TokenId{}));
        }
        return true;
    }

    Finish decode() {
        Sampler sampler(request_.sampling, static_cast<int64_t>(logits_.size()), request_.prompt);
        while (true) {
            if (cancelled()) return FinishReason::kCancelled;
            const TokenId token = TRY(sampler.sample(logits_));
            ++stats_.generated_tokens;
            TRY(post(Event::Kind::kToken, 0, token));
            if (std::ranges::find(request_.stop_ids, token) != request_.stop_ids.end()) {
                return FinishReason::kStop;
            }
            if (stats_.generated_tokens == request_.tokens_max) return FinishReason::kLength;
            if (stats_.prompt_tokens + stats_.generated_tokens == model_.context_max()) {
                return FinishReason::kContext;
            }
            TRY(model_.append({&token, 1}, logits_));
        }
    }

    Status post(Event::Kind kind, int64_t prefill_done, TokenId token) {
        if (mailbox_.post(kind, prefill_done, stats_.prompt_tokens, token)) return {};
        return Error{ErrorCode::kCapacity,
                     "nobody reads the answer: its mailbox is full, so the request was cancelled"};
    }

    // An expert that was on its way already had to be waited for like one that was not.
    void count_experts(const ExpertCacheStats& before, const ExpertCacheStats& after) {
        stats_.expert_hits = static_cast<int64_t>(after.hits - before.hits);
        stats_.expert_misses =
            static_cast<int64_t>(after.misses + after.joins - before.misses - before.joins);
        stats_.drive_bytes = after.bytes_read - before.bytes_read;
        stats_.expert_wait_ns = after.wait_ns - before.wait_ns;
        stats_.drive_busy_ns = after.drive_busy_ns - before.drive_busy_ns;
    }

    SequenceModel& model_;
    const Request& request_;
    std::span<float> logits_;
    Clock& clock_;
    const std::stop_token& stop_;
    Mailbox& mailbox_;
    AnswerStats stats_;
};

}  // namespace

void answer(SequenceModel& model, const Request& request, std::span<float> logits, Clock& clock,
            const std::stop_token& stop, Mailbox& mailbox) {
    Answer(model, request, logits, clock, stop, mailbox).run();
}

}  // namespace millrace
