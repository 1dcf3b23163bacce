#pragma once

template <bool kPart>
[[gnu::always_inline]] inline void swiglu_step(const Bf16* gate, const Bf16* up, F weight,
                                               float limit, int64_t count, Bf16* out) {
    // The gate has no lower clamp.
    const F g = min(all(limit), load_some<kPart>(gate, count));
    const F u = clamp(load_some<kPart>(up, count), limit);
    store_some<kPart>(out, weight * (g * sigmoid(g) * u), count);
}
void swiglu(const Bf16* gate, const Bf16* up, float weight, float limit, int64_t count, Bf16* out) {
    const F w = all(weight);
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) swiglu_step<false>(gate + i, up + i, w, limit, 16, out + i);
    if (i < count) swiglu_step<true>(gate + i, up + i, w, limit, count - i, out + i);
}

template <bool kPart>
[[gnu::always_inline]] inline void sum_step(const Bf16* rows, int64_t stride, const int32_t* order,
                                            int64_t orders, const Bf16* shared, int64_t count,
                                            Bf16* out) {
    F total = zero();
    for (int64_t j = 0; j < orders; ++j)
        total = total + load_some<kPart>(rows + order[j] * stride, count);
    store_some<kPart>(out, total + load_some<kPart>(shared, count), count);
}
void sum_rows(const Bf16* rows, int64_t stride, const int32_t* order, int64_t orders,
              const Bf16* shared, int64_t count, Bf16* out) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
        sum_step<false>(rows + i, stride, order, orders, shared + i, 16, out + i);
    if (i < count) sum_step<true>(rows + i, stride, order, orders, shared + i, count - i, out + i);
}

constexpr MixtureKernels kMixtureKernels = {.swiglu = swiglu, .sum_rows = sum_rows};
