#pragma once
// The vector vocabulary with AVX-512. Included inside the target region and namespace of target_avx512*.cpp; the words
// are the same in simd_avx2-inl.h and simd_scalar-inl.h, where no other comment is needed.
//
//   F      16 floats          I   16 int32          M   16 truth values
//   Pairs  16 × 2 bf16, lane l holds elements 2l (low half) and 2l+1
//
// Loads and stores need no alignment. `_part` versions touch only the first `count` lanes (0 … 16); other lanes load as 0.

struct F {
    __m512 v;
};
struct I {
    __m512i v;
};
struct M {
    __mmask16 v;
};

// How many F the registers hold at once: how large a tile of sums may be.
constexpr int kRegisters = 32;

[[gnu::always_inline]] inline __mmask16 first_lanes(int64_t count) {
    return static_cast<__mmask16>(count >= 16 ? 0xFFFF : (1U << count) - 1U);
}

// Floats.
[[gnu::always_inline]] inline F zero() { return {_mm512_setzero_ps()}; }
[[gnu::always_inline]] inline F all(float x) { return {_mm512_set1_ps(x)}; }
[[gnu::always_inline]] inline F load(const float* at) { return {_mm512_loadu_ps(at)}; }
[[gnu::always_inline]] inline F load_part(const float* at, int64_t count) {
    return {_mm512_maskz_loadu_ps(first_lanes(count), at)};
}
[[gnu::always_inline]] inline void store(float* at, F x) { _mm512_storeu_ps(at, x.v); }
[[gnu::always_inline]] inline void store_part(float* at, F x, int64_t count) {
    _mm512_mask_storeu_ps(at, first_lanes(count), x.v);
}
[[gnu::always_inline]] inline F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
[[gnu::always_inline]] inline F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
[[gnu::always_inline]] inline F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
[[gnu::always_inline]] inline F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
// a·b + c, rounded once (twice where there is no FMA: simd_scalar-inl.h).
[[gnu::always_inline]] inline F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
[[gnu::always_inline]] inline F sqrt(F a) { return {_mm512_sqrt_ps(a.v)}; }
// If one is NaN: b.
[[gnu::always_inline]] inline F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
[[gnu::always_inline]] inline F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }

