#pragma once
// Kernels on one row at a time, memory-bound or small: norms, rotation, sums of rows. Formulas: kernels/ops.h and the
// reference of the same name. Summation: 4 vectors of 16 lanes, which take turns; then halves, quarters, ….

#include <cstdint>

#include "core/base/types.h"
#include "kernels/kv_rows.h"

namespace millrace {

struct RowKernels {
    // out[i] = b(w[i] · (x[i] · inv_rms)); x and out may be the same.
    void (*rms_norm)(const Bf16* x, const Bf16* weight, int64_t count, float eps, Bf16* out);
    // One head of 512, in place, rounded to bf16 at every step.
    void (*head_norm)(Bf16* head, float eps);
    // Turns the last 64 of every `width` of `count` elements by 32 angles. In place.
    void (*rotate)(Bf16* x, int64_t count, int64_t width, const float* cosine, const float* sine);
    // out[i] = b(a[i] + c[i]).
    void (*add)(const Bf16* a, const Bf16* c, int64_t count, Bf16* out);
    // x[i] = b(x[i] · factor).
    void (*scale)(Bf16* x, int64_t count, float factor);
    // out[i] = b of the mean of elements i, count + i, 2·count + i, 3·count + i.
    void (*mean_of_four)(const Bf16* x, int64_t count, Bf16* out);
};

}  // namespace millrace
