#include "core/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/strings.h"

namespace millrace {
namespace {

std::string_view likely_fix(int error_number) {
    switch (error_number) {
        case ENOENT:
        case ENOTDIR: return "; check the path";
        case EACCES:
        case EPERM: return "; check the permissions";
        case EISDIR: return "; name a file, not a directory";
        case ENOSPC:
        case EDQUOT: return "; free some space or choose another disk";
        case EIO:
        case ENODATA:
        case ENODEV:
        case ENXIO: return "; check the drive and its cable (dmesg tells more)";
        case EROFS: return "; choose a place that can be written";
        case EMFILE:
        case ENFILE: return "; raise the limit on open files (ulimit -n)";
        default: return "";
    }
}

ErrorCode code_of(int error_number) {
    switch (error_number) {
        case ENOENT: return ErrorCode::kNotFound;
        case ENOSPC:
        case EDQUOT: return ErrorCode::kNoSpace;
        default: return ErrorCode::kIo;
    }
}

Status write_all(int fd, const Path& path, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), std::min<size_t>(bytes.size(), 1u << 30));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return io_error("writing", path, n < 0 ? errno : ENOSPC);
        bytes = bytes.subspan(static_cast<size_t>(n));
    }
    if (::fsync(fd) != 0 && errno != EINVAL) return io_error("syncing", path, errno);
    return {};
}

}  // namespace

Error io_error(std::string_view doing, const Path& path, int error_number) {
    return {code_of(error_number), cat(doing, " ", path.string(), ": ", std::strerror(error_number),
                                       likely_fix(error_number))};
}

File& File::operator=(File&& other) noexcept {
    if (this != &other) {
        if (fd_ >= 0) ::close(fd_);
        fd_ = std::exchange(other.fd_, -1);
        path_ = std::move(other.path_);
    }
    return *this;
}

File::~File() {
    if (fd_ >= 0) ::close(fd_);
}

Result<File> File::open(const Path& path) { return open(path, 0); }

Result<File> File::open(const Path& path, int extra_flags) {
    int fd = -1;
    do {
        // Without O_NONBLOCK, opening a pipe would wait for somebody to write; files do not mind it.
        fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | extra_flags);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return io_error("opening", path, errno);
    File file(fd, path);
    struct stat info {};
    if (::fstat(fd, &info) != 0) return io_error("opening", path, errno);
    if (S_ISDIR(info.st_mode)) return io_error("opening", path, EISDIR);
    if (!S_ISREG(info.st_mode)) {
        return Error{ErrorCode::kInvalid,
                     cat("opening ", path.string(),
                         ": found a pipe, socket or device, wanted a regular file")};
    }
    // io_uring would answer EAGAIN instead of waiting for the drive if the flag stayed.
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) {
        return io_error("opening", path, errno);
    }
    return file;
}

Result<uint64_t> File::size() const {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return io_error("measuring", path_, errno);
    return static_cast<uint64_t>(info.st_size);
}

Status read_exactly(int fd, const Path& path, uint64_t offset, std::span<std::byte> out) {
    const uint64_t wanted = out.size();
    while (!out.empty()) {
        const ssize_t n = ::pread(fd, out.data(), std::min<size_t>(out.size(), 1u << 30),
                                  static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error("reading", path, errno);
        if (n == 0) {
            return Error{ErrorCode::kCorrupt,
                         cat(path.string(), " ends at byte ", offset, ", ", wanted - out.size(),
                             " bytes into a part of ", wanted,
                             "; the file is truncated: download or copy it again")};
        }
        out = out.subspan(static_cast<size_t>(n));
        offset += static_cast<uint64_t>(n);
    }
    return {};
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
}

MappedFile::~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Result<MappedFile> MappedFile::map(const File& file) {
    const uint64_t size = TRY(file.size());
    MappedFile mapped;
    if (size == 0) return mapped;
    void* at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd(), 0);
    if (at == MAP_FAILED) return io_error("mapping", file.path(), errno);
    mapped.bytes_ = {static_cast<const std::byte*>(at), size};
    return mapped;
}

Result<std::string> read_text_file(const Path& path, uint64_t bytes_max) {
    const File file = TRY(File::open(path));
    const uint64_t size = TRY(file.size());
    if (size > bytes_max) {
        return Error{ErrorCode::kInvalid,
                     cat(path.string(), " has ", size, " bytes, more than the ", bytes_max,
                         " this kind of file may have")};
    }
    std::string text(size, '\0');
    TRY(file.read_at(0, std::as_writable_bytes(std::span(text))));
    return text;
}

Status write_file(const Path& path, std::span<const std::byte> bytes) {
    const Path beside = path.string() + ".part";
    const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return io_error("creating", beside, errno);
    Status written = write_all(fd, beside, bytes);
    ::close(fd);
    if (written.ok() && ::rename(beside.c_str(), path.c_str()) != 0) {
        written = io_error("replacing", path, errno);
    }
    if (!written.ok()) ::unlink(beside.c_str());
    return written;
}

Status write_file(const Path& path, std::string_view text) {
    return write_file(path, std::as_bytes(std::span(text)));
}

}  // namespace millrace
