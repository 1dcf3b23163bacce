#include "core/base/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/strings.h"

namespace millrace {
namespace {

class SystemFile final : public DiskFile {
public:
    SystemFile(int fd, Path path) : fd_(fd), path_(std::move(path)) {}
    ~SystemFile() override { ::close(fd_); }
    SystemFile(const SystemFile&) = delete;
    SystemFile& operator=(const SystemFile&) = delete;

    [[nodiscard]] Status read(uint64_t offset, std::span<std::byte> out) override {
        return read_exactly(fd_, path_, offset, out);
    }

    [[nodiscard]] Status write(uint64_t offset, std::span<const std::byte> bytes) override {
        constexpr size_t kPieceBytes = size_t{1} << 30;
        while (!bytes.empty()) {
            const ssize_t n = ::pwrite(fd_, bytes.data(), std::min(bytes.size(), kPieceBytes),
                                       static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return io_error("writing", path_, n < 0 ? errno : ENOSPC);
            bytes = bytes.subspan(static_cast<size_t>(n));
            offset += static_cast<uint64_t>(n);
        }
        return {};
    }

    [[nodiscard]] Status resize(uint64_t bytes) override {
        if (::ftruncate(fd_, static_cast<off_t>(bytes)) == 0) return {};
        return io_error("resizing", path_, errno);
    }

    [[nodiscard]] Result<uint64_t> size() override {
        struct stat info {};
        if (::fstat(fd_, &info) != 0) return io_error("measuring", path_, errno);
        return static_cast<uint64_t>(info.st_size);
    }

    [[nodiscard]] Status sync() override {
        if (::fsync(fd_) == 0) return {};
        return io_error("syncing", path_, errno);
    }

private:
    int fd_;
    Path path_;
};

int open_retrying(const Path& path, int flags) {
    constexpr mode_t kMode = 0644;
    for (;;) {
        // O_NONBLOCK: opening a pipe must not wait for its other end.
        const int fd = ::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, kMode);
        if (fd >= 0 || errno != EINTR) return fd;
    }
}

}  // namespace

Result<std::unique_ptr<DiskFile>> SystemDisk::open(const Path& path, OpenFor purpose,
                                                   Through through) {
    const int flags = purpose == OpenFor::kReading ? O_RDONLY : O_RDWR | O_CREAT;
    int fd = -1;
    if (through == Through::kDrive) fd = open_retrying(path, flags | O_DIRECT);
    if (fd < 0 && (through == Through::kPageCache || errno == EINVAL)) {
        fd = open_retrying(path, flags);
    }
    if (fd < 0) return io_error("opening", path, errno);
    auto file = std::make_unique<SystemFile>(fd, path);
    struct stat info {};
    if (::fstat(fd, &info) != 0) return io_error("opening", path, errno);
    if (!S_ISREG(info.st_mode)) {
        return Error{ErrorCode::kInvalid,
                     cat("opening ", path.string(),
                         ": found a directory, pipe, socket or device, wanted a regular file")};
    }
    return std::unique_ptr<DiskFile>(std::move(file));
}

Status SystemDisk::rename(const Path& from, const Path& to) {
    if (::rename(from.c_str(), to.c_str()) == 0) return {};
    return io_error("replacing", to, errno);
}

Status SystemDisk::remove(const Path& path) {
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    return io_error("removing", path, errno);
}

Status SystemDisk::make_directory(const Path& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return {};
    if (path.has_parent_path() && path.parent_path() != path) {
        TRY(make_directory(path.parent_path()));
    }
    constexpr mode_t kOwnerOnly = 0700;
    if (::mkdir(path.c_str(), kOwnerOnly) == 0 || errno == EEXIST) return {};
    return io_error("creating", path, errno);
}

Status SystemDisk::sync_directory(const Path& path) {
    const int fd = open_retrying(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return io_error("opening", path, errno);
    const bool synced =
        ::fsync(fd) == 0 || errno == EINVAL;  // some file systems have nothing to sync
    const int error = errno;
    ::close(fd);
    if (!synced) return io_error("syncing", path, error);
    return {};
}

Result<std::vector<std::string>> SystemDisk::list(const Path& directory) {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator entries(directory, error);
    if (error == std::errc::no_such_file_or_directory) return names;
    while (!error && entries != std::filesystem::directory_iterator()) {
        std::error_code ignored;
        if (entries->is_regular_file(ignored)) names.push_back(entries->path().filename().string());
        entries.increment(error);
    }
    if (error) return io_error("listing", directory, error.value());
    std::sort(names.begin(), names.end());
    return names;
}

Result<uint64_t> SystemDisk::free_bytes(const Path& path) {
    Path existing = path;
    std::error_code error;
    while (!std::filesystem::exists(existing, error) && existing.has_parent_path() &&
           existing.parent_path() != existing) {
        existing = existing.parent_path();
    }
    if (existing.empty()) existing = ".";
    struct statvfs info {};
    if (::statvfs(existing.c_str(), &info) != 0) return io_error("measuring", existing, errno);
    return uint64_t{info.f_bavail} * uint64_t{info.f_frsize};
}

Status replace_file(Disk& disk, const Path& path, std::span<const std::byte> bytes) {
    const Path beside = path.string() + ".part";
    const auto write = [&]() -> Status {
        const std::unique_ptr<DiskFile> file =
            TRY(disk.open(beside, OpenFor::kWriting, Through::kPageCache));
        TRY(file->resize(0));
        TRY(file->write(0, bytes));
        return file->sync();
    };
    Status done = write();
    if (done.ok()) done = disk.rename(beside, path);
    if (!done.ok()) {
        (void)disk.remove(beside);  // what went wrong first is what the caller hears of
        return done;
    }
    return disk.sync_directory(path.has_parent_path() ? path.parent_path() : Path("."));
}

Status replace_file(Disk& disk, const Path& path, std::string_view text) {
    return replace_file(disk, path, std::as_bytes(std::span(text)));
}

}  // namespace millrace
