#pragma once
// Synthetic checkpoints in the released format: every byte is a function of (seed, tensor name,
// index), by the rule in tests/golden/model/README.md. And the means to write any other checkpoint,
// sound or broken.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/tensor.h"

namespace millrace::test {

struct SyntheticTensor {
    DType dtype = DType::kU8;
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
};

// Sorted by name, as the files are.
using SyntheticTensors = std::map<std::string, SyntheticTensor>;

// All tensors of a config in the released spelling with a `synthetic_seed`.
[[nodiscard]] SyntheticTensors synthetic_tensors(const Json& config);

// The token stream `tokens.i` of the goldens: u mod `modulus`.
[[nodiscard]] std::vector<int32_t> synthetic_tokens(uint64_t seed, int index, int64_t count,
                                                    int64_t modulus);

// One file; tensors in order of their names, no gaps.
void write_safetensors(const Path& path, const SyntheticTensors& tensors);

// config.json, the shards and their index.
void write_checkpoint(const Path& directory, const Json& config, const SyntheticTensors& tensors,
                      int shards);

// The checkpoint of tests/golden/model/X/config.json in `out_dir`, which is made if need be.
void write_synthetic(const Path& config_json, const Path& out_dir, int shards);

}  // namespace millrace::test
