#pragma once
// Writes a synthetic checkpoint of any size: its bytes are computed in blocks by several threads and go straight to the
// shards, so memory stays at a few MiB. The shards are of about equal size, cut between tensors.

#include <cstddef>
#include <cstdint>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/result.h"

namespace millrace::test {

struct SyntheticOrder {
    int shards = 4;  // 1 … 99999
    int threads = 2;
};

struct SyntheticTotals {
    size_t tensors = 0;
    uint64_t bytes = 0;
};

// config.json, the shards and their index in `out_dir`, which is made if need be. Not synced to the drive.
[[nodiscard]] Result<SyntheticTotals> write_synthetic_stream(const Json& config,
                                                             const Path& out_dir,
                                                             const SyntheticOrder& order);

}  // namespace millrace::test
