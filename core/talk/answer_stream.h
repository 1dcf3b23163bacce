#pragma once
// One answer on its way from the engine: token ids in, parts of text out, all of it collected.

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "core/text/conversation.h"

namespace millrace {

// How a model answers.
struct AnswerOptions {
    std::string system;         // "": none
    std::string think = "off";  // or an effort
    int64_t tokens_max = 0;     // 0: up to the context limit
    SamplingParams sampling;
    std::optional<uint64_t> seed;  // absent: another one each time
    std::vector<std::string> stop_strings;
};

class AnswerStream {
public:
    // Submits `prompt`. `seed` decides the draws. `so_far`: ids of an answer to this prompt that was stopped; what comes is
    // what would have come, and `message` and `ids` begin with it.
    [[nodiscard]] static Result<AnswerStream> start(Engine& engine,
                                                    const Conversation& conversation,
                                                    const Prompt& prompt,
                                                    const AnswerOptions& options, uint64_t seed,
                                                    std::span<const TokenId> so_far = {});

    // Waits at most `wait`. The event that came, if one did; text that has become certain is appended to `parts`.
    // kFinished and kFailed come once. A finished answer's reason: kStop also after a stop string or a complete block of
    // tool calls.
    [[nodiscard]] std::optional<Event> next(std::chrono::milliseconds wait,
                                            std::vector<StreamPart>& parts);
    void cancel() { ticket_.cancel(); }

    // All so far.
    [[nodiscard]] const Message& message() const { return message_; }
    [[nodiscard]] const std::vector<TokenId>& ids() const { return ids_; }

private:
    AnswerStream(Ticket ticket, StreamFilter filter, std::vector<TokenId> stop_ids);
    void collect(const std::vector<StreamPart>& parts, size_t first);

    Ticket ticket_;
    StreamFilter filter_;
    std::vector<TokenId> stop_ids_;
    Message message_;
    std::vector<TokenId> ids_;
};

// "off" or an effort of `conversation`'s table. kInvalid lists what there is.
[[nodiscard]] Result<RenderOptions> thinking_options(const Conversation& conversation,
                                                     const std::string& think);

// A seed that nobody chose.
[[nodiscard]] uint64_t fresh_seed();

}  // namespace millrace
