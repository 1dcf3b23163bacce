#pragma once
// Kernels that round onto the FP8 and FP4 grids (spec §2.2–2.4). Codes and scales are the reference's bit for bit, also
// of ties, subnormals, saturated values, infinities and NaN.

#include <cstdint>

#include "core/base/types.h"
#include "kernels/kv_rows.h"

namespace millrace {

struct GridKernels {
    // aq128: `count` is a multiple of 128.
    void (*quantise)(const Bf16* x, int64_t count, uint8_t* codes, uint8_t* scales);
    // fq64 of the first 448 of 512.
    void (*pack_kv)(const Bf16* x, KvRow* row);
    // Over 128 in natural order, butterflies in fp32 → bf16: where these sums are exact, the reference's bits too.
    void (*hadamard)(const Bf16* x, Bf16* out);
    // fq4 of 128.
    void (*pack_fq4)(const Bf16* x, IndexRow* row);
};

}  // namespace millrace
