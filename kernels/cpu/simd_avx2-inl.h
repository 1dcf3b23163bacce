#pragma once
// The vector vocabulary of simd_avx512-inl.h with AVX2 and FMA: 16 lanes are two registers.

struct F {
    __m256 a, b;
};
struct I {
    __m256i a, b;
};
struct M {
    __m256i a, b;
};

constexpr int kRegisters = 8;

[[gnu::always_inline]] inline F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
[[gnu::always_inline]] inline F all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
[[gnu::always_inline]] inline F load(const float* at) {
    return {_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)};
}
[[gnu::always_inline]] inline F load_part(const float* at, int64_t count) {
    float lanes[16] = {};
    std::memcpy(lanes, at, static_cast<size_t>(count > 16 ? 16 : count) * sizeof(float));
    return load(lanes);
}
[[gnu::always_inline]] inline void store(float* at, F x) {
    _mm256_storeu_ps(at, x.a);
    _mm256_storeu_ps(at + 8, x.b);
}
[[gnu::always_inline]] inline void store_part(float* at, F x, int64_t count) {
    float lanes[16];
    store(lanes, x);
    std::memcpy(at, lanes, static_cast<size_t>(count > 16 ? 16 : count) * sizeof(float));
}
[[gnu::always_inline]] inline F operator+(F x, F y) {
    return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
[[gnu::always_inline]] inline F operator-(F x, F y) {
    return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
[[gnu::always_inline]] inline F operator*(F x, F y) {
    return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
[[gnu::always_inline]] inline F operator/(F x, F y) {
    return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
[[gnu::always_inline]] inline F fma(F x, F y, F z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
[[gnu::always_inline]] inline F sqrt(F x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
[[gnu::always_inline]] inline F max(F x, F y) {
    return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
[[gnu::always_inline]] inline F min(F x, F y) {
    return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}

[[gnu::always_inline]] inline I all_int(int32_t x) {
    return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
[[gnu::always_inline]] inline __m256i load_256(const void* at) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}
[[gnu::always_inline]] inline I load_int(const int32_t* at) {
    return {load_256(at), load_256(at + 8)};
}
[[gnu::always_inline]] inline void store_int(int32_t* at, I x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), x.a);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + 8), x.b);
}
[[gnu::always_inline]] inline I load_int(const std::byte* at) {
    return {load_256(at), load_256(at + 32)};
}
[[gnu::always_inline]] inline void store_int(std::byte* at, I x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), x.a);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + 32), x.b);
}
[[gnu::always_inline]] inline I operator+(I x, I y) {
    return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
[[gnu::always_inline]] inline I operator-(I x, I y) {
    return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
[[gnu::always_inline]] inline I operator*(I x, I y) {
    return {_mm256_mullo_epi32(x.a, y.a), _mm256_mullo_epi32(x.b, y.b)};
}
[[gnu::always_inline]] inline I operator&(I x, I y) {
    return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
[[gnu::always_inline]] inline I operator|(I x, I y) {
    return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
[[gnu::always_inline]] inline I operator^(I x, I y) {
    return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)};
}
template <int kBits>
[[gnu::always_inline]] inline I shift_left(I x) {
    return {_mm256_slli_epi32(x.a, kBits), _mm256_slli_epi32(x.b, kBits)};
}
template <int kBits>
[[gnu::always_inline]] inline I shift_right(I x) {
    return {_mm256_srli_epi32(x.a, kBits), _mm256_srli_epi32(x.b, kBits)};
}
template <int kBits>
[[gnu::always_inline]] inline I shift_right_signed(I x) {
    return {_mm256_srai_epi32(x.a, kBits), _mm256_srai_epi32(x.b, kBits)};
}
[[gnu::always_inline]] inline I max(I x, I y) {
    return {_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)};
}
[[gnu::always_inline]] inline I min(I x, I y) {
    return {_mm256_min_epi32(x.a, y.a), _mm256_min_epi32(x.b, y.b)};
}

[[gnu::always_inline]] inline I bits_of(F x) {
    return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)};
}
[[gnu::always_inline]] inline F floats_of(I x) {
    return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
}
[[gnu::always_inline]] inline F to_floats(I x) {
    return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
[[gnu::always_inline]] inline I to_ints(F x) {
    return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)};
}

