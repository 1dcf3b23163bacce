#pragma once

// A tile of sums stays in registers: rows of fn and of x are each loaded once for it.
template <int kTokens, bool kPart>
[[gnu::always_inline]] inline void mix_step(const MixProblem& p, const Bf16* x, const float* fn,
                                            int64_t i, F (&sums)[kTokens][4]) {
    F v[kTokens];
    for (int t = 0; t < kTokens; ++t)
        v[t] = load_some<kPart>(x + t * p.x_stride + i, p.columns - i);
    for (int m = 0; m < 4; ++m) {
        const F weight = load_some<kPart>(fn + m * p.fn_stride + i, p.columns - i);
        for (int t = 0; t < kTokens; ++t) sums[t][m] = fma(weight, v[t], sums[t][m]);
    }
}
template <int kTokens>
[[gnu::always_inline]] inline void mix_tile(const MixProblem& p, int64_t token, int64_t output) {
    const Bf16* x = p.x + token * p.x_stride;
    const float* fn = p.fn + output * p.fn_stride;
    F sums[kTokens][4];
    for (auto& row : sums)
        for (F& s : row) s = zero();
    int64_t i = 0;
    for (; i + 16 <= p.columns; i += 16) mix_step<kTokens, false>(p, x, fn, i, sums);
    if (i < p.columns) mix_step<kTokens, true>(p, x, fn, i, sums);
    for (int t = 0; t < kTokens; ++t)
        for (int m = 0; m < 4; ++m)
            p.sums[(token + t) * p.sums_stride + output + m] = sum(sums[t][m]);
}

void mix(const MixProblem& p) {
    constexpr int kTokens = kRegisters >= 32 ? 4 : 1;
    for (int64_t output = 0; output < p.outputs; output += 4) {
        int64_t token = 0;
        for (; token + kTokens <= p.tokens; token += kTokens) mix_tile<kTokens>(p, token, output);
        for (; token < p.tokens; ++token) mix_tile<1>(p, token, output);
    }
}

float inv_rms_of(const Bf16* x, int64_t count, float eps) { return inv_rms(x, count, eps); }

// The sum of every row of a 4 × 4 matrix, in all its lanes; of every column.
[[gnu::always_inline]] inline F row_sums(F c) {
    const F two = c + swap_lanes<1>(c);
    return two + swap_lanes<2>(two);
}
[[gnu::always_inline]] inline F column_sums(F c) {
    const F two = c + swap_lanes<4>(c);
    return two + swap_lanes<8>(two);
}

// Softmax of the rows (+ eps), then columns and rows in turn, ending on columns. The matrix is one vector.
[[gnu::always_inline]] inline F sinkhorn(F c, int rounds, float eps) {
    const F e = all(eps);
    F most = max(c, swap_lanes<1>(c));
    most = max(most, swap_lanes<2>(most));
    c = exp(c - most);
    c = c / row_sums(c) + e;
    for (int round = 0; round < rounds; ++round) {
        if (round > 0) c = c / (row_sums(c) + e);
        c = c / (column_sums(c) + e);
    }
    return c;
}

void split(const float* mixes, const float* base, const float* scale, float eps, int rounds,
           float* pre, float* post, float* comb) {
    const float scales[16] = {scale[0], scale[0], scale[0], scale[0],
                              scale[1], scale[1], scale[1], scale[1]};
    float gates[16];
    store(gates, sigmoid(fma(load_part(mixes, 8), load(scales), load_part(base, 8))));
    for (int j = 0; j < 4; ++j) pre[j] = gates[j] + eps;
    for (int j = 0; j < 4; ++j) post[j] = 2 * gates[4 + j];
    store(comb, sinkhorn(fma(load(mixes + 8), all(scale[2]), load(base + 8)), rounds, eps));
}

void head_weights(const float* base, float scale, float eps, float* weights) {
    const F logits = fma(load_part(weights, 4), all(scale), load_part(base, 4));
    store_part(weights, sigmoid(logits) + all(eps), 4);
}

template <bool kPart>
[[gnu::always_inline]] inline void weighted_step(const Bf16* streams, int64_t stride,
                                                 const float* weights, int64_t count, Bf16* out) {
    F total = all(weights[0]) * load_some<kPart>(streams, count);
    for (int j = 1; j < 4; ++j)
        total = fma(all(weights[j]), load_some<kPart>(streams + j * stride, count), total);
    store_some<kPart>(out, total, count);
}
void weighted_sum(const Bf16* streams, int64_t count, const float* weights, Bf16* out) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) weighted_step<false>(streams + i, count, weights, 16, out + i);
    if (i < count) weighted_step<true>(streams + i, count, weights, count - i, out + i);
}

template <bool kPart>
[[gnu::always_inline]] inline void expand_step(const Bf16* y, const float* post, const float* comb,
                                               int64_t stride, int64_t count, Bf16* streams) {
    const F added = load_some<kPart>(y, count);
    F old[4];
    for (int j = 0; j < 4; ++j) old[j] = load_some<kPart>(streams + j * stride, count);
    for (int k = 0; k < 4; ++k) {
        // The first index of comb is the source stream.
        F total = all(post[k]) * added;
        for (int j = 0; j < 4; ++j) total = fma(all(comb[4 * j + k]), old[j], total);
        store_some<kPart>(streams + k * stride, total, count);
    }
}
void expand(const Bf16* y, const float* post, const float* comb, int64_t count, Bf16* streams) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) expand_step<false>(y + i, post, comb, count, 16, streams + i);
    if (i < count) expand_step<true>(y + i, post, comb, count, count - i, streams + i);
}

constexpr HyperConnectionKernels kHyperConnectionKernels = {.mix = mix,
                                                            .inv_rms = inv_rms_of,
                                                            .split = split,
                                                            .head_weights = head_weights,
                                                            .weighted_sum = weighted_sum,
                                                            .expand = expand};
