#include "core/base/check.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

namespace millrace {
namespace {

struct Ending {
    int signal = 0;
    std::string said;
};

// What becomes of a process that evaluates ENSURE(condition).
Ending ensure_in_a_child(bool condition) {
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        ::signal(SIGABRT, SIG_DFL);  // doctest's handler would report a failed case
        ::dup2(pipe[1], STDERR_FILENO);
        ENSURE(condition);
        ::_exit(0);
    }
    ::close(pipe[1]);
    Ending ending;
    std::array<char, 256> text{};
    ssize_t n = 0;
    while ((n = ::read(pipe[0], text.data(), text.size())) > 0) {
        ending.said.append(text.data(), static_cast<size_t>(n));
    }
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
    return ending;
}

TEST_CASE("a broken ENSURE names the place and aborts, a kept one does nothing") {
    const Ending broken = ensure_in_a_child(false);
    CHECK(broken.signal == SIGABRT);
    CHECK(broken.said.find("check_test.cpp:") != std::string::npos);
    CHECK(broken.said.find(": condition\n") != std::string::npos);
    const Ending kept = ensure_in_a_child(true);
    CHECK(kept.signal == 0);
    CHECK(kept.said.empty());
}

}  // namespace
}  // namespace millrace
