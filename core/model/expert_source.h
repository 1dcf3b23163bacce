#pragma once
// Where the bytes of each routed expert lie. In an official shard an expert is two ranges far apart
// (its scales, its weights; spec §3.4 "File layout for streaming"); in general up to six.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/file.h"
#include "core/base/types.h"
#include "quant/linear_weight.h"

namespace millrace {

struct ByteRange {
    int32_t file = 0;  // index into ExpertSource::files
    uint64_t offset = 0;
    uint64_t bytes = 0;
};

// One matrix of an expert inside the expert's ranges: codes and scales at a byte offset of a range.
struct ExpertPart {
    LinearWeight layout;  // format and shape; pointers are null
    int32_t codes_range = 0;
    uint64_t codes_offset = 0;
    int32_t scales_range = 0;
    uint64_t scales_offset = 0;
};

struct ExpertRecord {
    std::array<ByteRange, 6> ranges;
    int32_t range_count = 0;
    std::optional<uint64_t>
        checksum;  // XXH3, 64 bits, of the ranges' bytes one after the other; a store has it
    ExpertPart w1, w2, w3;

    [[nodiscard]] uint64_t bytes() const;  // of all ranges
    // The matrices, given where each range was put in memory.
    [[nodiscard]] ExpertWeights at(const std::array<const std::byte*, 6>& range_data) const;
};

// Routed layers are the trunk's layers, then the draft blocks in order: LayerId layers+i is draft
// block i.
class ExpertSource {
public:
    ExpertSource(std::vector<Path> files, int32_t layers, int32_t experts)
        : files_(std::move(files)),
          experts_(experts),
          records_(static_cast<size_t>(layers) * static_cast<size_t>(experts)) {}

    [[nodiscard]] const std::vector<Path>& files() const { return files_; }
    [[nodiscard]] int32_t layers() const {
        return static_cast<int32_t>(records_.size()) / experts_;
    }
    [[nodiscard]] int32_t experts() const { return experts_; }
    [[nodiscard]] const ExpertRecord& record(ExpertKey key) const { return records_[index(key)]; }
    [[nodiscard]] ExpertRecord& record(ExpertKey key) { return records_[index(key)]; }

private:
    [[nodiscard]] size_t index(ExpertKey key) const {
        return static_cast<size_t>(key.layer.value) * static_cast<size_t>(experts_) +
               static_cast<size_t>(key.expert.value);
    }

    std::vector<Path> files_;
    int32_t experts_;
    std::vector<ExpertRecord> records_;
};

}  // namespace millrace
