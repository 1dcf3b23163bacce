#pragma once
// The smallest checkpoint with every part of the architecture (about 1 MB), for tests that break or
// rewrite one.

#include "core/base/json.h"
#include "core/model/checkpoint.h"
#include "tests/support/synthetic.h"

namespace millrace::test {

// Three layers: window with hash routing, sparse, heavy; one classic MTP block; 3 experts, 2 a
// token.
[[nodiscard]] Json small_config();
// The same with the three DSpark stages instead.
[[nodiscard]] Json small_dspark_config();

// Every dense tensor of `checkpoint` and, read from the shards, every expert must be the bytes of
// `tensors`, which have official names. Counts what was compared.
[[nodiscard]] size_t check_checkpoint_bytes(const Checkpoint& checkpoint,
                                            const SyntheticTensors& tensors);

}  // namespace millrace::test