// Integers. Arithmetic wraps.
[[gnu::always_inline]] inline I all_int(int32_t x) { return {_mm512_set1_epi32(x)}; }
[[gnu::always_inline]] inline I load_int(const int32_t* at) { return {_mm512_loadu_si512(at)}; }
[[gnu::always_inline]] inline void store_int(int32_t* at, I x) { _mm512_storeu_si512(at, x.v); }
[[gnu::always_inline]] inline I load_int(const std::byte* at) { return {_mm512_loadu_si512(at)}; }
[[gnu::always_inline]] inline void store_int(std::byte* at, I x) { _mm512_storeu_si512(at, x.v); }
[[gnu::always_inline]] inline I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
[[gnu::always_inline]] inline I operator-(I a, I b) { return {_mm512_sub_epi32(a.v, b.v)}; }
[[gnu::always_inline]] inline I operator*(I a, I b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
[[gnu::always_inline]] inline I operator&(I a, I b) { return {_mm512_and_si512(a.v, b.v)}; }
[[gnu::always_inline]] inline I operator|(I a, I b) { return {_mm512_or_si512(a.v, b.v)}; }
[[gnu::always_inline]] inline I operator^(I a, I b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int kBits>
[[gnu::always_inline]] inline I shift_left(I a) {
    return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
[[gnu::always_inline]] inline I shift_right(I a) {  // zeros come in
    return {_mm512_srli_epi32(a.v, kBits)};
}
template <int kBits>
[[gnu::always_inline]] inline I shift_right_signed(I a) {
    return {_mm512_srai_epi32(a.v, kBits)};
}
[[gnu::always_inline]] inline I max(I a, I b) { return {_mm512_max_epi32(a.v, b.v)}; }
[[gnu::always_inline]] inline I min(I a, I b) { return {_mm512_min_epi32(a.v, b.v)}; }

// Between them.
[[gnu::always_inline]] inline I bits_of(F a) { return {_mm512_castps_si512(a.v)}; }
[[gnu::always_inline]] inline F floats_of(I a) { return {_mm512_castsi512_ps(a.v)}; }
[[gnu::always_inline]] inline F to_floats(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
[[gnu::always_inline]] inline I to_ints(F a) {
    return {_mm512_cvtps_epi32(a.v)};
}  // nearest, ties to even

// Truth.
[[gnu::always_inline]] inline M operator<(F a, F b) {
    return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
[[gnu::always_inline]] inline M is_nan(F a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
[[gnu::always_inline]] inline M operator==(I a, I b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
[[gnu::always_inline]] inline M operator<(I a, I b) { return {_mm512_cmplt_epi32_mask(a.v, b.v)}; }
[[gnu::always_inline]] inline F select(M m, F yes, F no) {
    return {_mm512_mask_blend_ps(m.v, no.v, yes.v)};
}
[[gnu::always_inline]] inline I select(M m, I yes, I no) {
    return {_mm512_mask_blend_epi32(m.v, no.v, yes.v)};
}
// Bit l: lane l.
[[gnu::always_inline]] inline uint32_t mask_bits(M m) { return m.v; }

// Across lanes, in a fixed order: halves, quarters, …
[[gnu::always_inline]] inline float sum(F a) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
[[gnu::always_inline]] inline float largest(F a) { return _mm512_reduce_max_ps(a.v); }
// Lane l: a's lane l XOR kDistance, which is 1, 2, 4 or 8.
template <int kDistance>
[[gnu::always_inline]] inline F swap_lanes(F a) {
    if constexpr (kDistance == 1) return {_mm512_permute_ps(a.v, 0xB1)};
    if constexpr (kDistance == 2) return {_mm512_permute_ps(a.v, 0x4E)};
    if constexpr (kDistance == 4) return {_mm512_shuffle_f32x4(a.v, a.v, 0xB1)};
    if constexpr (kDistance == 8) return {_mm512_shuffle_f32x4(a.v, a.v, 0x4E)};
}

// Narrow elements.
[[gnu::always_inline]] inline F load_bf16(const Bf16* at) {
    const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16))};
}
[[gnu::always_inline]] inline F load_bf16_part(const Bf16* at, int64_t count) {
    const __m256i raw = _mm256_maskz_loadu_epi16(first_lanes(count), at);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16))};
}
// bf16 of each lane (nearest, ties to even, NaN stays NaN) in the low 16 bits of an int.
[[gnu::always_inline]] inline I bf16_codes(F a) {
    const __m512i raw = _mm512_castps_si512(a.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(raw, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(raw, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_or_si512(raw, _mm512_set1_epi32(0x400000));
    return {_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16)};
}
[[gnu::always_inline]] inline void store_bf16(Bf16* at, F a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm512_cvtepi32_epi16(bf16_codes(a).v));
}
[[gnu::always_inline]] inline void store_bf16_part(Bf16* at, F a, int64_t count) {
    _mm256_mask_storeu_epi16(at, first_lanes(count), _mm512_cvtepi32_epi16(bf16_codes(a).v));
}
// 16 bytes ↔ 16 ints; storing keeps the low byte.
[[gnu::always_inline]] inline I load_u8(const uint8_t* at) {
    return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)))};
}
[[gnu::always_inline]] inline void store_u8(uint8_t* at, I a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm512_cvtepi32_epi8(a.v));
}

