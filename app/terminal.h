#pragma once
// Where people read. The one place that decides whether escape codes may be written, and that keeps those of others out.

#include <string>
#include <string_view>

#include "app/output.h"
#include "core/base/result.h"

namespace millrace {

struct TerminalFacts {
    bool input_is_tty = false, output_is_tty = false, errors_are_tty = false;
    bool dumb = false;      // TERM is "dumb" or not set
    bool no_color = false;  // NO_COLOR is set
};

// Text from a model or a document made safe for a terminal: control characters other than newline and tab (which could
// move the cursor, set the title or answer for the keyboard) become U+FFFD. `text` is valid UTF-8.
[[nodiscard]] std::string without_controls(std::string_view text);

class Terminal {
public:
    explicit Terminal(const TerminalFacts& facts);

    // A person sits there: they get a welcome, prompts and figures.
    [[nodiscard]] bool interactive() const { return facts_.input_is_tty && facts_.output_is_tty; }
    // Lines can be edited: needs a terminal that moves its cursor.
    [[nodiscard]] bool can_edit() const { return interactive() && !facts_.dumb; }

    // Model text and our own, seen at once.
    void text(std::string_view text);
    // The same, less prominent where that is possible.
    void dim(std::string_view text);
    // A line that is replaced by the next progress or text; nothing where nobody watches. On standard error.
    void progress(std::string_view line);
    void clear_progress();
    // "millrace: MESSAGE" on standard error.
    void error(std::string_view message);
    // Whether all was written.
    [[nodiscard]] Status flush() { return out_.flush(); }

private:
    void show(std::string_view text, bool dim);

    TerminalFacts facts_;
    Output out_, err_;
    size_t progress_columns_ = 0;
};

}  // namespace millrace
