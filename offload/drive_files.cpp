#include "offload/drive_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "core/base/strings.h"

namespace millrace {

Result<DriveFiles> DriveFiles::open(const std::vector<Path>& paths, DirectIo direct,
                                    Opener opener) {
    DriveFiles files;
    files.files_.reserve(paths.size());
    for (const Path& path : paths) {
        if (direct == DirectIo::kAuto) {
            Result<File> file = opener(path, O_DIRECT);
            if (file.ok()) {
                const int32_t drive = files.drive_of(*file);
                files.files_.push_back({std::move(*file), true, drive});
                continue;
            }
            // Whatever the reason was, it is the plain open that decides: it succeeds when only O_DIRECT was refused.
            if (files.notes_.empty()) {
                files.notes_ = cat("reading through the page cache: ", file.error().message);
            }
        }
        File file = TRY(opener(path, 0));
        const int32_t drive = files.drive_of(file);
        files.files_.push_back({std::move(file), false, drive});
    }
    return files;
}

// A device that cannot be found out is one of its own kind: they share a number.
int32_t DriveFiles::drive_of(const File& file) {
    struct stat facts {};
    const uint64_t device = ::fstat(file.fd(), &facts) == 0 ? facts.st_dev : 0;
    const auto known = std::ranges::find(devices_, device);
    const auto drive = static_cast<int32_t>(known - devices_.begin());
    if (known == devices_.end()) devices_.push_back(device);
    return drive;
}

void DriveFiles::drop_cached(int32_t file, uint64_t offset, uint64_t bytes) const {
    (void)::posix_fadvise(fd(file), static_cast<off_t>(offset), static_cast<off_t>(bytes),
                          POSIX_FADV_DONTNEED);
}

Status DriveFiles::use_page_cache(int32_t file) {
    Entry& entry = files_[static_cast<size_t>(file)];
    const int flags = ::fcntl(entry.file.fd(), F_GETFL);
    if (flags < 0 || ::fcntl(entry.file.fd(), F_SETFL, flags & ~O_DIRECT) != 0) {
        return io_error("taking O_DIRECT off", entry.file.path(), errno);
    }
    entry.direct = false;
    return {};
}

}  // namespace millrace
