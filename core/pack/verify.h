#pragma once
// Reads a whole store once, at the speed of its drives, and compares every byte with the manifest's checksums; what is
// broken can be made again from what the store was made of.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/disk.h"
#include "core/base/result.h"
#include "core/pack/progress.h"

namespace millrace {

struct VerifyOptions {
    Path directory;
    std::optional<Path> repair_from;  // a checkpoint or a store
    int lanes = 0;                    // threads; 0: as suits the machine
    uint64_t memory_bytes = uint64_t{1} << 29;
};

struct BrokenPiece {
    std::string what;  // "expert 17 of layer 3"
    Path file;
    uint64_t offset = 0;
    std::string problem;  // "has checksum …, wanted …"
    bool repaired = false;
    std::string hindrance;  // why it was not, if it was to be

    [[nodiscard]] std::string text() const;  // one line
};

struct VerifyResult {
    std::vector<BrokenPiece> broken;  // in the order of the store's files
    size_t pieces = 0;
    uint64_t bytes = 0;

    [[nodiscard]] size_t still_broken() const;
};

// Fails when there is no manifest to compare with, when a part's directory is missing, or when the watcher stopped it;
// what is broken is no failure.
[[nodiscard]] Result<VerifyResult> verify(Disk& source_disk, Disk& disk,
                                          const VerifyOptions& options, StoreWatcher& watcher);

}  // namespace millrace
