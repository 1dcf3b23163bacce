#include "app/message_input.h"

#include <algorithm>
#include <array>
#include <utility>

namespace millrace {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

std::string_view trim(std::string_view text) {
    const size_t first = text.find_first_not_of(kBlank);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

bool ends_in_single_backslash(std::string_view line) {
    size_t count = 0;
    while (count < line.size() && line[line.size() - 1 - count] == '\\') ++count;
    return count % 2 == 1;
}

}  // namespace

std::optional<std::string> MessageAssembler::add(std::string_view line) {
    const bool fence = trim(line) == R"(""")";
    if (in_block_) {
        if (fence) return finish();
        if (continued_) text_ += '\n';
        text_ += line;
        continued_ = true;
        return std::nullopt;
    }
    if (fence && !continued_) {
        in_block_ = true;
        return std::nullopt;
    }
    const bool goes_on =
        line.find('\n') == std::string_view::npos && ends_in_single_backslash(line);
    text_ += goes_on ? line.substr(0, line.size() - 1) : line;
    continued_ = goes_on;
    if (!goes_on) return finish();
    text_ += '\n';
    return std::nullopt;
}

std::string MessageAssembler::finish() {
    std::string out = std::exchange(text_, {});
    clear();
    return out;
}

void MessageAssembler::clear() {
    text_.clear();
    in_block_ = false;
    continued_ = false;
}

ChatCommand parse_chat_command(std::string_view message) {
    using Kind = ChatCommand::Kind;
    const std::string_view text = trim(message);
    if (!text.starts_with('/')) return {Kind::kMessage, std::string(message)};
    if (text.starts_with("//")) return {Kind::kMessage, std::string(text.substr(1))};
    const size_t space = std::min(text.find_first_of(kBlank), text.size());
    const std::string_view word = text.substr(0, space);
    std::string argument(trim(text.substr(space)));
    struct Name {
        std::string_view word;
        Kind kind;
    };
    constexpr std::array<Name, 8> kNames = {{{"/help", Kind::kHelp},
                                             {"/?", Kind::kHelp},
                                             {"/new", Kind::kNew},
                                             {"/quit", Kind::kQuit},
                                             {"/exit", Kind::kQuit},
                                             {"/stats", Kind::kStats},
                                             {"/think", Kind::kThink},
                                             {"/system", Kind::kSystem}}};
    for (const Name& name : kNames) {
        if (name.word == word) return {name.kind, std::move(argument)};
    }
    return {Kind::kUnknown, std::string(word)};
}

std::string chat_help() {
    return R"(/think off|high|max   whether the model thinks before it answers, and how hard
/system TEXT          what the model is told before the conversation; without TEXT: nothing
/new                  forgets the conversation and begins another
/stats                experts, drive, speed and memory so far
/quit                 leaves, as Ctrl-D does
Several lines: end a line with \, or write """ before and after them, or paste them.
Ctrl-C stops an answer, or clears the line. A message that begins with / is written with //.
)";
}

}  // namespace millrace
