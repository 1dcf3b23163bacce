#include "offload/open_reader.h"

#include <utility>

#include "offload/pread_reader.h"
#include "offload/uring_reader.h"

namespace millrace {

Result<OpenedReader> open_reader(DriveFiles files, std::span<std::byte> arena,
                                 const ReaderChoice& choice, UringOpener uring) {
    OpenedReader opened;
    opened.notes = files.notes();
    if (choice.backend != IoBackend::kPread) {
        Result<std::unique_ptr<Reader>> ring = uring(files, arena, choice.depth);
        if (ring.ok()) {
            opened.reader = std::move(*ring);
            return opened;
        }
        if (choice.backend == IoBackend::kUring) return ring.error();
        if (!opened.notes.empty()) opened.notes += "; ";
        opened.notes += ring.error().message;
    }
    opened.reader =
        std::make_unique<PreadReader>(std::move(files), choice.depth, choice.pread_threads);
    return opened;
}

Result<OpenedReader> open_reader(DriveFiles files, std::span<std::byte> arena,
                                 const ReaderChoice& choice) {
    return open_reader(std::move(files), arena, choice, &UringReader::create);
}

}  // namespace millrace
