#pragma once
// What is checked in the values of dense tensors when a checkpoint is opened: everything that could
// silently spoil every answer and costs little to look at. Codes of large matrices are not read.
// Messages name the tensor and the place.

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/result.h"
#include "core/base/types.h"
#include "quant/linear_weight.h"

namespace millrace {

// kCorrupt at the first NaN or infinity.
[[nodiscard]] Status check_finite(std::string_view tensor, std::span<const float> values);
[[nodiscard]] Status check_finite(std::string_view tensor, std::span<const Bf16> values);

// kCorrupt at the first NaN (E8M0 byte 255) or non-finite F32 scale. `count` scales of the matrix's
// scale format.
[[nodiscard]] Status check_scales(std::string_view tensor, const LinearWeight& matrix,
                                  int64_t count);

// Each row of a hash layer's table names `per_token` different experts below `experts`.
[[nodiscard]] Status check_expert_table(std::string_view tensor, std::span<const int64_t> table,
                                        int32_t per_token, int32_t experts);

}  // namespace millrace
