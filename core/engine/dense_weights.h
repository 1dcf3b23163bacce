#pragma once
// Dense weights in memory of their own, turned into the layout that the ops read fastest.
//
// Measured on two cores of Zen 5 (docs/performance.md): one row times an FP8 weight reads 0.6 of the memory's bandwidth from
// the file's layout and all of it from strips, and the copy lies in huge pages. It replaces the mapped bytes, it is not kept
// beside them.

#include <cstdint>
#include <functional>
#include <limits>

#include "core/base/memory.h"
#include "core/base/result.h"
#include "core/model/checkpoint.h"
#include "kernels/ops.h"

namespace millrace {

// Asked while a model is opened, on the thread that opens it: bytes of its dense weights that are in memory, of all that
// will be. False: nobody wants the model any more, and opening it ends with kCancelled.
using OpenWatch = std::function<bool(uint64_t done_bytes, uint64_t total_bytes)>;

// Copies every weight that the ops would rather have arranged, arranges it, points the checkpoint's weights at the copies
// and gives the mapped bytes back. The memory must outlive the checkpoint's use. Nothing to arrange, or more than
// `available_bytes` (what the machine has free; 0: not known): an empty buffer, and the weights stay mapped. Results do not
// change by a bit. After kCancelled the checkpoint is of no use: some of its weights are gone.
[[nodiscard]] Result<PageBuffer> arrange_dense_weights(Checkpoint& checkpoint, Ops& ops,
                                                       uint64_t available_bytes,
                                                       const OpenWatch& watch = {});

// Which of the dense weights: those of consecutive layers of the trunk, and what comes behind all of them.
struct DenseShare {
    int32_t first_layer = 0, layers = std::numeric_limits<int32_t>::max();
    bool head = true;  // and the draft blocks
};

// The same for ops with memory of their own: copies all that they read of these dense weights there, and points the
// checkpoint's weights at the copies. Tables of which a token takes a row (embedding, hash layers, Markov) stay where they
// are.
[[nodiscard]] Result<OpsMemory> place_dense_weights(Checkpoint& checkpoint, Ops& ops,
                                                    const DenseShare& share,
                                                    const OpenWatch& watch = {});
// What that allocates.
[[nodiscard]] uint64_t placed_dense_bytes(Checkpoint& checkpoint, const DenseShare& share);

}  // namespace millrace
