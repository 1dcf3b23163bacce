#pragma once
// The texts that `millrace eval` scores, as token ids.

#include <cstdint>
#include <string>
#include <vector>

#include "app/options.h"
#include "core/base/file.h"
#include "core/base/result.h"
#include "core/text/conversation.h"

namespace millrace {

// Texts of one kind: those of a file, named by its stem.
struct EvalClass {
    std::string name;
    std::vector<std::vector<TokenId>> texts;  // each begins with the beginning of a sentence
    std::vector<size_t>
        answers;  // [texts]: where the expected answer begins; the text's end if there is none

    [[nodiscard]] int64_t tokens() const;
    [[nodiscard]] int64_t longest() const;
};

// The first `texts_max` texts of a file. NAME.jsonl holds one a line: {"messages", "thinking_mode" or "mode", "expected"},
// a conversation as the chat renders it with the expected answer behind it, in which special tokens are recognised; or
// {"text"}, plain text. Any other file is one plain text. Plain text becomes no special token.
[[nodiscard]] Result<EvalClass> read_eval_class(const Path& file, const Conversation& conversation,
                                                int64_t texts_max);

// All classes that the options ask for, rendered as the model's chat does it.
[[nodiscard]] Result<std::vector<EvalClass>> read_eval_classes(const ModelOptions& model,
                                                               const TextOptions& texts);

// The files NAME.jsonl of a directory by name; an error if there is none.
[[nodiscard]] Result<std::vector<Path>> find_eval_files(const Path& directory);

// The parts of a text that fit a context: each begins with the text's first token and is scored on its own.
[[nodiscard]] std::vector<std::vector<TokenId>> cut_to_context(const std::vector<TokenId>& text,
                                                               int64_t context);

}  // namespace millrace
