#pragma once
// The manifest through the seam of those who write.

#include <optional>

#include "core/base/disk.h"
#include "core/base/result.h"
#include "core/model/store_manifest.h"

namespace millrace {

// Absent when `directory` holds none.
[[nodiscard]] Result<std::optional<StoreManifest>> find_manifest(Disk& disk, const Path& directory);

}  // namespace millrace
