#pragma once
// The ladder of readers: io_uring, and where that is refused a pool of preads; O_DIRECT, and where that is refused the
// page cache (drive_files.h when opening, io_engine.h when reading).

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/base/result.h"
#include "offload/drive_files.h"
#include "offload/reader.h"

namespace millrace {

struct OpenedReader {
    std::unique_ptr<Reader> reader;
    std::string notes;  // what was refused on the way; empty when nothing was
};

struct ReaderChoice {
    IoBackend backend = IoBackend::kAuto;
    int32_t depth = 16;
    int32_t pread_threads = 6;
};

using UringOpener = Result<std::unique_ptr<Reader>> (*)(DriveFiles& files,
                                                        std::span<std::byte> arena, int32_t depth);

// kUnsupported when io_uring was demanded and is refused. Tests pass a `uring` that refuses.
[[nodiscard]] Result<OpenedReader> open_reader(DriveFiles files, std::span<std::byte> arena,
                                               const ReaderChoice& choice, UringOpener uring);
[[nodiscard]] Result<OpenedReader> open_reader(DriveFiles files, std::span<std::byte> arena,
                                               const ReaderChoice& choice);

}  // namespace millrace
