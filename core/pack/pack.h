#pragma once
// Makes a store from a checkpoint or from another store, piece by piece and with bounded memory. What is finished is
// recorded (pack_journal.h), so that a pack that was ended in any way goes on where it was; the manifest, written last,
// makes a store of it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/disk.h"
#include "core/base/result.h"
#include "core/pack/progress.h"

namespace millrace {

struct PackOptions {
    Path source, destination;  // the destination by its absolute path
    // Further directories: the experts are spread over the destination and these. Absolute paths too.
    std::vector<Path> also;
    std::string experts = "released";    // or the name of an expert format, or "auto"
    std::optional<uint64_t> size_bytes;  // of the whole store, with "auto"
    uint64_t id = 0;  // of the store, if it is begun now: any number, another one each time
    int lanes = 0;    // threads; 0: as suits the machine
    uint64_t memory_bytes = uint64_t{1} << 30;  // for all lanes
    uint64_t sync_bytes = uint64_t{512} << 20;  // recorded as finished in batches of about so much
    // By part: equal numbers share a drive and its free space. Empty: each has its own.
    std::vector<uint64_t> drives;
};

struct PackResult {
    bool was_whole = false;  // nothing to do: the same store lies there
    uint64_t bytes = 0;
    std::vector<std::string> left_out;  // tensors that no part of the model uses
};

// kCancelled when the watcher stopped it. The source is read through `source_disk` where its bytes are large, and by
// path where its headers are.
[[nodiscard]] Result<PackResult> pack(Disk& source_disk, Disk& disk, const PackOptions& options,
                                      StoreWatcher& watcher);

}  // namespace millrace