[[gnu::always_inline]] inline M operator<(F x, F y) {
    return {_mm256_castps_si256(_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
            _mm256_castps_si256(_mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}
[[gnu::always_inline]] inline M is_nan(F x) {
    return {_mm256_castps_si256(_mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q)),
            _mm256_castps_si256(_mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q))};
}
[[gnu::always_inline]] inline M operator==(I x, I y) {
    return {_mm256_cmpeq_epi32(x.a, y.a), _mm256_cmpeq_epi32(x.b, y.b)};
}
[[gnu::always_inline]] inline M operator<(I x, I y) {
    return {_mm256_cmpgt_epi32(y.a, x.a), _mm256_cmpgt_epi32(y.b, x.b)};
}
[[gnu::always_inline]] inline F select(M m, F yes, F no) {
    return {_mm256_blendv_ps(no.a, yes.a, _mm256_castsi256_ps(m.a)),
            _mm256_blendv_ps(no.b, yes.b, _mm256_castsi256_ps(m.b))};
}
[[gnu::always_inline]] inline I select(M m, I yes, I no) {
    return {_mm256_blendv_epi8(no.a, yes.a, m.a), _mm256_blendv_epi8(no.b, yes.b, m.b)};
}
[[gnu::always_inline]] inline uint32_t mask_bits(M m) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(m.a))) |
           static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(m.b))) << 8;
}

[[gnu::always_inline]] inline float sum(F x) {
    const __m256 half = _mm256_add_ps(x.a, x.b);
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
[[gnu::always_inline]] inline float largest(F x) {
    const __m256 half = _mm256_max_ps(x.a, x.b);
    const __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

template <int kDistance>
[[gnu::always_inline]] inline F swap_lanes(F x) {
    if constexpr (kDistance == 1)
        return {_mm256_permute_ps(x.a, 0xB1), _mm256_permute_ps(x.b, 0xB1)};
    if constexpr (kDistance == 2)
        return {_mm256_permute_ps(x.a, 0x4E), _mm256_permute_ps(x.b, 0x4E)};
    if constexpr (kDistance == 4)
        return {_mm256_permute2f128_ps(x.a, x.a, 1), _mm256_permute2f128_ps(x.b, x.b, 1)};
    if constexpr (kDistance == 8) return {x.b, x.a};
}

[[gnu::always_inline]] inline __m128i load_128(const void* at) {
    return _mm_loadu_si128(static_cast<const __m128i*>(at));
}
[[gnu::always_inline]] inline F load_bf16(const Bf16* at) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128(at)), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128(at + 8)), 16))};
}
[[gnu::always_inline]] inline F load_bf16_part(const Bf16* at, int64_t count) {
    Bf16 lanes[16] = {};
    std::memcpy(lanes, at, static_cast<size_t>(count > 16 ? 16 : count) * sizeof(Bf16));
    return load_bf16(lanes);
}
[[gnu::always_inline]] inline __m256i bf16_codes(__m256 x) {
    const __m256i raw = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(raw, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(raw, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(raw, _mm256_set1_epi32(0x400000));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
}
[[gnu::always_inline]] inline I bf16_codes(F x) { return {bf16_codes(x.a), bf16_codes(x.b)}; }
[[gnu::always_inline]] inline void store_bf16(Bf16* at, F x) {
    const __m256i packed = _mm256_packus_epi32(bf16_codes(x.a), bf16_codes(x.b));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm256_permute4x64_epi64(packed, 0xD8));
}
[[gnu::always_inline]] inline void store_bf16_part(Bf16* at, F x, int64_t count) {
    Bf16 lanes[16];
    store_bf16(lanes, x);
    std::memcpy(at, lanes, static_cast<size_t>(count > 16 ? 16 : count) * sizeof(Bf16));
}
[[gnu::always_inline]] inline I load_u8(const uint8_t* at) {
    const __m128i raw = load_128(at);
    return {_mm256_cvtepu8_epi32(raw), _mm256_cvtepu8_epi32(_mm_srli_si128(raw, 8))};
}
[[gnu::always_inline]] inline void store_u8(uint8_t* at, I x) {
    const __m256i low = _mm256_set1_epi32(255);
    const __m256i words =
        _mm256_packus_epi32(_mm256_and_si256(x.a, low), _mm256_and_si256(x.b, low));
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xD8);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(at),
        _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}

