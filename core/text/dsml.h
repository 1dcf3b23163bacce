#pragma once
// DSML, the markup of tool calls:
//
//   <｜DSML｜tool_calls>
//   <｜DSML｜invoke name="get_weather">
//   <｜DSML｜parameter name="city" string="true">Beijing</｜DSML｜parameter>     string: the text as it is
//   <｜DSML｜parameter name="days" string="false">[1, 2]</｜DSML｜parameter>     otherwise: JSON
//   </｜DSML｜invoke>
//   </｜DSML｜tool_calls>
//
// The reader forgives what models get wrong: doubled or missing bars, a space after the marker,
// missing brackets and closing tags, plain XML tags inside a block, a missing `string` attribute,
// broken JSON (kept as text), a bare JSON object as body. Everything it does not understand between
// tags is skipped. A call is given out when it is closed; one that never closes is dropped, because
// half of its arguments is worse than none.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/message.h"

namespace millrace {

// Whether more text may follow. At the end nothing is ambiguous any more.
enum class Input : uint8_t { kOpen, kEnded };

struct TagMatch {
    enum class Kind : uint8_t {
        kNone,     // this `<` is text
        kPartial,  // more bytes are needed to tell
        kThinkClose,
        kBlockOpen,
        kBlockClose,
        kInvokeOpen,
        kInvokeClose,
        kParameterOpen,
        kParameterClose,
        kOtherClose,  // `</｜DSML｜` and no name we know
    };
    Kind kind = Kind::kNone;
    size_t bytes = 0;     // up to the end of the name; attributes and `>` follow
    bool marked = false;  // written with DSML, not as plain XML
};

// What begins at text[0], which is '<'. Looks at no more than some 40 bytes; once the answer is not
// kPartial, no further byte changes it.
[[nodiscard]] TagMatch match_tag(std::string_view text, Input input);

// Reads a tool block from behind its opening tag. Text may come in any portions: what is not
// consumed must be given again, with more behind it.
class DsmlParser {
public:
    // Returns how many bytes of `text` are done with; appends calls that closed. With kEnded all of
    // it is.
    [[nodiscard]] size_t read(std::string_view text, Input input, std::vector<ToolCall>& calls);

    [[nodiscard]] bool closed() const { return state_ == State::kClosed; }
    // A call was begun and not closed.
    [[nodiscard]] bool inside_call() const { return in_call_; }

private:
    enum class State : uint8_t {
        kBetweenCalls,
        kCallQuote,       // `<｜DSML｜invoke` read; the quote that opens its name is next
        kCallName,        // up to the closing quote
        kCallTagEnd,      // up to `>`
        kArguments,       // between parameters
        kParameterQuote,  // as for the call
        kParameterName,
        kParameterType,  // the rest of the tag: string="…">
        kValue,          // up to `</｜DSML｜`
        kBody,           // a bare JSON object, up to `</｜DSML｜`
        kClosed,
    };

    [[nodiscard]] size_t step(std::string_view text, Input input, std::vector<ToolCall>& calls);
    [[nodiscard]] size_t seek_quote(std::string_view text, State found, State given_up);
    [[nodiscard]] size_t read_until(std::string_view text, char end, std::string& out, State then);
    [[nodiscard]] size_t read_type(std::string_view text);
    [[nodiscard]] size_t read_payload(std::string_view text, Input input,
                                      std::vector<ToolCall>& calls);
    [[nodiscard]] size_t read_structure(std::string_view text, Input input,
                                        std::vector<ToolCall>& calls);
    void open_call(bool marked);
    void end_payload(TagMatch::Kind closer, std::vector<ToolCall>& calls);
    void end_parameter(TagMatch::Kind closer);
    void end_call(State then, std::vector<ToolCall>& calls);

    State state_ = State::kBetweenCalls;
    bool skip_bracket_ = false;  // a closing tag's name was read; its `>` is next, if it is there
    bool in_call_ = false;
    bool marked_ = false;  // how the open parameter or call was written
    std::string name_, parameter_, type_, payload_;
    std::vector<std::pair<std::string, std::string>> arguments_;  // name, JSON
};

}  // namespace millrace