// Bytes: 64 in an I.
[[gnu::always_inline]] inline I load_bytes(const uint8_t* at) { return {_mm512_loadu_si512(at)}; }
// Each byte (0 … 15) becomes that element of a table of 16.
[[gnu::always_inline]] inline I lookup_bytes(const uint8_t* table, I bytes) {
    const __m128i one = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(one), bytes.v)};
}
// Each byte (below 2^kBits) becomes that element of a table of 2^kBits bytes, aligned to 64; kBits is 6, 7 or 8.
template <int kBits>
[[gnu::always_inline]] inline I lookup_table(const uint8_t* table, I bytes) {
#if MILLRACE_DOT_BF16
    const __m512i first = _mm512_load_si512(table);
    if constexpr (kBits == 6) return {_mm512_permutexvar_epi8(bytes.v, first)};
    const __m512i low =
        _mm512_permutex2var_epi8(first, bytes.v, _mm512_load_si512(table + (kBits > 6 ? 64 : 0)));
    if constexpr (kBits == 7) return {low};
    constexpr int kUpper = kBits > 7 ? 128 : 0;
    const __m512i high =
        _mm512_permutex2var_epi8(_mm512_load_si512(table + kUpper), bytes.v,
                                 _mm512_load_si512(table + kUpper + (kUpper > 0 ? 64 : 0)));
    return {_mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes.v), low, high)};
#else
    // Sixteen entries at a time; vpshufb looks at the lower four bits.
    const __m512i upper = _mm512_and_si512(bytes.v, _mm512_set1_epi8(static_cast<char>(0xF0)));
    __m512i out = _mm512_setzero_si512();
#pragma GCC unroll 16
    for (int part = 0; part < (1 << kBits) / 16; ++part) {
        const __m128i sixteen = _mm_load_si128(reinterpret_cast<const __m128i*>(table + 16 * part));
        const __mmask64 here =
            _mm512_cmpeq_epi8_mask(upper, _mm512_set1_epi8(static_cast<char>(16 * part)));
        const __m512i low = _mm512_andnot_si512(upper, bytes.v);
        out = _mm512_mask_shuffle_epi8(out, here, _mm512_broadcast_i32x4(sixteen), low);
    }
    return {out};
