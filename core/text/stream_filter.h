#pragma once
// What a model writes, taken apart while it writes: token ids or bytes in, parts out.
//
//   reasoning ──</think>──► answer ──｜DSML｜tool_calls──► tool calls ──closing tag──► done
//       └──────────── tool block without </think> ──────────▲
//
// How the stream is cut never changes the result, only when it comes out. Held back: an incomplete
// character, anything that may become a marker, newlines that may belong to one, the beginning of a
// stop string. Newlines at the start of reasoning and answer and before a marker belong to the
// markup and are dropped; a stray </think> in the answer is skipped; stop strings count in the
// answer only. Invalid UTF-8 becomes U+FFFD. One thread at a time.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/base/types.h"
#include "core/text/chat_template.h"
#include "core/text/dsml.h"
#include "core/text/message.h"
#include "core/text/stop_strings.h"
#include "core/text/tokenizer.h"

namespace millrace {

struct StreamOptions {
    StreamStart start = StreamStart::kAnswer;
    std::vector<std::string> stop_strings{};
};

// A piece of the stream. Text is complete characters; a call is complete, its arguments are a JSON
// object.
struct StreamPart {
    enum class Kind : uint8_t { kReasoning, kAnswer, kToolCall };
    Kind kind = Kind::kAnswer;
    std::string text{};
    ToolCall call{};
};

class StreamFilter {
public:
    // `tokenizer` gives the tokens their bytes and must outlive the filter. kInvalid names a stop
    // string that cannot be.
    [[nodiscard]] static Result<StreamFilter> create(const Tokenizer& tokenizer,
                                                     const StreamOptions& options);

    // Append what has become certain to `out`. Ids outside the vocabulary are ignored. The
    // end-of-sentence and other stop tokens are for the caller to act on; do not feed them.
    void feed(TokenId id, std::vector<StreamPart>& out);
    void feed(std::string_view bytes, std::vector<StreamPart>& out);
    // The model has stopped: whatever waited comes out, a call that was not closed is dropped.
    // Nothing may be fed after.
    void finish(std::vector<StreamPart>& out);

    // Nothing more can come out; the generation may end here.
    [[nodiscard]] bool done() const { return stopped_ || parser_.closed(); }
    // Done because of a stop string.
    [[nodiscard]] bool stopped() const { return stopped_; }
    [[nodiscard]] bool in_reasoning() const { return state_ == State::kReasoning; }
    // A tool call was begun and is still open; after `finish`: it was dropped.
    [[nodiscard]] bool call_open() const { return parser_.inside_call(); }
    // Calls given out so far.
    [[nodiscard]] size_t calls() const { return calls_; }

private:
    enum class State : uint8_t { kReasoning, kAnswer, kTools };

    StreamFilter(const Tokenizer& tokenizer, StreamStart start, StopStrings stops);
    void process(Input input, std::vector<StreamPart>& out);
    [[nodiscard]] size_t read_text(std::string_view text, Input input,
                                   std::vector<StreamPart>& out);
    [[nodiscard]] size_t read_calls(std::string_view text, Input input,
                                    std::vector<StreamPart>& out);
    void enter(State state, std::vector<StreamPart>& out);
    void emit(std::string_view text, std::vector<StreamPart>& out);
    void emit_newlines(std::vector<StreamPart>& out);
    void pass(std::string_view text, std::vector<StreamPart>& out);

    const Tokenizer* tokenizer_;
    State state_;
    StopStrings stops_;
    DsmlParser parser_;
    std::string raw_;        // an incomplete character
    std::string buffer_;     // valid text that is not decided yet
    uint64_t newlines_ = 0;  // seen and held back
    bool begun_ = false;     // this reasoning or answer has text already
    bool stopped_ = false;
    size_t calls_ = 0;
};

}  // namespace millrace
