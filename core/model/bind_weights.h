#pragma once
// From checked tensors to the fields of ModelWeights, once; nobody looks up names afterwards.

#include <string_view>
#include <unordered_map>

#include "core/base/result.h"
#include "core/model/config.h"
#include "core/model/dense_tensors.h"
#include "core/model/inventory.h"
#include "core/model/weights.h"

namespace millrace {

// Official name → where it is, for every dense tensor of the inventory.
using FoundTensors = std::unordered_map<std::string_view, FoundTensor>;

// Pointers of the result lead into `bytes`. Values are checked as weight_checks.h says; that is how
// this fails.
[[nodiscard]] Result<ModelWeights> bind_weights(const ModelConfig& config, DraftBlocks drafts,
                                                const FoundTensors& found, DenseTensors& bytes);

}  // namespace millrace
