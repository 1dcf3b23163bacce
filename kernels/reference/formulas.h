#pragma once
// Formulas inside larger ops that have goldens of their own.

#include "kernels/ops.h"

namespace millrace::reference {

// sqrt(log1p(e^logit)); above 20 softplus is the identity (spec §4.9).
[[nodiscard]] float sqrt_softplus(float logit);

// mixes [24] → pre [4], post [4], comb [16]: sigmoids and Sinkhorn rounds (spec §4.2, steps 4 and 5).
void split_mixes(const float* mixes, const HyperConnectionSite& site, float* pre, float* post,
                 float* comb);

// Natural-order Walsh–Hadamard over every 128 columns: out_i = Σ_j (−1)^popcount(i & j)·x_j · 128^−½ (spec §4.5).
void hadamard(MatrixView<const Bf16> x, MatrixView<Bf16> out);

// fq4, stored compactly (spec §2.4). x [n, m·128], rows n·m.
void pack_fq4(MatrixView<const Bf16> x, std::span<IndexRow> rows);

// Attention of one query [nh·512] over bf16 keys of 512 that need not lie on the FP8 grid (spec §4.7).
void attend_bf16(std::span<const Bf16> q, std::span<const Bf16* const> keys,
                 std::span<const float> sink, std::span<Bf16> out);

}  // namespace millrace::reference
