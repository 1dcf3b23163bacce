#include "offload/drive_files.h"

#include <fcntl.h>

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
                files.files_.push_back({std::move(*file), true});
                continue;
            }
            // Whatever the reason was, it is the plain open that decides: it succeeds when only O_DIRECT was refused.
            if (files.notes_.empty()) {
                files.notes_ = cat("reading through the page cache: ", file.error().message);
            }
        }
        files.files_.push_back({
            TRY(opener(path, 0))
            , false
        });
    }
    return files;
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
