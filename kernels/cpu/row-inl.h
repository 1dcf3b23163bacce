#pragma once

// All 16 lanes, or (kPart) the first `count`. A kernel's step is a template over kPart: once for whole vectors, once for
// the rest of a row.
template <bool kPart>
[[gnu::always_inline]] inline F load_some(const Bf16* at, int64_t count) {
    if constexpr (kPart) return load_bf16_part(at, count);
    return load_bf16(at);
}
template <bool kPart>
[[gnu::always_inline]] inline F load_some(const float* at, int64_t count) {
    if constexpr (kPart) return load_part(at, count);
    return load(at);
}
template <bool kPart>
[[gnu::always_inline]] inline void store_some(Bf16* at, F x, int64_t count) {
    if constexpr (kPart) {
        store_bf16_part(at, x, count);
    } else {
        store_bf16(at, x);
    }
}

[[gnu::always_inline]] inline float inv_rms(const Bf16* x, int64_t count, float eps) {
    F sums[4] = {zero(), zero(), zero(), zero()};
    int64_t i = 0;
    for (; i + 64 <= count; i += 64) {
        for (int j = 0; j < 4; ++j) {
            const F v = load_bf16(x + i + 16 * j);
            sums[j] = fma(v, v, sums[j]);
        }
    }
    for (; i + 16 <= count; i += 16) {
        const F v = load_bf16(x + i);
        sums[0] = fma(v, v, sums[0]);
    }
    if (i < count) {
        const F v = load_bf16_part(x + i, count - i);
        sums[0] = fma(v, v, sums[0]);
    }
    const float total = sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
    return 1.0F / std::sqrt(total / static_cast<float>(count) + eps);
}

void rms_norm(const Bf16* x, const Bf16* weight, int64_t count, float eps, Bf16* out) {
    const F scale = all(inv_rms(x, count, eps));
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        store_bf16(out + i, load_bf16(weight + i) * (load_bf16(x + i) * scale));
    }
    if (i < count) {
        const int64_t rest = count - i;
        const F y = load_bf16_part(weight + i, rest) * (load_bf16_part(x + i, rest) * scale);
        store_bf16_part(out + i, y, rest);
    }
}

void head_norm(Bf16* head, float eps) {
    F sums[4] = {zero(), zero(), zero(), zero()};
    for (int64_t i = 0; i < kHeadDim; i += 64) {
        for (int j = 0; j < 4; ++j) {
            const F v = load_bf16(head + i + 16 * j);
            sums[j] = sums[j] + round_bf16(v * v);
        }
    }
    const float total = sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
    const float mean = to_float(to_bf16(total / kHeadDim));
    const float shifted = to_float(to_bf16(mean + eps));
    const F scale = all(to_float(to_bf16(1.0F / std::sqrt(shifted))));
    for (int64_t i = 0; i < kHeadDim; i += 16) store_bf16(head + i, load_bf16(head + i) * scale);
}

// a·c − b·d as if rounded once, up to an ulp: what rounding b·d took away is put back.
[[gnu::always_inline]] inline F product_difference(F a, F c, F b, F d) {
    const F product = b * d;
    const F lost = fma(b, d, zero() - product);
    return fma(a, c, zero() - product) - lost;
}

void rotate(Bf16* x, int64_t count, int64_t width, const float* cosine, const float* sine) {
    for (int64_t end = width; end <= count; end += width) {
        for (int64_t i = 0; i < kRopeDim / 2; i += 16) {
            Bf16* at = x + end - kRopeDim + 2 * i;
            const Pairs pairs = load_pairs(at);
            const F even = low_of(pairs);
            const F odd = high_of(pairs);
            const F c = load(cosine + i);
            const F s = load(sine + i);
            store_pairs(at, round_bf16(product_difference(even, c, odd, s)),
                        round_bf16(product_difference(even, s, odd, zero() - c)));
        }
    }
}

template <bool kPart>
[[gnu::always_inline]] inline void add_step(const Bf16* a, const Bf16* c, int64_t count,
                                            Bf16* out) {
    store_some<kPart>(out, load_some<kPart>(a, count) + load_some<kPart>(c, count), count);
}
void add(const Bf16* a, const Bf16* c, int64_t count, Bf16* out) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) add_step<false>(a + i, c + i, 16, out + i);
    if (i < count) add_step<true>(a + i, c + i, count - i, out + i);
}

void scale(Bf16* x, int64_t count, float factor) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) store_bf16(x + i, load_bf16(x + i) * all(factor));
    if (i < count)
        store_bf16_part(x + i, load_bf16_part(x + i, count - i) * all(factor), count - i);
}

template <bool kPart>
[[gnu::always_inline]] inline void mean_step(const Bf16* x, int64_t stride, int64_t count,
                                             Bf16* out) {
    const F first = load_some<kPart>(x, count) + load_some<kPart>(x + stride, count);
    const F second =
        load_some<kPart>(x + 2 * stride, count) + load_some<kPart>(x + 3 * stride, count);
    store_some<kPart>(out, (first + second) * all(0.25F), count);
}
void mean_of_four(const Bf16* x, int64_t count, Bf16* out) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) mean_step<false>(x + i, count, 16, out + i);
    if (i < count) mean_step<true>(x + i, count, count - i, out + i);
}

constexpr RowKernels kRowKernels = {.rms_norm = rms_norm,
                                    .head_norm = head_norm,
                                    .rotate = rotate,
                                    .add = add,
                                    .scale = scale,
                                    .mean_of_four = mean_of_four};
