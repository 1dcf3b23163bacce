#include "core/pack/expert_bytes.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/model/checksum.h"
#include "quant/encode.h"

namespace millrace {
namespace {

ExpertFormat format_of(const ExpertPart& part) {
    return {part.layout.format, part.layout.scale_format};
}

using RangeData = std::array<const std::byte*, 6>;

// Sets `data` and says whether the bytes are those that the checksum speaks of.
Result<bool> read_ranges(const ExpertRecord& record, const BlockReader& reader,
                         std::span<std::byte> memory, RangeData& data) {
    for (int32_t i = 0; i < record.range_count; ++i) {
        const ByteRange& range = record.ranges[static_cast<size_t>(i)];
        const auto bytes = TRY(reader.read(range.file, range.offset, range.bytes, memory));
        data[static_cast<size_t>(i)] = bytes.data();
        memory = memory.subspan(BlockReader::memory_for(range.bytes));
    }
    if (!record.checksum) return true;
    ENSURE(record.range_count == 1);  // only stores have checksums
    return checksum_of(std::span(data[0], record.ranges[0].bytes)) == *record.checksum;
}

}  // namespace

std::optional<ExpertFormat> format_of(const ExpertRecord& record) {
    const ExpertFormat format = format_of(record.w1);
    if (format_of(record.w2) != format || format_of(record.w3) != format) return std::nullopt;
    return format;
}

uint64_t read_memory_for(const ExpertSource& source) {
    uint64_t most = 0;
    for (int32_t l = 0; l < source.layers(); ++l) {
        for (int32_t e = 0; e < source.experts(); ++e) {
            const ExpertRecord& record = source.record({{l}, {e}});
            uint64_t bytes = 0;
            for (int32_t i = 0; i < record.range_count; ++i) {
                bytes += BlockReader::memory_for(record.ranges[static_cast<size_t>(i)].bytes);
            }
            most = std::max(most, bytes);
        }
    }
    return most;
}

Result<ExpertWeights> read_expert(const ExpertSource& source, ExpertKey key,
                                  const BlockReader& reader, std::span<std::byte> memory) {
    const ExpertRecord& record = source.record(key);
    RangeData data{};
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (TRY(read_ranges(record, reader, memory, data))) return record.at(data);
    }
    return Error{
        ErrorCode::kCorrupt,
        cat("expert ", key.expert.value, " of layer ", key.layer.value, " in ",
            reader.path(record.ranges[0].file).string(), " at byte ", record.ranges[0].offset,
            " is broken: its checksum is another one; repair that store first (millrace "
            "verify --repair)")};
}

void place_expert(const ExpertWeights& weights, const RecordLayout& layout,
                  std::span<std::byte> out) {
    ENSURE(out.size() >= layout.stride);
    std::array<std::pair<RecordPart, const std::byte*>, 6> parts = {
        {{layout.w1_scales, weights.w1.scales},
         {layout.w3_scales, weights.w3.scales},
         {layout.w1_codes, weights.w1.codes},
         {layout.w3_codes, weights.w3.codes},
         {layout.w2_scales, weights.w2.scales},
         {layout.w2_codes, weights.w2.codes}}};
    uint64_t end = 0;
    for (const auto& [part, bytes] : parts) {
        std::memset(out.data() + end, 0, part.offset - end);
        if (part.bytes > 0) std::memcpy(out.data() + part.offset, bytes, part.bytes);
        end = part.offset + part.bytes;
    }
    std::memset(out.data() + end, 0, layout.stride - end);
}

bool can_encode(ExpertFormat from, ExpertFormat to) {
    LinearWeight made;
    made.format = to.weights;
    return from == ExpertFormat{WeightFormat::kFp4, ScaleFormat::kE8m0} && made.low_bit();
}

void encode_expert(const ExpertWeights& weights, const InputImportance& importance,
                   WeightFormat format, const RecordLayout& layout, std::span<std::byte> out) {
    ENSURE(out.size() >= layout.stride);
    std::memset(out.data(), 0, layout.stride);
    const auto encode = [&](const LinearWeight& matrix, const std::vector<float>& weighed,
                            const RecordPart& codes, const RecordPart& scales) {
        encode_rows(matrix, weighed,
                    {format, out.data() + codes.offset, out.data() + scales.offset}, 0,
                    matrix.rows);
    };
    encode(weights.w1, importance.input, layout.w1_codes, layout.w1_scales);
    encode(weights.w3, importance.input, layout.w3_codes, layout.w3_scales);
    encode(weights.w2, importance.inner, layout.w2_codes, layout.w2_scales);
}

}  // namespace millrace
