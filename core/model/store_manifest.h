#pragma once
// manifest.json: what a store holds, and the checksums of all of it. A directory is a store once this file is in it; it
// is written last. Treated as hostile: sizes are computed from checked counts, never taken from it.
//
//     {
//       "format": "millrace store", "version": 1, "id": "…16 hex…",
//       "source": {"variant": "DeepSeek-V4-Flash", "fingerprint": "…", "options": "--experts f4"},   what it was made from
//       "experts": {"layers": 44, "count": 256, "hidden": 4096, "inner": 2048},
//       "parts": [".", "/drive2/flash"],                                      the first is the store's own directory
//       "records": {"f4": {"bytes": 13369344, "stride": 13369344}},          one for every format that occurs
//       "layers": [{"file": "experts-000.bin", "bytes": [n, n], "formats": "f4" or ["f4", …], "xxh3": ["…", …]}, …],
//       "dense": {"file": "dense.safetensors", "bytes": n, "chunk": 16777216, "xxh3": ["…", …]},
//       "files": [{"name": "config.json", "bytes": n, "xxh3": "…"}, …]        copied from the source
//     }

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/base/types.h"
#include "core/model/store_layout.h"

namespace millrace {

// What is decided before the first byte is written.
struct StorePlan {
    uint64_t id = 0;  // drawn when the store is begun: its files belong together
    std::string source_variant;
    uint64_t source_fingerprint = 0;
    std::string options;  // what was wished for, in one line
    ExpertShape shape;
    int32_t layers = 0, experts = 0;
    std::vector<std::string> parts = {"."};  // "." first, then absolute paths
    std::vector<ExpertFormat> formats;       // [layers][experts]
    uint64_t dense_bytes = 0;

    [[nodiscard]] size_t index(ExpertKey key) const {
        return static_cast<size_t>(key.layer.value) * static_cast<size_t>(experts) +
               static_cast<size_t>(key.expert.value);
    }
    [[nodiscard]] ExpertFormat format(ExpertKey key) const { return formats[index(key)]; }
    [[nodiscard]] int32_t part_of(ExpertId expert) const {
        return expert.value % static_cast<int32_t>(parts.size());
    }
    // Where the records of a layer begin in their files.
    [[nodiscard]] std::vector<uint64_t> record_offsets(LayerId layer) const;
    // Bytes of a layer's file in a part: header and records.
    [[nodiscard]] uint64_t file_bytes(LayerId layer, int32_t part) const;
    [[nodiscard]] int64_t dense_chunks() const;
};

struct CopiedFile {
    std::string name;
    uint64_t bytes = 0;
    uint64_t checksum = 0;
};

struct StoreManifest {
    StorePlan plan;
    std::vector<uint64_t> expert_checksums;  // [layers][experts], of the records' bytes
    std::vector<uint64_t> dense_checksums;   // of each chunk of the dense file
    std::vector<CopiedFile> files;
};

inline constexpr int32_t kStoreVersion = 1;
inline constexpr int32_t kStoreLayersMax = 1024;
inline constexpr int32_t kStoreExpertsMax = 65536;  // a layer
inline constexpr int64_t kStoreRecordsMax = int64_t{1} << 20;
inline constexpr int32_t kStorePartsMax = 64;
inline constexpr uint64_t kDenseChunkBytes = uint64_t{16} << 20;
inline constexpr uint64_t kDenseBytesMax = uint64_t{1} << 42;
inline constexpr uint64_t kCopiedBytesMax = uint64_t{1} << 30;
inline constexpr uint64_t kManifestBytesMax = uint64_t{64} << 20;

[[nodiscard]] Result<StoreManifest> parse_manifest(std::string_view text);
[[nodiscard]] std::string manifest_text(const StoreManifest& manifest);

// The plan's part of it: what the journal of an unfinished pack begins with (core/pack/pack_journal.h).
[[nodiscard]] Result<StorePlan> parse_plan(const Json& json);
[[nodiscard]] Json::Object plan_members(const StorePlan& plan);

}  // namespace millrace
