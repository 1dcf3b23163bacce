#pragma once
// Ctrl-C and changes of the window as things to ask for, instead of code that runs at any moment.

#include <utility>

#include "core/base/result.h"

namespace millrace {

// From `create` on SIGINT and SIGWINCH no longer reach the program on their own, in this thread and in all threads
// started later: create it before any other thread. The destructor gives the calling thread its old mask back.
class Signals {
public:
    [[nodiscard]] static Result<Signals> create();
    Signals(Signals&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Signals& operator=(Signals&&) = delete;
    ~Signals();

    struct Seen {
        bool interrupt = false;  // Ctrl-C
        bool resize = false;     // the window has another size
    };
    // What came since the last call. Does not wait.
    [[nodiscard]] Seen take();
    // Readable when something came: for poll.
    [[nodiscard]] int fd() const { return fd_; }

private:
    explicit Signals(int fd) : fd_(fd) {}
    int fd_;
};

}  // namespace millrace
