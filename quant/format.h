#pragma once
// The short names of weight formats, as commands and manifests write them. Pure functions.

#include <optional>
#include <string_view>

#include "quant/linear_weight.h"

namespace millrace {

// "bf16", "f32", "f8", "f4", "q3s", "q2s", "q2v".
[[nodiscard]] std::string_view format_name(WeightFormat format);
[[nodiscard]] std::optional<WeightFormat> format_from_name(std::string_view name);

}  // namespace millrace
