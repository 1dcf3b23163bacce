#pragma once
// The front door of core/text: messages → prompt and token ids; token ids → reasoning, answer, tool
// calls.
//
//   auto talk = TRY(Conversation::open(directory, EffortTable::v0731()));
//   Prompt prompt = TRY(talk.render(messages, options));          // submit prompt.ids
//   StreamFilter stream = TRY(talk.make_stream(prompt.start));    // feed every sampled id but the stop ids
//
// Immutable once open: any thread may use it. It must outlive the filters it makes.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/base/types.h"
#include "core/text/chat_template.h"
#include "core/text/message.h"
#include "core/text/stream_filter.h"
#include "core/text/tokenizer.h"

namespace millrace {

struct Prompt {
    std::string text;
    std::vector<TokenId> ids;
    StreamStart start = StreamStart::kAnswer;  // what the model writes first
};

class Conversation {
public:
    // Reads `checkpoint_dir`/tokenizer.json. kCorrupt names a special token that the chat needs and
    // the file lacks.
    [[nodiscard]] static Result<Conversation> open(const Path& checkpoint_dir,
                                                   const EffortTable& efforts);
    [[nodiscard]] static Result<Conversation> create(Tokenizer tokenizer,
                                                     const EffortTable& efforts);

    [[nodiscard]] Result<Prompt> render(std::span<const Message> messages,
                                        const RenderOptions& options) const;
    // The JSON of ChatRequest: messages, thinking_mode, reasoning_effort, drop_thinking, tools.
    [[nodiscard]] Result<Prompt> render(const Json& request) const;

    [[nodiscard]] Result<StreamFilter> make_stream(
        StreamStart start, std::vector<std::string> stop_strings = {}) const;

    // End of sentence first; then role tokens and the like, which an assistant never writes in a
    // healthy answer.
    [[nodiscard]] std::span<const TokenId> stop_ids() const { return stop_ids_; }
    [[nodiscard]] TokenId end_of_sentence() const { return stop_ids_.front(); }
    [[nodiscard]] const Tokenizer& tokenizer() const { return *tokenizer_; }
    [[nodiscard]] const EffortTable& efforts() const { return efforts_; }

private:
    Conversation(std::unique_ptr<const Tokenizer> tokenizer, const EffortTable& efforts,
                 std::vector<TokenId> stop_ids);

    std::unique_ptr<const Tokenizer> tokenizer_;  // keeps its address when this moves
    EffortTable efforts_;
    std::vector<TokenId> stop_ids_;
};

}  // namespace millrace