#endif
}
// Sums of products of small bytes, a unsigned, b signed: a lane's total is where it started (16 bits, signed) and the
// products of its four bytes of every dot_bytes. Without VNNI they are kept in 16 bits, two a lane, each from two of
// the bytes: no such sum may leave −2¹⁵ … 2¹⁵ − 1 on the way.
struct ByteSums {
    __m512i v;
};
#if MILLRACE_DOT_BF16
[[gnu::always_inline]] inline ByteSums byte_sums(I start) { return {start.v}; }
[[gnu::always_inline]] inline ByteSums dot_bytes(I a, I b, ByteSums acc) {
    return {_mm512_dpbusd_epi32(acc.v, a.v, b.v)};
}
[[gnu::always_inline]] inline I total(ByteSums a) { return {a.v}; }
#else
[[gnu::always_inline]] inline ByteSums byte_sums(I start) {
    return {_mm512_and_si512(start.v, _mm512_set1_epi32(0xFFFF))};
}
[[gnu::always_inline]] inline ByteSums dot_bytes(I a, I b, ByteSums acc) {
    return {_mm512_add_epi16(acc.v, _mm512_maddubs_epi16(a.v, b.v))};
}
[[gnu::always_inline]] inline I total(ByteSums a) {
    return {_mm512_madd_epi16(a.v, _mm512_set1_epi16(1))};
}
#endif
// Lane c of x[r] and lane r of x[c] change places.
[[gnu::always_inline]] inline void transpose(I (&x)[16]) {
    __m512i four[16];  // columns 4q + c of rows 4p … 4p + 3, at 4p + c, for every q
    for (int p = 0; p < 16; p += 4) {
        const __m512i low01 = _mm512_unpacklo_epi32(x[p].v, x[p + 1].v);
        const __m512i low23 = _mm512_unpacklo_epi32(x[p + 2].v, x[p + 3].v);
        const __m512i high01 = _mm512_unpackhi_epi32(x[p].v, x[p + 1].v);
        const __m512i high23 = _mm512_unpackhi_epi32(x[p + 2].v, x[p + 3].v);
        four[p] = _mm512_unpacklo_epi64(low01, low23);
        four[p + 1] = _mm512_unpackhi_epi64(low01, low23);
        four[p + 2] = _mm512_unpacklo_epi64(high01, high23);
        four[p + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
    for (int c = 0; c < 4; ++c) {
        const __m512i even0 = _mm512_shuffle_i32x4(four[c], four[4 + c], 0x88);
        const __m512i odd0 = _mm512_shuffle_i32x4(four[c], four[4 + c], 0xDD);
        const __m512i even1 = _mm512_shuffle_i32x4(four[8 + c], four[12 + c], 0x88);
        const __m512i odd1 = _mm512_shuffle_i32x4(four[8 + c], four[12 + c], 0xDD);
        x[c].v = _mm512_shuffle_i32x4(even0, even1, 0x88);
        x[4 + c].v = _mm512_shuffle_i32x4(odd0, odd1, 0x88);
        x[8 + c].v = _mm512_shuffle_i32x4(even0, even1, 0xDD);
        x[12 + c].v = _mm512_shuffle_i32x4(odd0, odd1, 0xDD);
    }
}

// Pairs of bf16 and their dot products.
#if MILLRACE_DOT_BF16
struct Pairs {
    __m512i v;
};
[[gnu::always_inline]] inline Pairs load_pairs(const Bf16* at) { return {_mm512_loadu_si512(at)}; }
// Elements 2l, elements 2l + 1.
[[gnu::always_inline]] inline F low_of(Pairs a) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(a.v, 16))};
}
[[gnu::always_inline]] inline F high_of(Pairs a) {
    return {_mm512_castsi512_ps(_mm512_and_si512(a.v, _mm512_set1_epi32(-65536)))};
}
// One pair in every lane.
[[gnu::always_inline]] inline Pairs all_pairs(const Bf16* at) {
    int32_t pair;
    std::memcpy(&pair, at, sizeof pair);
    return {_mm512_set1_epi32(pair)};
}
// acc + a₀b₀ + a₁b₁ in every lane, in fp32.
[[gnu::always_inline]] inline F dot(Pairs a, Pairs b, F acc) {
    return {
        _mm512_dpbf16_ps(acc.v, reinterpret_cast<__m512bh>(a.v), reinterpret_cast<__m512bh>(b.v))};
}
#else
struct Pairs {
    __m512 low, high;
};
[[gnu::always_inline]] inline Pairs split_pairs(__m512i raw) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(raw, 16)),
            _mm512_castsi512_ps(_mm512_and_si512(raw, _mm512_set1_epi32(-65536)))};
}
[[gnu::always_inline]] inline Pairs load_pairs(const Bf16* at) {
    return split_pairs(_mm512_loadu_si512(at));
}
[[gnu::always_inline]] inline F low_of(Pairs a) { return {a.low}; }
[[gnu::always_inline]] inline F high_of(Pairs a) { return {a.high}; }
[[gnu::always_inline]] inline Pairs all_pairs(const Bf16* at) {
    int32_t pair;
    std::memcpy(&pair, at, sizeof pair);
    return split_pairs(_mm512_set1_epi32(pair));
}
[[gnu::always_inline]] inline F dot(Pairs a, Pairs b, F acc) {
    return {_mm512_fmadd_ps(a.high, b.high, _mm512_fmadd_ps(a.low, b.low, acc.v))};
}
#endif
// The sums of a tile of a matrix product that stay in registers: rows (a broadcast pair each) times vectors.
constexpr int kTileRows = 4;
constexpr int kTileVectors = 4;
// 64 e4m3 codes · 2^(scale − 127) as bf16, exactly. False: nothing was written, go the general way (a code or the scale is
// NaN, a value might not be a normal bf16, or this ISA has no faster way).
#if MILLRACE_DOT_BF16
struct E4m3Table {
    alignas(64) uint8_t low[128];
    alignas(64) uint8_t high[128];
};
constexpr E4m3Table make_e4m3_table() {
    E4m3Table table{};
    for (int code = 0; code < 128; ++code) {
        const uint16_t bits = to_bf16(e4m3_value(static_cast<uint8_t>(code))).bits;
        table.low[code] = static_cast<uint8_t>(bits & 255);
        table.high[code] = static_cast<uint8_t>(bits >> 8);
    }
    return table;
}
constexpr E4m3Table kE4m3Table = make_e4m3_table();
// Looks every byte's lower seven bits up.
[[gnu::always_inline]] inline __m512i look_up(const uint8_t (&table)[128], __m512i index) {
    return _mm512_permutex2var_epi8(_mm512_load_si512(table), index, _mm512_load_si512(table + 64));
}

