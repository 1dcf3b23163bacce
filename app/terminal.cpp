#include "app/terminal.h"

#include "core/base/strings.h"
#include "core/base/utf8.h"

namespace millrace {
namespace {

constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kPlain = "\x1b[0m";

}  // namespace

std::string without_controls(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const Utf8Char c = decode_utf8(text);
        const bool line_or_tab = c.code == U'\n' || c.code == U'\t';
        const bool control = c.code < 0x20 || (c.code >= 0x7F && c.code < 0xA0);
        // U+202A…202E and U+2066…2069 turn the direction of everything behind them.
        const bool turns =
            (c.code >= 0x202A && c.code <= 0x202E) || (c.code >= 0x2066 && c.code <= 0x2069);
        if ((control && !line_or_tab) || turns || !c.valid) {
            append_utf8(out, U'\xFFFD');
        } else {
            out += text.substr(0, c.bytes);
        }
        text.remove_prefix(c.bytes);
    }
    return out;
}

Terminal::Terminal(const TerminalFacts& facts)
    : facts_(facts), out_(1, "standard output"), err_(2, "standard error") {}

void Terminal::show(std::string_view text, bool dim) {
    if (text.empty()) return;
    clear_progress();
    if (!facts_.output_is_tty) {
        out_.write(text);
    } else {
        const bool styled = dim && !facts_.dumb && !facts_.no_color;
        if (styled) out_.write(kDim);
        out_.write(without_controls(text));
        if (styled) out_.write(kPlain);
    }
    // A failure stays in `out_` and is asked for by flush().
    static_cast<void>(out_.flush());
}

void Terminal::text(std::string_view text) { show(text, false); }
void Terminal::dim(std::string_view text) { show(text, true); }

// A carriage return and blanks work on every terminal; no escape code is needed.
void Terminal::progress(std::string_view line) {
    if (!facts_.errors_are_tty) return;
    clear_progress();
    err_.write(line);
    progress_columns_ = line.size();  // our own lines are ASCII
    static_cast<void>(err_.flush());
}

void Terminal::clear_progress() {
    if (progress_columns_ == 0) return;
    err_.write(cat("\r", std::string(progress_columns_, ' '), "\r"));
    progress_columns_ = 0;
    static_cast<void>(err_.flush());
}

void Terminal::error(std::string_view message) {
    clear_progress();
    static_cast<void>(out_.flush());
    err_.write(cat("millrace: ", message, "\n"));
    static_cast<void>(err_.flush());
}

}  // namespace millrace
