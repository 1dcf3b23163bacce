#pragma once
// The files of a store while they are written: made when first needed, synced in batches. Any thread may call.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "core/base/disk.h"
#include "core/base/result.h"
#include "core/pack/pieces.h"

namespace millrace {

class TargetFiles {
public:
    // `parts` are directories that exist.
    TargetFiles(Disk& disk, std::vector<Path> parts, const StorePieces& pieces)
        : disk_(disk), parts_(std::move(parts)), pieces_(pieces), open_(pieces.files.size()) {}

    // `bytes` has the piece's `written` bytes and is page-aligned.
    [[nodiscard]] Status write(const Piece& piece, std::span<const std::byte> bytes);
    // Everything that was written before is on the drive, names too.
    [[nodiscard]] Status sync();
    // Makes a file exactly as long as it is to be, and its header what it is to be.
    [[nodiscard]] Status shape(int32_t file);

    [[nodiscard]] Path path_of(const Piece& piece) const;

private:
    [[nodiscard]] Result<DiskFile*> open(int32_t file);

    Disk& disk_;
    const std::vector<Path> parts_;
    const StorePieces& pieces_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<DiskFile>> open_;
    std::set<int32_t> unsynced_;  // files written since the last sync
};

}  // namespace millrace
