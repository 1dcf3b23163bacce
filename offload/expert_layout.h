#pragma once
// Where every routed expert lies on the drive, in offload's own words, and how an expert is put into a memory slot.
//
// A range need not be aligned. It is read as the whole 4096-byte blocks around it, and the blocks of an expert's ranges
// lie behind one another in its slot:
//
//     file    ──┬────────[range 0]───┬───────  …  ─┬──[range 1]─────────┬──
//               │ whole blocks       │             │ whole blocks       │
//     slot      └────────────────────┴─────────────┘…                   ┘
//
// so the range's first byte is up to 4095 bytes behind the start of its blocks.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/file.h"
#include "core/base/memory.h"
#include "core/base/result.h"
#include "core/base/types.h"

namespace millrace {

inline constexpr int32_t kExpertRangesMax = 6;
// O_DIRECT wants offset, length and memory aligned; 4096 suits every drive that exists, also those that ask for 512.
inline constexpr uint64_t kBlockBytes = kPageBytes;

struct FileRange {
    int32_t file = 0;  // index into ExpertLayout::files
    uint64_t offset = 0;
    uint64_t bytes = 0;

    [[nodiscard]] uint64_t end() const { return offset + bytes; }
    [[nodiscard]] uint64_t first_block() const { return round_down(offset, kBlockBytes); }
    [[nodiscard]] uint64_t block_bytes() const {
        return round_up(end(), kBlockBytes) - first_block();
    }
};

struct ExpertPlace {
    std::array<FileRange, kExpertRangesMax> ranges;
    int32_t range_count = 0;
    std::optional<uint64_t> checksum;  // XXH3, 64 bits, of the ranges' bytes one after the other

    // Where the blocks of `range` begin in a slot.
    [[nodiscard]] uint64_t slot_offset(int32_t range) const;
    // Where the first byte of `range` itself lies in a slot.
    [[nodiscard]] uint64_t data_offset(int32_t range) const;
    // The bytes of all ranges.
    [[nodiscard]] uint64_t bytes() const;
    // The blocks of all ranges.
    [[nodiscard]] uint64_t slot_bytes() const { return slot_offset(range_count); }
};

struct ExpertLayout {
    std::vector<Path> files;
    int32_t layers = 0;
    int32_t experts = 0;              // per layer
    std::vector<ExpertPlace> places;  // [layers][experts]

    [[nodiscard]] bool contains(ExpertKey key) const {
        return key.layer.value >= 0 && key.layer.value < layers && key.expert.value >= 0 &&
               key.expert.value < experts;
    }
    [[nodiscard]] size_t index(ExpertKey key) const {
        return static_cast<size_t>(key.layer.value) * static_cast<size_t>(experts) +
               static_cast<size_t>(key.expert.value);
    }
    [[nodiscard]] const ExpertPlace& place(ExpertKey key) const { return places[index(key)]; }
    [[nodiscard]] int64_t expert_count() const { return int64_t{layers} * experts; }
    // The largest expert's blocks: what one slot must hold.
    [[nodiscard]] uint64_t slot_bytes() const;

    // kInvalid unless the counts agree and every range names a file and has a sane size.
    [[nodiscard]] Status validate() const;
    // kCorrupt when a range ends behind its file; `file_bytes` has the size of every file.
    [[nodiscard]] Status validate_sizes(const std::vector<uint64_t>& file_bytes) const;
};

// "expert 17 of layer 3"
[[nodiscard]] std::string describe(ExpertKey key);

}  // namespace millrace
