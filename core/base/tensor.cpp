#include "core/base/tensor.h"

#include "core/base/strings.h"

namespace millrace {

std::string_view dtype_name(DType t) {
    switch (t) {
        case DType::kF32: return "F32";
        case DType::kF16: return "F16";
        case DType::kBf16: return "BF16";
        case DType::kF8E4m3: return "F8_E4M3";
        case DType::kF8E8m0: return "F8_E8M0";
        case DType::kI8: return "I8";
        case DType::kU8: return "U8";
        case DType::kI32: return "I32";
        case DType::kI64: return "I64";
        case DType::kF64: return "F64";
    }
    return "?";
}

std::string Shape::text() const {
    std::string out = "[";
    for (int32_t i = 0; i < rank; ++i) out += cat(i ? ", " : "", dims[static_cast<size_t>(i)]);
    return out + "]";
}

}  // namespace millrace