[[gnu::always_inline]] inline I load_bytes(const uint8_t* at) {
    return {load_256(at), load_256(at + 32)};
}
[[gnu::always_inline]] inline I lookup_bytes(const uint8_t* table, I bytes) {
    const __m256i two = _mm256_broadcastsi128_si256(load_128(table));
    return {_mm256_shuffle_epi8(two, bytes.a), _mm256_shuffle_epi8(two, bytes.b)};
}
// Sixteen entries at a time: what lies outside gets its top bit, for which vpshufb gives zero.
template <int kBits>
[[gnu::always_inline]] inline __m256i lookup_table(const uint8_t* table, __m256i index) {
    __m256i out = _mm256_setzero_si256();
#pragma GCC unroll 1
    for (int part = 0; part < (1 << kBits) / 16; ++part) {
        const __m256i sixteen = _mm256_broadcastsi128_si256(load_128(table + 16 * part));
        const __m256i from =
            _mm256_xor_si256(index, _mm256_set1_epi8(static_cast<char>(16 * part)));
        const __m256i at = _mm256_adds_epu8(from, _mm256_set1_epi8(0x70));
        out = _mm256_or_si256(out, _mm256_shuffle_epi8(sixteen, at));
    }
    return out;
}
template <int kBits>
[[gnu::always_inline]] inline I lookup_table(const uint8_t* table, I index) {
    return {lookup_table<kBits>(table, index.a), lookup_table<kBits>(table, index.b)};
}
struct ByteSums {
    __m256i a, b;
};
[[gnu::always_inline]] inline ByteSums byte_sums(I start) {
    const I low = start & all_int(0xFFFF);
    return {low.a, low.b};
}
[[gnu::always_inline]] inline ByteSums dot_bytes(I x, I y, ByteSums acc) {
    return {_mm256_add_epi16(acc.a, _mm256_maddubs_epi16(x.a, y.a)),
            _mm256_add_epi16(acc.b, _mm256_maddubs_epi16(x.b, y.b))};
}
[[gnu::always_inline]] inline I total(ByteSums x) {
    const __m256i one = _mm256_set1_epi16(1);
    return {_mm256_madd_epi16(x.a, one), _mm256_madd_epi16(x.b, one)};
}
[[gnu::always_inline]] inline void transpose_8x8(const __m256i (&x)[8], __m256i (&out)[8]) {
    __m256i four[8];
    for (int p = 0; p < 8; p += 4) {
        const __m256i low01 = _mm256_unpacklo_epi32(x[p], x[p + 1]);
        const __m256i low23 = _mm256_unpacklo_epi32(x[p + 2], x[p + 3]);
        const __m256i high01 = _mm256_unpackhi_epi32(x[p], x[p + 1]);
        const __m256i high23 = _mm256_unpackhi_epi32(x[p + 2], x[p + 3]);
        four[p] = _mm256_unpacklo_epi64(low01, low23);
        four[p + 1] = _mm256_unpackhi_epi64(low01, low23);
        four[p + 2] = _mm256_unpacklo_epi64(high01, high23);
        four[p + 3] = _mm256_unpackhi_epi64(high01, high23);
    }
    for (int c = 0; c < 4; ++c) {
        out[c] = _mm256_permute2x128_si256(four[c], four[4 + c], 0x20);
        out[4 + c] = _mm256_permute2x128_si256(four[c], four[4 + c], 0x31);
    }
}
[[gnu::always_inline]] inline void transpose(I (&x)[16]) {
    __m256i in[4][8], out[4][8];  // upper left, upper right, lower left, lower right
    for (int r = 0; r < 8; ++r) {
        in[0][r] = x[r].a;
        in[1][r] = x[r].b;
        in[2][r] = x[8 + r].a;
        in[3][r] = x[8 + r].b;
    }
    for (int part = 0; part < 4; ++part) transpose_8x8(in[part], out[part]);
    for (int r = 0; r < 8; ++r) {
        x[r] = {out[0][r], out[2][r]};
        x[8 + r] = {out[1][r], out[3][r]};
    }
}

struct Pairs {
    F low, high;
};
[[gnu::always_inline]] inline F upper_half(I raw) { return floats_of(raw & all_int(-65536)); }
[[gnu::always_inline]] inline Pairs split_pairs(I raw) {
    return {floats_of(shift_left<16>(raw)), upper_half(raw)};
}
[[gnu::always_inline]] inline Pairs load_pairs(const Bf16* at) {
    return split_pairs({load_256(at), load_256(at + 16)});
}
[[gnu::always_inline]] inline F low_of(Pairs x) { return x.low; }
[[gnu::always_inline]] inline F high_of(Pairs x) { return x.high; }
[[gnu::always_inline]] inline Pairs all_pairs(const Bf16* at) {
    int32_t pair;
    std::memcpy(&pair, at, sizeof pair);
    return split_pairs(all_int(pair));
}
[[gnu::always_inline]] inline F dot(Pairs x, Pairs y, F acc) {
    return fma(x.high, y.high, fma(x.low, y.low, acc));
}
[[gnu::always_inline]] inline void store_pairs(Bf16* at, F low, F high) {
    const I joined = shift_right<16>(bits_of(low)) | bits_of(upper_half(bits_of(high)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), joined.a);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + 16), joined.b);
}

