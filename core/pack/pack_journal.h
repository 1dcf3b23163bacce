#pragma once
// pack.progress: what an unfinished store is going to be, and which of its pieces lie on the drive. A line of JSON, written
// once and whole; then 24 bytes for every finished piece: its index, its checksum, and a check of the two that a torn
// write cannot pass. A piece counts once its entry is synced, and its entry is written when its bytes are synced. The file
// has the room for all entries from the beginning: when the disk is full, what is finished must still be recorded.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/disk.h"
#include "core/base/result.h"
#include "core/model/store_manifest.h"

namespace millrace {

struct FinishedPiece {
    uint64_t index = 0;  // in StorePieces::pieces
    uint64_t checksum = 0;
};

class PackJournal {
public:
    // The journal of `directory` and what it says is finished; absent when there is none.
    struct Found;
    [[nodiscard]] static Result<std::optional<Found>> open(Disk& disk, const Path& directory);
    [[nodiscard]] static Result<PackJournal> create(Disk& disk, const Path& directory,
                                                    const StorePlan& plan, size_t pieces);

    // Durable when it returns.
    [[nodiscard]] Status append(std::span<const FinishedPiece> pieces);
    [[nodiscard]] static Status remove(Disk& disk, const Path& directory);

private:
    PackJournal(std::unique_ptr<DiskFile> file, uint64_t end, uint64_t seed)
        : file_(std::move(file)), end_(end), seed_(seed) {}

    std::unique_ptr<DiskFile> file_;
    uint64_t end_;   // where the next entry goes
    uint64_t seed_;  // the store's id: entries of another pack are none here
};

struct PackJournal::Found {
    StorePlan plan;
    std::vector<FinishedPiece> finished;
    PackJournal journal;
};

}  // namespace millrace
