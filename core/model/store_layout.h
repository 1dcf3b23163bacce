#pragma once
// Where things lie in a store's files. Pure arithmetic; what a store holds is said by its manifest (store_manifest.h).
//
//     experts-LLL.bin   ┌─header─┬─record of expert 0─┬─record of expert 1─┬ …
//                       0       4096                4096 + stride
//
// LLL is the routed layer: the trunk's, then the draft blocks'. Every record begins at a multiple of 4096, its stride
// is its bytes rounded up to one. Experts of one layer may have different formats; they follow each other in order of
// their ids, each with its own stride. In a store spread over n directories ("parts") expert e lies in part e mod n:
// the file of that name there holds only its share.
//
//     record   w1 scales · w3 scales · w1 codes · w3 codes · w2 scales · w2 codes
//
// Each begins at a multiple of 64; what gate and up need comes first, so that they may run before the tail has landed.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/memory.h"
#include "core/model/expert_source.h"
#include "quant/linear_weight.h"

namespace millrace {

// How the matrices of one expert are stored.
struct ExpertFormat {
    WeightFormat weights = WeightFormat::kFp4;
    ScaleFormat scales = ScaleFormat::kE8m0;
    friend bool operator==(const ExpertFormat&, const ExpertFormat&) = default;
};
// "f4", "f4-f32" (FP32 scales), "f8", "bf16", …
[[nodiscard]] std::string_view expert_format_name(ExpertFormat format);
[[nodiscard]] std::optional<ExpertFormat> expert_format_of(std::string_view name);
// For messages: "f4, f4-f32, f8, …".
[[nodiscard]] std::string expert_format_names();

// The experts' dimensions: w1 and w3 are [inner, hidden], w2 is [hidden, inner].
struct ExpertShape {
    int64_t hidden = 0;
    int64_t inner = 0;
    friend bool operator==(const ExpertShape&, const ExpertShape&) = default;
};
inline constexpr int64_t kExpertDimensionMax = int64_t{1} << 20;
// Whether the format can hold such a matrix at all: whole blocks, dimensions in bounds.
[[nodiscard]] bool format_fits(ExpertFormat format, ExpertShape shape);

// The parts of a record by matrix; `bytes` 0 where a format has no scales.
struct RecordPart {
    uint64_t offset = 0;
    uint64_t bytes = 0;
};
struct RecordLayout {
    RecordPart w1_codes, w1_scales, w2_codes, w2_scales, w3_codes, w3_scales;
    uint64_t bytes = 0;   // what is read and checksummed: a multiple of 64
    uint64_t stride = 0;  // a multiple of 4096
};
// `format_fits` must hold.
[[nodiscard]] RecordLayout record_layout(ExpertFormat format, ExpertShape shape);

// An expert's matrices without pointers.
[[nodiscard]] ExpertWeights expert_layout_of(ExpertFormat format, ExpertShape shape);
// The record as a reader needs it, at `offset` of file number `file`.
[[nodiscard]] ExpertRecord stored_record(ExpertFormat format, ExpertShape shape, int32_t file,
                                         uint64_t offset);

inline constexpr uint64_t kStoreBlockBytes = kPageBytes;

// The first block of an experts file says to which store it belongs.
struct ExpertFileHeader {
    uint64_t store = 0;  // its id
    uint32_t layer = 0;
    uint32_t part = 0, parts = 1;
    friend bool operator==(const ExpertFileHeader&, const ExpertFileHeader&) = default;
};
[[nodiscard]] std::array<std::byte, kStoreBlockBytes> encode_header(const ExpertFileHeader& header);
// Absent when this is no such block.
[[nodiscard]] std::optional<ExpertFileHeader> decode_header(
    std::span<const std::byte, kStoreBlockBytes> block);

// "experts-007.bin"
[[nodiscard]] std::string expert_file_name(int32_t layer);
inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr std::string_view kPackProgressName = "pack.progress";
inline constexpr std::string_view kDenseName = "dense.safetensors";
// The member of the dense file's __metadata__ that holds the store's id.
inline constexpr std::string_view kStoreIdMember = "millrace_store";

}  // namespace millrace
