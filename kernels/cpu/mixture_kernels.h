#pragma once
// Kernels of the mixture of experts besides its matrices (spec §4.9), one row at a time.

#include <cstdint>

#include "core/base/types.h"

namespace millrace {

struct MixtureKernels {
    // out[i] = b(weight · silu(min(gate[i], limit)) · clamp(up[i], ±limit)); out may be gate.
    void (*swiglu)(const Bf16* gate, const Bf16* up, float weight, float limit, int64_t count,
                   Bf16* out);
    // out[i] = b(Σ_j rows[order[j]·stride + i] + shared[i]) in that order: sums of fp32, the reference's bits.
    void (*sum_rows)(const Bf16* rows, int64_t stride, const int32_t* order, int64_t orders,
                     const Bf16* shared, int64_t count, Bf16* out);
};

}  // namespace millrace
