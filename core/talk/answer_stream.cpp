#include "core/talk/answer_stream.h"

#include <sys/random.h>

#include <algorithm>

#include "core/base/strings.h"

namespace millrace {

AnswerStream::AnswerStream(Ticket ticket, StreamFilter filter, std::vector<TokenId> stop_ids)
    : ticket_(std::move(ticket)), filter_(std::move(filter)), stop_ids_(std::move(stop_ids)) {
    message_.role = Role::kAssistant;
}

Result<AnswerStream> AnswerStream::start(Engine& engine, const Conversation& conversation,
                                         const Prompt& prompt, const AnswerOptions& options,
                                         uint64_t seed, std::span<const TokenId> so_far) {
    StreamFilter filter = TRY(conversation.make_stream(prompt.start, options.stop_strings));
    Request request;
    request.prompt = prompt.ids;
    request.prompt.insert(request.prompt.end(), so_far.begin(), so_far.end());
    request.generated = static_cast<int64_t>(so_far.size());
    request.sampling = options.sampling;
    request.sampling.seed = seed;
    request.tokens_max = options.tokens_max;
    request.stop_ids.assign(conversation.stop_ids().begin(), conversation.stop_ids().end());
    std::vector<TokenId> stop_ids = request.stop_ids;
    std::vector<StreamPart> parts;
    for (const TokenId id : so_far) filter.feed(id, parts);
    Ticket ticket = TRY(engine.submit(std::move(request)));
    AnswerStream stream(std::move(ticket), std::move(filter), std::move(stop_ids));
    stream.ids_.assign(so_far.begin(), so_far.end());
    stream.collect(parts, 0);
    return stream;
}

std::optional<Event> AnswerStream::next(std::chrono::milliseconds wait,
                                        std::vector<StreamPart>& parts) {
    std::optional<Event> event = ticket_.next_within(wait);
    if (!event) return event;
    const size_t first = parts.size();
    if (event->kind == Event::Kind::kToken) {
        // Tokens that were on their way when the text ended are no part of the answer.
        if (filter_.done()) return event;
        ids_.push_back(event->token);
        const bool stop = std::ranges::find(stop_ids_, event->token) != stop_ids_.end();
        if (!stop) filter_.feed(event->token, parts);
        if (filter_.done()) ticket_.cancel();
    } else if (event->kind != Event::Kind::kPrefill) {
        if (filter_.done() && event->kind == Event::Kind::kFinished) {
            event->reason = FinishReason::kStop;
        }
        filter_.finish(parts);
    }
    collect(parts, first);
    return event;
}

void AnswerStream::collect(const std::vector<StreamPart>& parts, size_t first) {
    for (size_t i = first; i < parts.size(); ++i) {
        switch (parts[i].kind) {
            case StreamPart::Kind::kReasoning: message_.reasoning += parts[i].text; break;
            case StreamPart::Kind::kAnswer: message_.content += parts[i].text; break;
            case StreamPart::Kind::kToolCall: message_.tool_calls.push_back(parts[i].call); break;
        }
    }
}

Result<RenderOptions> thinking_options(const Conversation& conversation, const std::string& think) {
    RenderOptions options;
    if (think == "off") {
        options.mode = ThinkingMode::kChat;
        return options;
    }
    options.mode = ThinkingMode::kThinking;
    options.effort = think;
    std::string known = "off";
    for (const EffortTable::Entry& entry : conversation.efforts().entries()) {
        if (entry.effort == think) return options;
        known += cat(", ", entry.effort);
    }
    return Error{ErrorCode::kInvalid, cat("there is no thinking effort ", quote_text(think),
                                          "; this model has: ", known)};
}

uint64_t fresh_seed() {
    uint64_t seed = 0;
    // Without the system's randomness the answers are the same every time, which is no reason to refuse them.
    static_cast<void>(::getrandom(&seed, sizeof seed, GRND_NONBLOCK));
    return seed >> 12;  // few enough digits to type, and exact in any JSON reader
}

}  // namespace millrace
