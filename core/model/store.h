#pragma once
// A store in a directory: recognised, its manifest read, its experts located.

#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "core/model/expert_source.h"
#include "core/model/store_manifest.h"

namespace millrace {

enum class StoreState {
    kNone,        // something else: a checkpoint, perhaps
    kUnfinished,  // a pack was begun here and did not end
    kWhole,       // there is a manifest
};
[[nodiscard]] StoreState store_state(const Path& directory);
// What to say when an unfinished one is to be used.
[[nodiscard]] Error unfinished_store(const Path& directory);

// Errors name the file. kUnsupported: made by a newer version.
[[nodiscard]] Result<StoreManifest> read_manifest(const Path& directory);

// The sentence for part `index` of plan.parts.
[[nodiscard]] Error missing_part(const Path& directory, const StorePlan& plan, size_t index);
// Where the parts lie; the first is `directory`. kNotFound names the first that is not there.
[[nodiscard]] Result<std::vector<Path>> part_directories(const Path& directory,
                                                         const StorePlan& plan);

// The experts as records with checksums. Opens every file: one that is missing, has another length or belongs to another
// store is named. Also compares config.json and the dense file's id. Reads no expert.
[[nodiscard]] Result<ExpertSource> locate_stored_experts(const Path& directory,
                                                         const StoreManifest& manifest);

}  // namespace millrace
