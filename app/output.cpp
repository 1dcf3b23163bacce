#include "app/output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/strings.h"

namespace millrace {

void Output::write(std::string_view text) {
    constexpr size_t kBufferMax = 65536;
    if (!status_.ok()) return;
    buffer_ += text;
    if (buffer_.size() >= kBufferMax) status_ = flush();
}

Status Output::flush() {
    size_t done = 0;
    while (status_.ok() && done < buffer_.size()) {
        const ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
        if (n >= 0) {
            done += static_cast<size_t>(n);
        } else if (errno != EINTR) {
            status_ = io_error("writing", name_, errno);
        }
    }
    buffer_.clear();
    return status_;
}

Result<LineReader::Next> LineReader::next(std::string& line) {
    size_t searched = first_;
    while (true) {
        const size_t newline = buffer_.find('\n', searched);
        if (newline != std::string::npos || (ended_ && first_ < buffer_.size())) {
            const size_t end = std::min(newline, buffer_.size());
            line.assign(buffer_, first_, end - first_);
            if (newline != std::string::npos && line.ends_with('\r')) line.pop_back();
            first_ = std::min(end + 1, buffer_.size());
            return Next::kLine;
        }
        if (ended_) return Next::kEnd;
        buffer_.erase(0, first_);
        first_ = 0;
        searched = buffer_.size();
        if (searched > kLineMax) {
            return Error{ErrorCode::kInvalid,
                         cat(name_, " has a line of more than ", human_bytes(kLineMax))};
        }
        constexpr size_t kReadBytes = 65536;
        buffer_.resize(searched + kReadBytes);
        const ssize_t n = ::read(fd_, buffer_.data() + searched, kReadBytes);
        buffer_.resize(searched + static_cast<size_t>(std::max<ssize_t>(n, 0)));
        if (n < 0 && errno != EINTR) return io_error("reading", name_, errno);
        ended_ = n == 0;
    }
}

}  // namespace millrace