[[gnu::always_inline]] inline bool store_e4m3(Bf16* at, const uint8_t* codes, uint8_t scale) {
    // Codes other than zero have exponents −9 … 8: behind these checks adding to the exponent is all there is to do.
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    const __m512i raw = _mm512_loadu_si512(codes);
    const __mmask64 nan = _mm512_cmpeq_epi8_mask(_mm512_or_si512(raw, sign),
                                                 _mm512_set1_epi8(static_cast<char>(0xFF)));
    if (nan != 0 || scale < 10 || scale > 246) return false;
    // Joining low and high bytes works within quarters of a register: put the first 32 codes into their lower halves.
    const __m512i code = _mm512_permutexvar_epi64(_mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0), raw);
    const __m512i low = look_up(kE4m3Table.low, code);
    const __m512i size = look_up(kE4m3Table.high, code);
    const __m512i high = _mm512_or_si512(size, _mm512_and_si512(code, sign));
    const __m512i shift = _mm512_set1_epi16(static_cast<int16_t>((scale - 127) * 128));
    const __m512i magnitude = _mm512_set1_epi16(0x7FFF);
    const __m512i first = _mm512_unpacklo_epi8(low, high);
    const __m512i second = _mm512_unpackhi_epi8(low, high);
    _mm512_storeu_si512(
        at, _mm512_mask_add_epi16(first, _mm512_test_epi16_mask(first, magnitude), first, shift));
    _mm512_storeu_si512(
        at + 32,
        _mm512_mask_add_epi16(second, _mm512_test_epi16_mask(second, magnitude), second, shift));
    return true;
}
#else
[[gnu::always_inline]] inline bool store_e4m3(Bf16*, const uint8_t*, uint8_t) { return false; }
#endif
// Lane l: a's element l below, b's above; both must be bf16 values already (low 16 bits of a float are cut off).
[[gnu::always_inline]] inline void store_pairs(Bf16* at, F low, F high) {
    const __m512i below = _mm512_srli_epi32(_mm512_castps_si512(low.v), 16);
    const __m512i above = _mm512_and_si512(_mm512_castps_si512(high.v), _mm512_set1_epi32(-65536));
    _mm512_storeu_si512(at, _mm512_or_si512(below, above));
}

// Weights of 16 rows side by side: out[d] lane r = the d-th 4 bytes of row r. Reads 64 bytes of each row.
[[gnu::always_inline]] inline void load_columns(const std::byte* const* rows, int64_t offset,
                                                I (&out)[16]) {
    for (int r = 0; r < 16; ++r) out[r] = load_int(rows[r] + offset);
    transpose(out);
}

