#pragma once
// Messages → the prompt DeepSeek-V4 was trained on, byte for byte as the encoder of the checkpoints
// writes it:
//
//   BOS [effort] system [tools] [response format] <｜User｜>… <｜Assistant｜> <think>reasoning</think>answer EOS …
//
// The result is marked: role, think and DSML tokens are template; whatever came in a message
// (texts, schemas, names, argument values, results) is content and can never become a special
// token.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/text/marked_text.h"
#include "core/text/message.h"

namespace millrace {

// What a reasoning effort adds to the prompt. Releases differ: "high" adds nothing to the preview
// and the preview's "max" text to 0731. Data, chosen for a checkpoint by whoever opens it.
class EffortTable {
public:
    struct Entry {
        std::string_view effort, prefix;
    };

    [[nodiscard]] static EffortTable preview();  // none, high, max
    [[nodiscard]] static EffortTable v0731();    // low, high, max
    // "preview" or "0731".
    [[nodiscard]] static Result<EffortTable> named(std::string_view name);

    [[nodiscard]] std::string_view name() const { return name_; }
    [[nodiscard]] std::span<const Entry> entries() const { return entries_; }
    // "" means: no effort asked for, no prefix. kInvalid lists the efforts there are.
    [[nodiscard]] Result<std::string_view> prefix(std::string_view effort) const;

private:
    EffortTable(std::string_view name, std::span<const Entry> entries)
        : name_(name), entries_(entries) {}
    std::string_view name_;
    std::span<const Entry> entries_;
};

enum class ThinkingMode : uint8_t { kChat, kThinking };
// Whether earlier turns lose their reasoning. Nothing is dropped where tools are offered.
enum class EarlierReasoning : uint8_t { kDrop, kKeep };

struct RenderOptions {
    ThinkingMode mode = ThinkingMode::kThinking;
    std::string effort{};
    EarlierReasoning earlier = EarlierReasoning::kDrop;
};

// What the model writes first after this prompt.
enum class StreamStart : uint8_t { kReasoning, kAnswer, kToolBlock };

// Whose bytes they are: all from `begin` on, up to the next part. With the tokens that frame them.
struct ChatPart {
    enum class Kind : uint8_t {
        kInstructions,  // begin of sentence, effort, system and developer messages
        kTurn,          // what was asked and answered
        kReasoning,
    };
    size_t begin = 0;
    Kind kind = Kind::kInstructions;
    size_t message = 0;  // its place among the messages
};

struct RenderedChat {
    MarkedText text;
    StreamStart start = StreamStart::kAnswer;
    std::vector<ChatPart> parts{};  // in order, the first begins at 0
};

// kInvalid if the table does not know the effort. No message at all gives a bare BOS.
[[nodiscard]] Result<RenderedChat> render_chat(std::span<const Message> messages,
                                               const RenderOptions& options,
                                               const EffortTable& efforts);

// What a client sends: an object with `messages` and optionally `tools` (go to the leading system
// or developer message, or to a new empty system message), `thinking_mode` ("chat", "thinking"),
// `reasoning_effort`, `drop_thinking`; or a bare list of messages.
struct ChatRequest {
    std::vector<Message> messages;
    RenderOptions options;

    [[nodiscard]] static Result<ChatRequest> parse(const Json& request);
};

}  // namespace millrace
