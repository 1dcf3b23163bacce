#pragma once
// What a person types in the chat: lines become messages, messages may be commands. Pure functions and a small state.

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

// Puts lines together. A line that ends in a single `\` goes on in the next one; lines between two lines `"""` belong
// together as they are; a pasted text comes as one "line" with newlines inside and is a message as it is.
class MessageAssembler {
public:
    // The message that this line completes, if it does. An empty message is possible.
    [[nodiscard]] std::optional<std::string> add(std::string_view line);
    // No more lines: what was begun.
    [[nodiscard]] std::string finish();
    // Forget what was begun.
    void clear();
    // The next line continues a message.
    [[nodiscard]] bool open() const { return in_block_ || continued_; }

private:
    std::string text_;
    bool in_block_ = false;
    bool continued_ = false;
};

struct ChatCommand {
    enum class Kind {
        kMessage,  // for the model: `argument` is its text
        kHelp,
        kNew,
        kQuit,
        kStats,
        kThink,    // `argument`: off or an effort; empty: tell
        kSystem,   // `argument`: the new system message; empty: none
        kUnknown,  // begins with `/` and is none of these: `argument` is the word
    };
    Kind kind = Kind::kMessage;
    std::string argument;
};

// A first word like `/name` is a command; `//` at the start stands for one `/` of a message.
[[nodiscard]] ChatCommand parse_chat_command(std::string_view message);

// What /help prints.
[[nodiscard]] std::string chat_help();

}  // namespace millrace
