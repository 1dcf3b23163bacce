#include "app/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/base/strings.h"

namespace millrace {

Result<OutputFile> OutputFile::create(const Path& path) {
    struct stat existing {};
    const bool exists = ::stat(path.c_str(), &existing) == 0;
    if (exists && S_ISDIR(existing.st_mode)) return io_error("writing", path, EISDIR);
    if (exists && !S_ISREG(existing.st_mode)) {
        const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
        if (fd < 0) return io_error("opening", path, errno);
        return OutputFile(fd, path, {});
    }
    Path partial = path;
    partial += cat(".partial-", ::getpid());
    const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return io_error("creating", path, errno);
    return OutputFile(fd, path, std::move(partial));
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      partial_(std::exchange(other.partial_, {})) {}

OutputFile::~OutputFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!partial_.empty()) ::unlink(partial_.c_str());
}

Status OutputFile::write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
        if (n >= 0) {
            bytes = bytes.subspan(static_cast<size_t>(n));
        } else if (errno != EINTR) {
            return io_error("writing", path_, errno);
        }
    }
    return {};
}

Status OutputFile::commit() {
    if (!partial_.empty()) {
        if (::fsync(fd_) != 0) return io_error("writing", path_, errno);
        if (::rename(partial_.c_str(), path_.c_str()) != 0) {
            return io_error("renaming the finished file to", path_, errno);
        }
        partial_.clear();
    }
    // Some file systems tell only here that the disk is full.
    if (::close(std::exchange(fd_, -1)) != 0) return io_error("closing", path_, errno);
    return {};
}

}  // namespace millrace
