#include "core/model/expert_locator.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "core/base/check.h"

namespace millrace {
namespace {

struct RangePlace {
    int32_t range = 0;
    uint64_t offset = 0;
};

// Tensors lie inside ranges, so the range that begins last before a tensor holds it.
RangePlace place_of(const ExpertRecord& record, const TensorEntry& tensor) {
    for (int32_t i = 0; i < record.range_count; ++i) {
        const ByteRange& range = record.ranges[static_cast<size_t>(i)];
        if (range.file == tensor.file && range.offset <= tensor.offset &&
            tensor.offset + tensor.bytes <= range.offset + range.bytes) {
            return {i, tensor.offset - range.offset};
        }
    }
    ENSURE(false);
    return {};
}

ExpertPart place_part(const ExpertRecord& record, const FoundTensor& matrix) {
    ExpertPart part;
    part.layout = matrix_layout(matrix);
    const RangePlace codes = place_of(record, *matrix.elements);
    part.codes_range = codes.range;
    part.codes_offset = codes.offset;
    if (matrix.scales) {
        const RangePlace scales = place_of(record, *matrix.scales);
        part.scales_range = scales.range;
        part.scales_offset = scales.offset;
    }
    return part;
}

}  // namespace

LinearWeight matrix_layout(const FoundTensor& matrix) {
    LinearWeight layout;
    const std::optional<WeightFormat> format = weight_format(matrix.elements->dtype);
    ENSURE(format.has_value());  // find_tensor() let only these through
    layout.format = *format;
    if (matrix.scales) {
        layout.scale_format =
            matrix.scales->dtype == DType::kF32 ? ScaleFormat::kF32 : ScaleFormat::kE8m0;
    }
    layout.rows = matrix.elements->shape.dims[0];
    layout.cols = matrix.elements->shape.dims[1] * (layout.format == WeightFormat::kFp4 ? 2 : 1);
    return layout;
}

ExpertRecord make_expert_record(const std::array<FoundTensor, 3>& matrices) {
    std::vector<const TensorEntry*> tensors;
    for (const FoundTensor& matrix : matrices) {
        tensors.push_back(matrix.elements);
        if (matrix.scales) tensors.push_back(matrix.scales);
    }
    std::sort(tensors.begin(), tensors.end(), [](const TensorEntry* a, const TensorEntry* b) {
        return std::tie(a->file, a->offset) < std::tie(b->file, b->offset);
    });
    ExpertRecord record;
    for (const TensorEntry* tensor : tensors) {
        ByteRange* last = record.range_count == 0
                              ? nullptr
                              : &record.ranges[static_cast<size_t>(record.range_count) - 1];
        if (last && last->file == tensor->file &&
            tensor->offset - (last->offset + last->bytes) < kRangeGapMax) {
            last->bytes = tensor->offset + tensor->bytes - last->offset;
        } else {
            record.ranges[static_cast<size_t>(record.range_count++)] = {
                tensor->file, tensor->offset, tensor->bytes};
        }
    }
    record.w1 = place_part(record, matrices[0]);
    record.w2 = place_part(record, matrices[1]);
    record.w3 = place_part(record, matrices[2]);
    return record;
}

}  // namespace millrace
