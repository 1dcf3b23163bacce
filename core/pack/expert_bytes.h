#pragma once
// An expert's bytes on their way from one form into another.

#include <cstddef>
#include <span>

#include "core/base/result.h"
#include "core/model/expert_source.h"
#include "core/model/store_layout.h"
#include "core/pack/block_reader.h"
#include "core/pack/expert_importance.h"

namespace millrace {

// The format of a source's record; absent when its matrices differ from each other, which a store cannot hold.
[[nodiscard]] std::optional<ExpertFormat> format_of(const ExpertRecord& record);

// Memory for reading the largest record of `source`.
[[nodiscard]] uint64_t read_memory_for(const ExpertSource& source);

// Reads an expert into `memory` (page-aligned), which the result's pointers lead into. With a checksum the bytes are
// compared, and read once more if they differ; kCorrupt names the expert and the file.
[[nodiscard]] Result<ExpertWeights> read_expert(const ExpertSource& source, ExpertKey key,
                                                const BlockReader& reader,
                                                std::span<std::byte> memory);

// Puts matrices that have the record's format already where it wants them; fills gaps with zeros. `out` is the record.
void place_expert(const ExpertWeights& weights, const RecordLayout& layout,
                  std::span<std::byte> out);

// Whether `encode_expert` makes the one of the other.
[[nodiscard]] bool can_encode(ExpertFormat from, ExpertFormat to);
// The same with another format than they have: encodes kFp4 matrices into one of the low-bit formats.
void encode_expert(const ExpertWeights& weights, const InputImportance& importance,
                   WeightFormat format, const RecordLayout& layout, std::span<std::byte> out);

}  // namespace millrace
