#pragma once
// Canonical arithmetic: every sum is exact (in double), rounded to fp32 once, and to bf16 where the official code has
// bf16; every exp, log, sqrt, quotient is the double result rounded to fp32. Then no order of summation can show.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/base/pool.h"
#include "core/base/tensor.h"
#include "core/base/types.h"
#include "kernels/kv_rows.h"
#include "quant/float_codes.h"
#include "quant/linear_weight.h"

namespace millrace::reference {

[[nodiscard]] inline float f(double x) { return static_cast<float>(x); }
[[nodiscard]] inline Bf16 b(float x) { return to_bf16(x); }
// bf16 of the fp32 of an exact value: both roundings, as the official code has them.
[[nodiscard]] inline Bf16 bf(double x) { return to_bf16(static_cast<float>(x)); }
[[nodiscard]] inline double value(Bf16 x) { return to_float(x); }

[[nodiscard]] inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// Σ a_i·x_i. Eight partial sums: exact sums have no order, and the compiler may use vectors.
[[nodiscard]] inline double dot(const double* a, const double* x, int64_t count) {
    double part[8] = {};
    const int64_t whole = count - count % 8;
    for (int64_t i = 0; i < whole; i += 8) {
        for (int j = 0; j < 8; ++j) part[j] += a[i + j] * x[i + j];
    }
    for (int64_t i = whole; i < count; ++i) part[0] += a[i] * x[i];
    return ((part[0] + part[4]) + (part[1] + part[5])) +
           ((part[2] + part[6]) + (part[3] + part[7]));
}

// 1/√(mean(x²) + eps) as fp32: item 2 of canonical arithmetic.
[[nodiscard]] inline float inv_rms(std::span<const Bf16> x, float eps) {
    double sum = 0;
    for (const Bf16 v : x) sum += value(v) * value(v);
    const float mean = f(sum / static_cast<double>(x.size()));
    return f(1.0 / std::sqrt(static_cast<double>(mean + eps)));
}

template <class T>
[[nodiscard]] T load(const std::byte* at) {
    T out;
    std::memcpy(&out, at, sizeof(T));
    return out;
}

// The real values of `count` weights of one row, from column `first`, inside one block of 128; of FP4 and
// of low-bit formats both are multiples of 32.
void decode_weights(const LinearWeight& weight, int64_t row, int64_t first, int64_t count,
                    double* out);

// The 512 values of a KV row, the 128 of an index row.
void decode_row(const KvRow& row, double* out);
void decode_row(const IndexRow& row, double* out);

// body(first, last) on pieces of [0, count) of at least `grain`.
template <class Body>
void in_pieces(Pool& pool, int64_t count, int64_t grain, const Body& body) {
    const int64_t pieces =
        std::min<int64_t>((count + grain - 1) / grain, int64_t{8} * pool.threads());
    pool.run(pieces, [&](int64_t i) { body(count * i / pieces, count * (i + 1) / pieces); });
}

}  // namespace millrace::reference
