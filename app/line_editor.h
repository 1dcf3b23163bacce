#pragma once
// Lines from whoever types, or from a pipe. With a terminal that can do it, libedit edits the line: arrow keys, history,
// Ctrl-R to search; a pasted text stays one text, whatever newlines it has. One thread.

#include <memory>
#include <string>
#include <string_view>

#include "app/output.h"
#include "app/signals.h"
#include "app/terminal.h"
#include "core/base/file.h"
#include "core/base/result.h"

namespace millrace {

class LineEditor {
public:
    struct Line {
        enum class Kind {
            kText,
            kInterrupted,  // Ctrl-C: what was typed is gone
            kEnd,          // Ctrl-D, or the end of the pipe
        };
        Kind kind = Kind::kEnd;
        std::string text{};
    };

    virtual ~LineEditor() = default;
    // `prompt` is shown where a person types.
    [[nodiscard]] virtual Result<Line> read(std::string_view prompt) = 0;
    // For the arrow keys, now and next time.
    virtual void remember(const std::string& message) = 0;
};

// `signals`: null where Ctrl-C ends the program. `history`: a file that is made when needed, with its directory, or empty.
// Where it cannot be written, history lasts as long as the program.
[[nodiscard]] std::unique_ptr<LineEditor> make_line_editor(Terminal& terminal, Signals* signals,
                                                           const Path& history);

}  // namespace millrace
