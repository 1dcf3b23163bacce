#pragma once
// The files of a checkpoint around its tensors: the header of a safetensors file, the names of shards, their index.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/tensor.h"

namespace millrace::test {

// A tensor as a header describes it.
struct ShardTensor {
    std::string name;
    DType dtype = DType::kU8;
    std::vector<int64_t> shape;
    uint64_t bytes = 0;
};

// What stands before the data of a file whose tensors follow each other in this order, without gaps: the length and the
// JSON text, padded to 8 bytes.
[[nodiscard]] std::string safetensors_opening(std::span<const ShardTensor> tensors);

// "model-00001-of-00004.safetensors"; `number` counts from 1.
[[nodiscard]] std::string shard_name(int number, int shards);

// model.safetensors.index.json; `map` names the file of every tensor.
[[nodiscard]] Json shard_index(Json::Object map, uint64_t total_bytes);

}  // namespace millrace::test
