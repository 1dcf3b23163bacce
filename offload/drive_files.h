#pragma once
// The files that experts are read from, opened for reading around the page cache where the file system allows it. The
// thread that reads owns them.

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "offload/reader.h"

namespace millrace {

class DriveFiles {
public:
    using Opener = Result<File> (*)(const Path& path, int extra_flags);

    // Opens every file; one that cannot be opened with O_DIRECT is opened without, and `notes` says so. Tests pass an
    // `opener` that refuses.
    [[nodiscard]] static Result<DriveFiles> open(const std::vector<Path>& paths, DirectIo direct,
                                                 Opener opener = &File::open);

    [[nodiscard]] int32_t size() const { return static_cast<int32_t>(files_.size()); }
    [[nodiscard]] int fd(int32_t file) const { return at(file).file.fd(); }
    [[nodiscard]] bool is_direct(int32_t file) const { return at(file).direct; }
    [[nodiscard]] Result<uint64_t> bytes(int32_t file) const { return at(file).file.size(); }
    // Takes O_DIRECT off the open file, also for the kernel's registered copy of the descriptor.
    Status use_page_cache(int32_t file);
    void drop_cached(int32_t file, uint64_t offset, uint64_t bytes) const;
    // Files on one device (st_dev) have one number, from 0 in the order in which devices appear.
    [[nodiscard]] int32_t drive(int32_t file) const { return at(file).drive; }
    [[nodiscard]] int32_t drives() const { return static_cast<int32_t>(devices_.size()); }
    // Why some file is not read with O_DIRECT; empty when all are.
    [[nodiscard]] const std::string& notes() const { return notes_; }

private:
    struct Entry {
        File file;
        bool direct = false;
        int32_t drive = 0;
    };
    [[nodiscard]] int32_t drive_of(const File& file);
    [[nodiscard]] const Entry& at(int32_t file) const { return files_[static_cast<size_t>(file)]; }

    std::vector<Entry> files_;
    std::vector<uint64_t> devices_;  // [drives] st_dev
    std::string notes_;
};

}  // namespace millrace
