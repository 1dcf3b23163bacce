#include "core/model/store_layout.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/model/checksum.h"

namespace millrace {
namespace {

struct NamedFormat {
    std::string_view name;
    ExpertFormat format;
};
constexpr std::array kFormats = {
    NamedFormat{"f4", {WeightFormat::kFp4, ScaleFormat::kE8m0}},
    NamedFormat{"f4-f32", {WeightFormat::kFp4, ScaleFormat::kF32}},
    NamedFormat{"f8", {WeightFormat::kFp8, ScaleFormat::kE8m0}},
    NamedFormat{"f8-f32", {WeightFormat::kFp8, ScaleFormat::kF32}},
    NamedFormat{"bf16", {WeightFormat::kBf16, ScaleFormat::kNone}},
    NamedFormat{"f32", {WeightFormat::kF32, ScaleFormat::kNone}},
    NamedFormat{"q3s", {WeightFormat::kQ3s, ScaleFormat::kE8m0}},
    NamedFormat{"q2s", {WeightFormat::kQ2s, ScaleFormat::kE8m0}},
    NamedFormat{"q2v", {WeightFormat::kQ2v, ScaleFormat::kE8m0}},
};

constexpr uint64_t kPartAlignment = 64;
constexpr std::array<char, 8> kMagic = {'M', 'I', 'L', 'L', 'E', 'X', 'P', '1'};
constexpr size_t kHeaderBytes = 40;  // magic, store, layer, part, parts, zero, checksum

void put(std::span<std::byte> at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) at[i] = static_cast<std::byte>(value >> (8 * i));
}
uint64_t get(std::span<const std::byte> at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value |= std::to_integer<uint64_t>(at[i]) << (8 * i);
    return value;
}

LinearWeight matrix(ExpertFormat format, int64_t rows, int64_t cols) {
    LinearWeight weight;
    weight.format = format.weights;
    weight.scale_format = format.scales;
    weight.rows = rows;
    weight.cols = cols;
    return weight;
}

ExpertPart part(const LinearWeight& layout, const RecordPart& codes, const RecordPart& scales) {
    ExpertPart out;
    out.layout = layout;
    out.codes_offset = codes.offset;
    out.scales_offset = scales.offset;
    return out;
}

}  // namespace

std::string_view expert_format_name(ExpertFormat format) {
    const auto at = std::ranges::find(kFormats, format, &NamedFormat::format);
    return at == kFormats.end() ? "?" : at->name;
}

std::optional<ExpertFormat> expert_format_of(std::string_view name) {
    const auto at = std::ranges::find(kFormats, name, &NamedFormat::name);
    if (at == kFormats.end()) return std::nullopt;
    return at->format;
}

std::string expert_format_names() {
    std::string names;
    for (const NamedFormat& format : kFormats) {
        names += cat(names.empty() ? "" : ", ", format.name);
    }
    return names;
}

bool format_fits(ExpertFormat format, ExpertShape shape) {
    constexpr int64_t kBlock = 32;
    const bool bounded = shape.hidden > 0 && shape.inner > 0 &&
                         shape.hidden <= kExpertDimensionMax && shape.inner <= kExpertDimensionMax;
    if (!bounded || expert_format_name(format) == "?") return false;
    const bool blocks = format.weights != WeightFormat::kBf16 &&
                        format.weights != WeightFormat::kF32 &&
                        format.weights != WeightFormat::kFp8;
    return !blocks || (shape.hidden % kBlock == 0 && shape.inner % kBlock == 0);
}

ExpertWeights expert_layout_of(ExpertFormat format, ExpertShape shape) {
    return {matrix(format, shape.inner, shape.hidden), matrix(format, shape.hidden, shape.inner),
            matrix(format, shape.inner, shape.hidden)};
}

RecordLayout record_layout(ExpertFormat format, ExpertShape shape) {
    ENSURE(format_fits(format, shape));
    const ExpertWeights weights = expert_layout_of(format, shape);
    RecordLayout layout;
    const auto place = [&layout](RecordPart& out, int64_t bytes) {
        out = {layout.bytes, static_cast<uint64_t>(bytes)};
        layout.bytes = round_up(layout.bytes + out.bytes, kPartAlignment);
    };
    place(layout.w1_scales, weight_scales_bytes(weights.w1));
    place(layout.w3_scales, weight_scales_bytes(weights.w3));
    place(layout.w1_codes, weight_codes_bytes(weights.w1));
    place(layout.w3_codes, weight_codes_bytes(weights.w3));
    place(layout.w2_scales, weight_scales_bytes(weights.w2));
    place(layout.w2_codes, weight_codes_bytes(weights.w2));
    layout.stride = round_up(layout.bytes, kStoreBlockBytes);
    return layout;
}

ExpertRecord stored_record(ExpertFormat format, ExpertShape shape, int32_t file, uint64_t offset) {
    const RecordLayout layout = record_layout(format, shape);
    const ExpertWeights weights = expert_layout_of(format, shape);
    ExpertRecord record;
    record.ranges[0] = {file, offset, layout.bytes};
    record.range_count = 1;
    record.w1 = part(weights.w1, layout.w1_codes, layout.w1_scales);
    record.w2 = part(weights.w2, layout.w2_codes, layout.w2_scales);
    record.w3 = part(weights.w3, layout.w3_codes, layout.w3_scales);
    return record;
}

std::array<std::byte, kStoreBlockBytes> encode_header(const ExpertFileHeader& header) {
    std::array<std::byte, kStoreBlockBytes> block{};
    const std::span bytes(block);
    std::memcpy(block.data(), kMagic.data(), kMagic.size());
    put(bytes.subspan(8), header.store, 8);
    put(bytes.subspan(16), header.layer, 4);
    put(bytes.subspan(20), header.part, 4);
    put(bytes.subspan(24), header.parts, 4);
    put(bytes.subspan(32), checksum_of(bytes.first(32)), 8);
    return block;
}

std::optional<ExpertFileHeader> decode_header(std::span<const std::byte, kStoreBlockBytes> block) {
    const std::span<const std::byte> bytes(block);
    if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) return std::nullopt;
    if (get(bytes.subspan(32), 8) != checksum_of(bytes.first(32))) return std::nullopt;
    // Room for later; what stands there would have a meaning that this version does not know.
    const auto rest = bytes.subspan(kHeaderBytes);
    if (get(bytes.subspan(28), 4) != 0 ||
        std::ranges::any_of(rest, [](std::byte b) { return b != std::byte{0}; })) {
        return std::nullopt;
    }
    return ExpertFileHeader{.store = get(bytes.subspan(8), 8),
                            .layer = static_cast<uint32_t>(get(bytes.subspan(16), 4)),
                            .part = static_cast<uint32_t>(get(bytes.subspan(20), 4)),
                            .parts = static_cast<uint32_t>(get(bytes.subspan(24), 4))};
}

std::string expert_file_name(int32_t layer) {
    const std::string digits = cat(layer);
    return cat("experts-", std::string(3 - std::min<size_t>(digits.size(), 3), '0'), digits,
               ".bin");
}

}  // namespace millrace
