#include "quant/format.h"

#include <algorithm>
#include <array>

#include "core/base/check.h"

namespace millrace {
namespace {

struct Named {
    WeightFormat format;
    std::string_view name;
};
constexpr std::array kNames = {Named{WeightFormat::kBf16, "bf16"}, Named{WeightFormat::kF32, "f32"},
                               Named{WeightFormat::kFp8, "f8"},    Named{WeightFormat::kFp4, "f4"},
                               Named{WeightFormat::kQ3s, "q3s"},   Named{WeightFormat::kQ2s, "q2s"},
                               Named{WeightFormat::kQ2v, "q2v"}};

}  // namespace

std::string_view format_name(WeightFormat format) {
    const auto* const found = std::ranges::find(kNames, format, &Named::format);
    ENSURE(found != kNames.end());
    return found->name;
}

std::optional<WeightFormat> format_from_name(std::string_view name) {
    const auto* const found = std::ranges::find(kNames, name, &Named::name);
    if (found == kNames.end()) return std::nullopt;
    return found->format;
}

}  // namespace millrace
