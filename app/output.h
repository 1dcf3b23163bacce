#pragma once
// Bytes to a file descriptor: buffered, complete, with an error that is kept instead of lost.

#include <string>
#include <string_view>

#include "core/base/result.h"

namespace millrace {

class Output {
public:
    // `fd` stays open and belongs to the caller; `name` is for errors: "standard output".
    Output(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

    // After the first failure nothing more is written.
    void write(std::string_view text);
    // The first failure so far, if there was one.
    [[nodiscard]] Status flush();

private:
    int fd_;
    std::string name_;
    std::string buffer_;
    Status status_;
};

// Lines of a file descriptor.
class LineReader {
public:
    LineReader(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

    enum class Next { kLine, kEnd };
    // The next line without its newline (or carriage return and newline); the last one need not have any. Fails on lines of
    // more than kLineMax bytes.
    [[nodiscard]] Result<Next> next(std::string& line);
    // A whole line is here already: `next` will not wait.
    [[nodiscard]] bool has_line() const { return buffer_.find('\n', first_) != std::string::npos; }

    static constexpr size_t kLineMax = size_t{256} << 20;

private:
    int fd_;
    std::string name_;
    std::string buffer_;
    size_t first_ = 0;  // what lies before it was given out
    bool ended_ = false;
};

}  // namespace millrace
