#include "app/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "core/base/utf8.h"

namespace millrace {
namespace {

// Waits for standard input. False: Ctrl-C came first. `resized` is called when the window changed.
template <class Resized>
bool wait_for_input(Signals* signals, const Resized& resized) {
    std::array<pollfd, 2> sources = {{{0, POLLIN, 0}, {-1, POLLIN, 0}}};
    if (signals != nullptr) sources[1].fd = signals->fd();
    while (true) {
        if (::poll(sources.data(), sources.size(), -1) < 0 && errno != EINTR) return true;
        if (signals != nullptr) {
            const Signals::Seen seen = signals->take();
            if (seen.resize) resized();
            if (seen.interrupt) return false;
        }
        if (sources[0].revents != 0) return true;
    }
}

// A pipe, a file, or a terminal that cannot move its cursor.
class PlainLines final : public LineEditor {
public:
    PlainLines(Terminal& terminal, Signals* signals)
        : terminal_(terminal), signals_(signals), reader_(0, "standard input") {}

    Result<Line> read(std::string_view prompt) override {
        if (terminal_.interactive()) terminal_.text(prompt);
        if (!reader_.has_line() && !wait_for_input(signals_, [] {})) {
            return Line{Line::Kind::kInterrupted};
        }
        Line line;
        if (TRY(reader_.next(line.text)) == LineReader::Next::kEnd) return Line{};
        line.kind = Line::Kind::kText;
        return line;
    }
    void remember(const std::string&) override {}

private:
    Terminal& terminal_;
    Signals* signals_;
    LineReader reader_;
};

class EditedLines final : public LineEditor {
public:
    EditedLines(Signals* signals, Path history_file)
        : signals_(signals), history_file_(std::move(history_file)) {
        // libedit needs to know that bytes are UTF-8; our texts are, in every locale.
        std::setlocale(LC_CTYPE, "C.UTF-8");
        edit_ = el_init("millrace", stdin, stdout, stderr);
        history_ = history_init();
        HistEvent event{};
        constexpr int kHistoryMax = 1000;
        history(history_, &event, H_SETSIZE, kHistoryMax);
        history(history_, &event, H_SETUNIQUE, 1);
        if (!history_file_.empty()) history(history_, &event, H_LOAD, history_file_.c_str());
        el_set(edit_, EL_CLIENTDATA, this);
        el_set(edit_, EL_EDITOR, "emacs");
        el_set(edit_, EL_SIGNAL, 0);
        el_set(edit_, EL_HIST, history, history_);
        el_set(edit_, EL_PROMPT, &EditedLines::prompt_of);
        el_set(edit_, EL_GETCFN, &EditedLines::read_character);
        // The wide call: the narrow one makes copies of both texts that nobody gives back.
        el_wset(edit_, EL_ADDFN, L"millrace-paste", L"Inserts a pasted text", &EditedLines::paste);
        el_set(edit_, EL_BIND, "\\e[200~", "millrace-paste", nullptr);
        el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
        el_set(edit_, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
        el_set(edit_, EL_BIND, "\\e[1~", "ed-move-to-beg", nullptr);
        el_set(edit_, EL_BIND, "\\e[4~", "ed-move-to-end", nullptr);
    }
    ~EditedLines() override {
        history_end(history_);
        el_end(edit_);
    }
    EditedLines(const EditedLines&) = delete;
    EditedLines& operator=(const EditedLines&) = delete;

    Result<Line> read(std::string_view prompt) override {
        prompt_ = prompt;
        interrupted_ = false;
        // Bracketed paste: the terminal says where a paste begins and ends.
        write_code("\x1b[?2004h");
        int count = 0;
        const char* text = el_gets(edit_, &count);
        write_code("\x1b[?2004l");
        if (interrupted_) {
            write_code("^C\n");
            return Line{Line::Kind::kInterrupted};
        }
        if (text == nullptr || count <= 0) {
            write_code("\n");
            return Line{};
        }
        Line line{Line::Kind::kText, std::string(text, static_cast<size_t>(count))};
        if (line.text.ends_with('\n')) line.text.pop_back();
        return line;
    }

    void remember(const std::string& message) override {
        HistEvent event{};
        history(history_, &event, H_ENTER, message.c_str());
        if (history_file_.empty()) return;
        std::error_code
            ignored;  // history is a comfort: what cannot be kept is not worth a complaint
        std::filesystem::create_directories(history_file_.parent_path(), ignored);
        const mode_t old = ::umask(077);  // what was typed is nobody else's business
        history(history_, &event, H_SAVE, history_file_.c_str());
        ::umask(old);
    }

private:
    static EditedLines& self(EditLine* edit) {
        void* data = nullptr;
        el_get(edit, EL_CLIENTDATA, &data);
        return *static_cast<EditedLines*>(data);
    }
    static char* prompt_of(EditLine* edit) { return self(edit).prompt_.data(); }

    // Called by libedit for every key: 1 a character, 0 the end, −1 Ctrl-C.
    static int read_character(EditLine* edit, wchar_t* out) {
        EditedLines& editor = self(edit);
        if (!wait_for_input(editor.signals_, [&] { el_resize(edit); })) {
            editor.interrupted_ = true;
            return -1;
        }
        std::string bytes;
        do {
            char byte = 0;
            ssize_t n = 0;
            while ((n = ::read(0, &byte, 1)) < 0 && errno == EINTR) {
            }
            if (n <= 0) return 0;
            bytes += byte;
        } while (incomplete_utf8_tail(bytes) == bytes.size());
        *out = static_cast<wchar_t>(decode_utf8(bytes).code);
        return 1;
    }

    // Everything up to the end mark goes into the line as it is; a carriage return is how terminals send a newline.
    static unsigned char paste(EditLine* edit, int) {
        constexpr std::wstring_view kEnd = L"\x1b[201~";
        std::wstring text;
        while (!text.ends_with(kEnd)) {
            wchar_t character = 0;
            if (el_wgetc(edit, &character) != 1) return CC_REFRESH;
            if (character == L'\r') character = L'\n';
            text += character;
        }
        text.resize(text.size() - kEnd.size());
        std::erase_if(
            text, [](wchar_t c) { return (c < 0x20 && c != L'\n' && c != L'\t') || c == 0x7F; });
        while (text.ends_with(L'\n')) text.pop_back();
        return el_winsertstr(edit, text.c_str()) == 0 || text.empty() ? CC_REFRESH : CC_ERROR;
    }

    static void write_code(std::string_view code) {
        std::fwrite(code.data(), 1, code.size(), stdout);
        std::fflush(stdout);
    }

    Signals* signals_;
    Path history_file_;
    EditLine* edit_ = nullptr;
    ::History* history_ = nullptr;
    std::string prompt_;
    bool interrupted_ = false;
};

}  // namespace

std::unique_ptr<LineEditor> make_line_editor(Terminal& terminal, Signals* signals,
                                             const Path& history) {
    if (terminal.can_edit()) return std::make_unique<EditedLines>(signals, history);
    return std::make_unique<PlainLines>(terminal, signals);
}

}  // namespace millrace
