#pragma once
// What a checkpoint directory is, from config.json, the index and the shards' headers alone: works
// on a download that is incomplete and on copies that hold no more than headers.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "core/model/config.h"
#include "core/model/inventory.h"
#include "core/model/store_manifest.h"

namespace millrace {

struct ClassBytes {
    int64_t tensors = 0;
    uint64_t bytes = 0;
};

// By TensorClass.
using BytesByClass = std::array<ClassBytes, kTensorClasses>;

struct Inspection {
    ModelConfig config;
    // "DeepSeek-V4-Flash-0731 …", or a description where no release has these shapes.
    std::string release;
    DraftBlocks drafts;

    std::optional<StoreManifest> store;  // what it says, if this is a store

    int32_t files = 0;
    // That the index or the numbering of the shards implies.
    std::vector<std::string> missing_files;
    std::vector<std::string> cut_files;  // "NAME has 12 of 3400 bytes"

    // How the experts seen are stored, "FP4 with E8M0 scales", "" if none was seen.
    std::string expert_format;
    uint64_t expert_bytes =
        0;  // of one routed expert, in a store on the average; as released if none was seen

    // The trunk and the draft blocks, each by class.
    BytesByClass trunk, draft;
    // What the checkpoint has when it is complete; in the place of what is missing stands its
    // released form.
    ClassBytes complete;
    // Read by one decoded token in the complete trunk: everything once, of the experts those it is
    // routed to, of tables one row.
    std::array<uint64_t, kTensorClasses> token_bytes{};

    std::vector<std::string> missing;    // one line a block: "layers.7: all 1569 tensors"
    std::vector<std::string> misshapen;  // sentences; the first hundred
    std::vector<std::string> unknown;    // here and not expected, as stored

    [[nodiscard]] ClassBytes total() const;  // what is here, without the unknown
    [[nodiscard]] uint64_t token_bytes_total() const;
    // For people: several lines, ending in a newline.
    [[nodiscard]] std::string text() const;
};

// "DeepSeek-V4-Flash-0731 …", or a description where no release has these shapes.
[[nodiscard]] std::string release_name(const ModelConfig& config, DraftBlocks drafts,
                                       WeightFormat experts);

// Fails when there is no readable config.json or no shard, or when a header is broken; everything
// else is reported.
[[nodiscard]] Result<Inspection> inspect(const Path& directory);
// The same of a checkpoint that is not here, from its config alone: nothing is present, all is as released.
[[nodiscard]] Inspection inspect_config(const ModelConfig& config);

}  // namespace millrace
