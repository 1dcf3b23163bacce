#include "app/signals.h"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/file.h"

namespace millrace {
namespace {

sigset_t our_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGWINCH);
    return set;
}

}  // namespace

Result<Signals> Signals::create() {
    const sigset_t set = our_signals();
    const int fd = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) return io_error("watching", "Ctrl-C", errno);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    return Signals(fd);
}

Signals::~Signals() {
    if (fd_ < 0) return;
    static_cast<void>(take());  // what came before must not end the program now
    const sigset_t set = our_signals();
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    ::close(fd_);
}

Signals::Seen Signals::take() {
    Seen seen;
    signalfd_siginfo info{};
    while (::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        if (info.ssi_signo == SIGINT) seen.interrupt = true;
        if (info.ssi_signo == SIGWINCH) seen.resize = true;
    }
    return seen;
}

}  // namespace millrace
