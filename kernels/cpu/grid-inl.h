#pragma once

// Codes without sign of a format with kMantissa mantissa bits and this exponent bias, to nearest, ties to even. |x| must
// not exceed the largest value of the format.
template <int kMantissa, int kBias>
[[gnu::always_inline]] inline I grid_codes(F x) {
    const I size = bits_of(x) & all_int(0x7FFFFFFF);
    // Below the smallest normal number the code counts steps of one size.
    constexpr float kStepsInOne = 1 << (kBias - 1 + kMantissa);
    const I steps = to_ints(floats_of(size) * all(kStepsInOne));
    // Above, exponent and mantissa are a float's, cut short: half a unit less one, and one more if the code is odd.
    const I odd = shift_right<23 - kMantissa>(size) & all_int(1);
    const I rounded = size + all_int((1 << (22 - kMantissa)) - 1) + odd;
    const I normal = shift_right<23 - kMantissa>(rounded) - all_int((127 - kBias) << kMantissa);
    return select(size < all_int((128 - kBias) << 23), steps, normal);
}

// NaN stays NaN.
[[gnu::always_inline]] inline F clamp(F x, float limit) {
    return min(all(limit), max(all(-limit), x));
}

[[gnu::always_inline]] inline I e4m3_codes(F x) {
    const F inside = clamp(x, 448);
    const I sign = shift_right<24>(bits_of(inside)) & all_int(0x80);
    return select(is_nan(x), all_int(0x7F), sign | grid_codes<3, 7>(inside));
}
[[gnu::always_inline]] inline I e2m1_codes(F x) {
    const F inside = clamp(x, 6);
    const I sign = shift_right<28>(bits_of(inside)) & all_int(8);
    return select(is_nan(x), all_int(0), sign | grid_codes<1, 1>(inside));
}

// The largest magnitude; NaN does not count.
template <int kVectors>
[[gnu::always_inline]] inline float largest_size(const F* x) {
    F most = zero();
    for (int j = 0; j < kVectors; ++j)
        most = max(floats_of(bits_of(x[j]) & all_int(0x7FFFFFFF)), most);
    return largest(most);
}

// One group onto e4m3 codes; returns its scale. Dividing by a power of two is multiplying by another one: both exact, or
// the same rounding of the same subnormal.
template <int kGroup>
[[gnu::always_inline]] inline uint8_t quantise_group(const Bf16* x, uint8_t* codes) {
    F v[kGroup / 16];
    for (int j = 0; j < kGroup / 16; ++j) v[j] = load_bf16(x + 16 * j);
    const uint8_t scale = fp8_scale(largest_size<kGroup / 16>(v));
    const F inverse = all(e8m0_value(static_cast<uint8_t>(254 - scale)));
    for (int j = 0; j < kGroup / 16; ++j) store_u8(codes + 16 * j, e4m3_codes(v[j] * inverse));
    return scale;
}

void quantise(const Bf16* x, int64_t count, uint8_t* codes, uint8_t* scales) {
    for (int64_t i = 0; i < count; i += 128)
        scales[i / 128] = quantise_group<128>(x + i, codes + i);
}

void pack_kv(const Bf16* x, KvRow* row) {
    for (size_t group = 0; group < kLatentDim / kKvGroup; ++group) {
        row->scales[group] =
            quantise_group<kKvGroup>(x + group * kKvGroup, row->codes.data() + group * kKvGroup);
    }
    row->unused = 0;
    std::memcpy(row->rope.data(), x + kLatentDim, sizeof row->rope);
}

constexpr int32_t kLaneNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// low + high in the lower lane of a pair 2^kBit apart, low − high in the upper.
template <int kBit>
[[gnu::always_inline]] inline F butterfly(F v, I lane_numbers) {
    const I flip =
        shift_left<31 - kBit>(lane_numbers) & all_int(std::numeric_limits<int32_t>::min());
    return swap_lanes<1 << kBit>(v) + floats_of(bits_of(v) ^ flip);
}

// The factor 128^−½ comes in two parts: the product is then rounded as if the factor were exact.
void hadamard(const Bf16* x, Bf16* out) {
    const I lane_numbers = load_int(kLaneNumbers);
    F v[8];
    for (int j = 0; j < 8; ++j) {
        v[j] = butterfly<0>(load_bf16(x + 16 * j), lane_numbers);
        v[j] = butterfly<1>(v[j], lane_numbers);
        v[j] = butterfly<2>(v[j], lane_numbers);
        v[j] = butterfly<3>(v[j], lane_numbers);
    }
    for (int half = 1; half < 8; half *= 2) {
        for (int j = 0; j < 8; ++j) {
            if ((j & half) != 0) continue;
            const F low = v[j];
            const F high = v[j + half];
            v[j] = low + high;
            v[j + half] = low - high;
        }
    }
    constexpr double kFactor = 0.08838834764831844055;
    constexpr auto kFirst = static_cast<float>(kFactor);
    constexpr auto kSecond = static_cast<float>(kFactor - static_cast<double>(kFirst));
    for (int j = 0; j < 8; ++j)
        store_bf16(out + 16 * j, fma(v[j], all(kFirst), v[j] * all(kSecond)));
}

// 32 codes of four bits each in a byte → 16 bytes, the lower nibble first.
[[gnu::always_inline]] inline void store_nibbles(uint8_t* at, const uint8_t* codes) {
    for (int word = 0; word < 4; ++word) {
        uint64_t eight;
        std::memcpy(&eight, codes + 8 * word, sizeof eight);
        eight = (eight | eight >> 4) & 0x00FF00FF00FF00FF;
        eight = (eight | eight >> 8) & 0x0000FFFF0000FFFF;
        const auto packed = static_cast<uint32_t>(eight | eight >> 16);
        std::memcpy(at + 4 * word, &packed, sizeof packed);
    }
}

void pack_fq4(const Bf16* x, IndexRow* row) {
    for (size_t group = 0; group < kIndexDim / kIndexGroup; ++group) {
        const Bf16* from = x + group * kIndexGroup;
        const F part[2] = {load_bf16(from), load_bf16(from + 16)};
        const uint8_t scale = fp4_scale(largest_size<2>(part));
        const F inverse = all(e8m0_value(static_cast<uint8_t>(254 - scale)));
        uint8_t codes[kIndexGroup];
        store_u8(codes, e2m1_codes(part[0] * inverse));
        store_u8(codes + 16, e2m1_codes(part[1] * inverse));
        store_nibbles(row->codes.data() + group * kIndexGroup / 2, codes);
        row->scales[group] = scale;
    }
}

constexpr GridKernels kGridKernels = {
    .quantise = quantise, .pack_kv = pack_kv, .hadamard = hadamard, .pack_fq4 = pack_fq4};