[[gnu::always_inline]] inline void load_columns(const std::byte* const* rows, int64_t offset,
                                                I (&out)[16]) {
    for (int r = 0; r < 16; ++r) out[r] = load_int(rows[r] + offset);
    transpose(out);
}

[[gnu::always_inline]] inline Pairs pairs_of(I bits) { return split_pairs(bits); }
[[gnu::always_inline]] inline void store_pairs(Bf16* at, Pairs pairs) {
    store_pairs(at, pairs.low, pairs.high);
}
[[gnu::always_inline]] inline bool lookup_pairs(const uint16_t*, I, Pairs*, Pairs*) {
    return false;
}
// Bytes of the 16 codes' bf16, lower and upper.
alignas(16) constexpr uint8_t kE2m1Lower[16] = {0, 0, 0x80, 0xC0, 0, 0x40, 0x80, 0xC0,
                                                0, 0, 0x80, 0xC0, 0, 0x40, 0x80, 0xC0};
alignas(16) constexpr uint8_t kE2m1Upper[16] = {0x00, 0x3F, 0x3F, 0x3F, 0x40, 0x40, 0x40, 0x40,
                                                0x80, 0xBF, 0xBF, 0xBF, 0xC0, 0xC0, 0xC0, 0xC0};
// Bytes 0 and 2, or 1 and 3, of every lane: their lookups are the same, and the compiler does them once for both.
template <bool kOdd>
[[gnu::always_inline]] inline __m256i join_bytes(__m256i lower, __m256i upper) {
    if constexpr (kOdd) {
        const __m256i above = _mm256_and_si256(upper, _mm256_set1_epi16(-256));
        return _mm256_or_si256(_mm256_srli_epi16(lower, 8), above);
    } else {
        const __m256i below = _mm256_and_si256(lower, _mm256_set1_epi16(255));
        return _mm256_or_si256(_mm256_slli_epi16(upper, 8), below);
    }
}
template <int kAt>
[[gnu::always_inline]] inline Pairs e2m1_pairs(I n) {
    const I codes = (kAt % 2 == 0 ? n : shift_right<4>(n)) & all_int(0x0F0F0F0F);
    const I lower = lookup_bytes(kE2m1Lower, codes);
    const I upper = lookup_bytes(kE2m1Upper, codes);
    return split_pairs({join_bytes<(kAt >= 2)>(lower.a, upper.a),  //
                        join_bytes<(kAt >= 2)>(lower.b, upper.b)});
}
// The code in the top byte of every lane.
[[gnu::always_inline]] inline F e4m3_top(I top) {
    const I bits = shift_right_signed<4>(top) & all_int(static_cast<int32_t>(0x87F00000));
    return floats_of(bits) * all(0x1p120F);
}
[[gnu::always_inline]] inline void e4m3_pairs(I codes, Pairs* even, Pairs* odd) {
    *even = {e4m3_top(shift_left<24>(codes)), e4m3_top(shift_left<8>(codes))};
    *odd = {e4m3_top(shift_left<16>(codes)), e4m3_top(codes)};
}

constexpr bool kRoomForDwords = false;
constexpr int kPanelRows = 4;
constexpr int kPanelStrips = 1;
constexpr int kTileRows = 4;
constexpr int kTileVectors = 1;
[[gnu::always_inline]] inline bool store_e4m3(Bf16*, const uint8_t*, uint8_t) { return false; }
[[gnu::always_inline]] inline __m256i dot_bytes(__m256i x, __m256i y, __m256i acc) {
    const __m256i even = _mm256_madd_epi16(_mm256_and_si256(x, _mm256_set1_epi16(255)),
                                           _mm256_srai_epi16(_mm256_slli_epi16(y, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16(y, 8));
    return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
}
[[gnu::always_inline]] inline I dot_bytes(I x, I y, I acc) {
    return {dot_bytes(x.a, y.a, acc.a), dot_bytes(x.b, y.b, acc.b)};
}
