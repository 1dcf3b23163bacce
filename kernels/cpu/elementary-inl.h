#pragma once
// Elementary functions on vectors, within two units in the last place of fp32.

// e^x. Below −87.3 the result is 0 (no subnormals), above 88.7 infinity; NaN stays NaN.
// x = n·ln 2 + r, |r| ≤ ½ ln 2; e^r by its Taylor sum to r⁷ (truncation 2⁻²⁸), times 2ⁿ.
[[gnu::always_inline]] inline F exp(F x) {
    const F low = all(-87.33654F);
    const F high = all(88.72283F);
    const F inside = min(max(low, x), high);  // NaN becomes `low`: put back below
    const I n = to_ints(inside * all(1.44269504F));
    const F nf = to_floats(n);
    // ln 2 in two parts: nf·first is exact.
    F r = fma(nf, all(-0.693359375F), inside);
    r = fma(nf, all(2.12194440e-4F), r);
    F p = all(1.0F / 5040);
    p = fma(p, r, all(1.0F / 720));
    p = fma(p, r, all(1.0F / 120));
    p = fma(p, r, all(1.0F / 24));
    p = fma(p, r, all(1.0F / 6));
    p = fma(p, r, all(0.5F));
    p = fma(p * r, r, r) + all(1.0F);
    // 2ⁿ in two steps: 2¹²⁸ does not fit an exponent.
    const I half = shift_right_signed<1>(n);
    const F a = floats_of(shift_left<23>(half + all_int(127)));
    const F b = floats_of(shift_left<23>(n - half + all_int(127)));
    F out = p * a * b;
    out = select(x < low, zero(), out);
    out = select(high < x, all(std::numeric_limits<float>::infinity()), out);
    return select(is_nan(x), x, out);
}

// 1 / (1 + e^−x).
[[gnu::always_inline]] inline F sigmoid(F x) { return all(1.0F) / (all(1.0F) + exp(zero() - x)); }

// The nearest bf16, as a float.
[[gnu::always_inline]] inline F round_bf16(F x) { return floats_of(shift_left<16>(bf16_codes(x))); }

// e4m3 codes (low byte of each lane) as floats. The code's exponent and mantissa are put into a float's: too small by
// 2¹²⁰, also for subnormals; the product is exact.
[[gnu::always_inline]] inline F e4m3_floats(I codes) {
    const I sign = shift_left<24>(codes & all_int(0x80));
    const I size = codes & all_int(0x7F);
    const F value = floats_of(sign | shift_left<20>(size)) * all(0x1p120F);
    return select(size == all_int(0x7F), floats_of(all_int(0x7FC00000)), value);
}

// E8M0: 2^(byte − 127) of the low byte of each lane, which is all there is; 255 is NaN.
[[gnu::always_inline]] inline F e8m0_floats(I bytes) {
    const I bits = max(shift_left<23>(bytes), all_int(0x00400000));
    return floats_of(select(bytes == all_int(255), all_int(0x7FC00000), bits));
}
