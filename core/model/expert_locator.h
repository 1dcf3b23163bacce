#pragma once
// Turns the six tensors of an expert into as few byte ranges as they allow.

#include <array>

#include "core/model/expert_source.h"
#include "core/model/inventory.h"

namespace millrace {

// Two tensors of one expert in one file become one range when less than this lies between them:
// reading a gap of a page costs less than another request.
inline constexpr uint64_t kRangeGapMax = 4096;

// w1, w2, w3 of one expert, found and checked.
[[nodiscard]] ExpertRecord make_expert_record(const std::array<FoundTensor, 3>& matrices);

// A found matrix as the kernels see it, still without pointers.
[[nodiscard]] LinearWeight matrix_layout(const FoundTensor& matrix);

}  // namespace millrace
