#pragma once
// Kernels of hyper-connections (spec §4.2, §4.10).
//
// mixes = fn·x over all four streams is the work: 24 · 4d multiplications a row, and for one row 96·4d bytes of fn against
// 8d of x. So one row is bound by memory (Flash: 1.5 MiB a site, 86 sites a token), many rows by FMA. The columns are cut
// into pieces of kMixColumns, whatever the number of rows or threads; the sums of the pieces are added in order.

#include <cstdint>

#include "core/base/types.h"

namespace millrace {

inline constexpr int64_t kMixColumns = 1024;

// x: [tokens][x_stride]; fn: [outputs][fn_stride], outputs a multiple of 4; sums: [tokens][sums_stride].
struct MixProblem {
    const Bf16* x = nullptr;
    int64_t x_stride = 0;
    int64_t tokens = 0;
    const float* fn = nullptr;
    int64_t fn_stride = 0;
    int64_t outputs = 0;
    int64_t columns = 0;
    float* sums = nullptr;
    int64_t sums_stride = 0;
};

struct HyperConnectionKernels {
    // sums[t][m] = Σ_i fn[m][i]·x[t][i]: in 16 lanes, lane l adds columns l, l + 16, …; then halves, quarters, ….
    void (*mix)(const MixProblem& problem);
    float (*inv_rms)(const Bf16* x, int64_t count, float eps);
    // mixes [24] → pre [4], post [4], comb [16]. scale [3], base [24].
    void (*split)(const float* mixes, const float* base, const float* scale, float eps, int rounds,
                  float* pre, float* post, float* comb);
    // weights[j] = σ(weights[j]·scale + base[j]) + eps, j < 4.
    void (*head_weights)(const float* base, float scale, float eps, float* weights);
    // out[i] = b(Σ_j weights[j]·streams[j·count + i]).
    void (*weighted_sum)(const Bf16* streams, int64_t count, const float* weights, Bf16* out);
    // streams[k·count + i] = b(post[k]·y[i] + Σ_j comb[4j + k]·streams[j·count + i]), in place.
    void (*expand)(const Bf16* y, const float* post, const float* comb, int64_t count,
                   Bf16* streams);
};

}  // namespace millrace
