// The chat on a terminal: Ctrl-C stops the answer and not the program; a dumb terminal gets no escape codes.

#include <doctest/doctest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "tests/support/temp_directory.h"

namespace millrace {
namespace {

// `millrace chat` behind a pseudo terminal.
class Chat {
public:
    // The reference arithmetic: slow enough to be interrupted in the middle of a story.
    explicit Chat(const char* term) {
        const std::string home = room_.path().string();
        child_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
        REQUIRE(child_ >= 0);
        if (child_ == 0) {
            ::setenv("TERM", term, 1);
            ::setenv("HOME", home.c_str(), 1);
            ::execl(MILLRACE_BINARY, "millrace", "chat", "--ops", "reference", "--threads", "1",
                    static_cast<char*>(nullptr));
            ::_exit(127);
        }
    }
    ~Chat() {
        ::close(terminal_);
        end();
    }
    Chat(const Chat&) = delete;
    Chat& operator=(const Chat&) = delete;

    void type(std::string_view text) const {
        REQUIRE(::write(terminal_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
    // Reads until `part` has come since the last wait; false when the program ends or says nothing for a minute.
    bool wait_for(std::string_view part) {
        for (;;) {
            const size_t at = screen_.find(part, seen_);
            if (at != std::string::npos) {
                seen_ = at + part.size();
                return true;
            }
            if (!read_some()) return false;
        }
    }
    // Which of two comes first; false also when the program ends or says nothing for a minute.
    bool comes_before(std::string_view wanted, std::string_view other) {
        for (;;) {
            const size_t at = screen_.find(wanted, seen_);
            if (at < screen_.find(other, seen_)) {
                seen_ = at + wanted.size();
                return true;
            }
            if (screen_.find(other, seen_) != std::string::npos || !read_some()) return false;
        }
    }
    // The prompt is there and takes keys: before that the terminal still gathers lines, and a key may be lost.
    bool wait_for_prompt() {
        if (!wait_for("> ")) return false;
        constexpr int kTries = 10'000;
        for (int i = 0; i < kTries; ++i) {
            termios state{};
            if (::tcgetattr(terminal_, &state) != 0) return false;
            if ((state.c_lflag & ICANON) == 0) return true;
            ::poll(nullptr, 0, 1);
        }
        return false;
    }
    // The exit status, after all output has been read.
    int status() {
        while (read_some()) {
        }
        if (silent_) end();
        if (child_ < 0) return -1;
        int status = 0;
        REQUIRE(::waitpid(child_, &status, 0) == child_);
        child_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    [[nodiscard]] const std::string& screen() const { return screen_; }

private:
    bool read_some() {
        pollfd ready{terminal_, POLLIN, 0};
        if (::poll(&ready, 1, 60'000) <= 0) {
            silent_ = true;
            return false;
        }
        char bytes[4096];
        const ssize_t n = ::read(terminal_, bytes, sizeof(bytes));
        if (n <= 0) return false;
        screen_.append(bytes, static_cast<size_t>(n));
        return true;
    }

    // A program that does not end by itself fails its test and does not hold up the others.
    void end() {
        if (child_ <= 0) return;
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
        child_ = -1;
    }

    test::TempDirectory room_;
    int terminal_ = -1;
    pid_t child_ = -1;
    bool silent_ = false;  // it said nothing for a minute
    std::string screen_;
    size_t seen_ = 0;
};

}  // namespace

TEST_CASE("Ctrl-C stops the answer, not the program") {
    Chat chat("xterm");
    // On a machine that is busy with other things a story may be told before the key is pressed: then another one.
    bool stopped = false;
    for (int tries = 0; tries < 5 && !stopped; ++tries) {
        REQUIRE(chat.wait_for_prompt());
        chat.type("Tell me a story about the mill.\n");
        REQUIRE(chat.wait_for("Once"));
        chat.type("\x03");
        stopped = chat.comes_before("Stopped", "tok/s");
    }
    CHECK(stopped);
    REQUIRE(chat.wait_for_prompt());
    chat.type("What is a hash layer?\n");
    CHECK(chat.wait_for("experts are chosen by a table"));
    CHECK(chat.wait_for("tok/s"));
    REQUIRE(chat.wait_for_prompt());
    chat.type("\x04");
    CHECK(chat.status() == 0);
}

TEST_CASE("Ctrl-C at the prompt clears the line") {
    Chat chat("xterm");
    REQUIRE(chat.wait_for_prompt());
    chat.type("this is never sent\x03");
    chat.type("/quit\n");
    CHECK(chat.status() == 0);
}

TEST_CASE("a dumb terminal sees no escape codes") {
    Chat chat("dumb");
    REQUIRE(chat.wait_for("> "));
    chat.type("What is a hash layer?\n");
    CHECK(chat.wait_for("experts are chosen by a table"));
    REQUIRE(chat.wait_for("> "));
    chat.type("/quit\n");
    CHECK(chat.status() == 0);
    CHECK(chat.screen().find('\x1b') == std::string::npos);
}

}  // namespace millrace
