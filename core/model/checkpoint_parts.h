#pragma once
// A checkpoint or a store with everything found and nothing read but headers: what opening, packing and inspecting it
// have in common.

#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "core/model/bind_weights.h"
#include "core/model/config.h"
#include "core/model/expert_source.h"
#include "core/model/inventory.h"
#include "core/model/shard_table.h"
#include "core/model/store_manifest.h"

namespace millrace {

struct CheckpointParts {
    ModelConfig config;  // drafts as the files have them
    DraftBlocks drafts;
    ShardTable table;                       // of a store: its dense file
    std::vector<ExpectedTensor> inventory;  // in the model's order
    FoundTensors dense;  // its names belong to `inventory`, its entries to `table`
    std::vector<const TensorEntry*> dense_entries;  // elements and scales, in the inventory's order
    ExpertSource experts;
    std::vector<std::string> unknown;    // tensors nobody expects, as the files spell them, sorted
    std::optional<StoreManifest> store;  // absent: an official checkpoint

    [[nodiscard]] int32_t routed_layers() const { return experts.layers(); }
};

// Fails on the first missing or misshapen tensor or file, and on half a store.
[[nodiscard]] Result<CheckpointParts> find_checkpoint_parts(const Path& directory);

}  // namespace millrace
