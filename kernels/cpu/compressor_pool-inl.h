#pragma once

template <bool kPart>
[[gnu::always_inline]] inline void pool_step(const float* const* rows, const PoolShape& shape,
                                             int64_t channel, int64_t count, Bf16* out) {
    F most = all(-std::numeric_limits<float>::infinity());
    for (int row = 0; row < shape.contributors; ++row) {
        if (rows[row] == nullptr) continue;
        const int64_t at = channel + (row < shape.previous ? 0 : shape.shift);
        most = max(load_some<kPart>(rows[row] + shape.scores + at, count), most);
    }
    F weights = zero();
    F total = zero();
    for (int row = 0; row < shape.contributors; ++row) {
        if (rows[row] == nullptr) continue;
        const int64_t at = channel + (row < shape.previous ? 0 : shape.shift);
        const F weight = exp(load_some<kPart>(rows[row] + shape.scores + at, count) - most);
        weights = weights + weight;
        total = fma(weight, load_some<kPart>(rows[row] + at, count), total);
    }
    store_some<kPart>(out + channel, total / weights, count);
}

void compressor_pool(const float* const* rows, const PoolShape& shape, int64_t first, int64_t last,
                     Bf16* out) {
    int64_t i = first;
    for (; i + 16 <= last; i += 16) pool_step<false>(rows, shape, i, 16, out);
    if (i < last) pool_step<true>(rows, shape, i, last - i, out);
}