// Two bf16 in every lane.
[[gnu::always_inline]] inline Pairs pairs_of(I bits) {
#if MILLRACE_DOT_BF16
    return {bits.v};
#else
    return split_pairs(bits.v);
#endif
}
[[gnu::always_inline]] inline void store_pairs(Bf16* at, Pairs pairs) {
#if MILLRACE_DOT_BF16
    _mm512_storeu_si512(at, pairs.v);
#else
    store_pairs(at, F{pairs.low}, F{pairs.high});
#endif
}
// The bf16 at the indices (below 64) in bytes 0 and 2, and in bytes 1 and 3, of a table aligned to 64. False: nothing was
// done, this ISA has no faster way than looking up bytes.
[[gnu::always_inline]] inline bool lookup_pairs(const uint16_t* table, I index, Pairs* even,
                                                Pairs* odd) {
    const __m512i first = _mm512_load_si512(table), second = _mm512_load_si512(table + 32);
    const __m512i upper = _mm512_srli_epi16(index.v, 8);
    *even = pairs_of(I{_mm512_permutex2var_epi16(first, index.v, second)});
    *odd = pairs_of(I{_mm512_permutex2var_epi16(first, upper, second)});
    return true;
}
// e2m1 nibbles kAt and kAt + 4 of every lane (nibble 0 is the lowest).
template <int kAt>
[[gnu::always_inline]] inline Pairs e2m1_pairs(I nibbles) {
#if MILLRACE_DOT_BF16
    // The 16 codes as bf16, twice: vpermw looks at five bits and the fifth is the next nibble's.
    const __m512i table = _mm512_set4_epi64(static_cast<int64_t>(0xC0C0C080C040C000),
                                            static_cast<int64_t>(0xBFC0BF80BF008000),
                                            0x40C0408040404000, 0x3FC03F803F000000);
    return {_mm512_permutexvar_epi16(_mm512_srli_epi16(nibbles.v, 4 * kAt), table)};
#else
    const __m512 table =
        _mm512_setr_ps(0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6);
    return {_mm512_permutexvar_ps(_mm512_srli_epi32(nibbles.v, 4 * kAt), table),
            _mm512_permutexvar_ps(_mm512_srli_epi32(nibbles.v, 16 + 4 * kAt), table)};
#endif
}
#if !MILLRACE_DOT_BF16
// The e4m3 code in the top byte of every lane. Moved to where a float has its exponent and mantissa it is too small by
// 2¹²⁰, subnormals too.
[[gnu::always_inline]] inline __m512 e4m3_top(__m512i top) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int32_t>(0x87F00000));
    const __m512i bits = _mm512_and_si512(_mm512_srai_epi32(top, 4), mask);
    return _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0x1p120F));
}
#endif
// The four e4m3 codes of every lane: bytes 0 and 2, bytes 1 and 3.
[[gnu::always_inline]] inline void e4m3_pairs(I codes, Pairs* even, Pairs* odd) {
#if MILLRACE_DOT_BF16
    const __m512i lower = look_up(kE4m3Table.low, codes.v);
    const __m512i size = look_up(kE4m3Table.high, codes.v);
    // size | (codes & 0x80)
    const __m512i upper =
        _mm512_ternarylogic_epi32(size, codes.v, _mm512_set1_epi8(static_cast<char>(0x80)), 0xF8);
    constexpr __mmask64 kUpperBytes = 0xAAAAAAAAAAAAAAAA;
    even->v = _mm512_mask_blend_epi8(kUpperBytes, lower, _mm512_slli_epi16(upper, 8));
    odd->v = _mm512_mask_blend_epi8(kUpperBytes, _mm512_srli_epi16(lower, 8), upper);
#else
    even->low = e4m3_top(_mm512_slli_epi32(codes.v, 24));
    odd->low = e4m3_top(_mm512_slli_epi32(codes.v, 16));
    even->high = e4m3_top(_mm512_slli_epi32(codes.v, 8));
    odd->high = e4m3_top(codes.v);
#endif
}

// Whether 16 vectors of codes stay in registers while they are decoded and multiplied: loading them first keeps more of
// memory in flight.
#if MILLRACE_DOT_BF16
constexpr bool kRoomForDwords = true;
#else
constexpr bool kRoomForDwords = false;
#endif
// Rows and strips of 16 outputs whose sums of a panel product stay in registers (linear-inl.h).
constexpr int kPanelRows = 7;
constexpr int kPanelStrips = 2;
// Lane l: acc + Σ over its four bytes of a (unsigned) · b (signed), exact.
[[gnu::always_inline]] inline I dot_bytes(I a, I b, I acc) {
#if MILLRACE_DOT_BF16
    return {_mm512_dpbusd_epi32(acc.v, a.v, b.v)};
#else
    const __m512i even = _mm512_madd_epi16(_mm512_and_si512(a.v, _mm512_set1_epi16(255)),
                                           _mm512_srai_epi16(_mm512_slli_epi16(b.v, 8), 8));
    const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(a.v, 8), _mm512_srai_epi16(b.v, 8));
    return {_mm512_add_epi32(acc.v, _mm512_add_epi32(even, odd))};
#endif
}
