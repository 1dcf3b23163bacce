#pragma once
// The vector vocabulary of simd_avx512-inl.h as plain loops: what a processor without AVX2 runs. The compiler makes of
// them what its baseline has. No FMA: a·b is rounded before c is added.

struct F {
    float v[16];
};
struct I {
    int32_t v[16];
};
struct M {
    bool v[16];
};

constexpr int kRegisters = 8;

// out.v[l] = make(l) for every lane.
template <class Vector, class Make>
[[gnu::always_inline]] inline Vector lanes(const Make& make) {
    Vector out;
    for (int l = 0; l < 16; ++l) out.v[l] = make(l);
    return out;
}
[[gnu::always_inline]] inline uint32_t as_unsigned(int32_t x) { return static_cast<uint32_t>(x); }
[[gnu::always_inline]] inline int32_t as_signed(uint32_t x) { return static_cast<int32_t>(x); }

inline F zero() {
    return lanes<F>([](int) { return 0.0F; });
}
inline F all(float x) {
    return lanes<F>([x](int) { return x; });
}
inline F load(const float* at) {
    return lanes<F>([at](int l) { return at[l]; });
}
inline F load_part(const float* at, int64_t count) {
    return lanes<F>([at, count](int l) { return l < count ? at[l] : 0.0F; });
}
inline void store(float* at, const F& x) { std::memcpy(at, x.v, sizeof x.v); }
inline void store_part(float* at, const F& x, int64_t count) {
    for (int l = 0; l < 16 && l < count; ++l) at[l] = x.v[l];
}
inline F operator+(const F& a, const F& b) {
    return lanes<F>([&](int l) { return a.v[l] + b.v[l]; });
}
inline F operator-(const F& a, const F& b) {
    return lanes<F>([&](int l) { return a.v[l] - b.v[l]; });
}
inline F operator*(const F& a, const F& b) {
    return lanes<F>([&](int l) { return a.v[l] * b.v[l]; });
}
inline F operator/(const F& a, const F& b) {
    return lanes<F>([&](int l) { return a.v[l] / b.v[l]; });
}
inline F fma(const F& a, const F& b, const F& c) {
    return lanes<F>([&](int l) { return a.v[l] * b.v[l] + c.v[l]; });
}
inline F sqrt(const F& a) {
    return lanes<F>([&](int l) { return std::sqrt(a.v[l]); });
}
inline F max(const F& a, const F& b) {
    return lanes<F>([&](int l) { return a.v[l] > b.v[l] ? a.v[l] : b.v[l]; });
}
inline F min(const F& a, const F& b) {
    return lanes<F>([&](int l) { return a.v[l] < b.v[l] ? a.v[l] : b.v[l]; });
}

inline I all_int(int32_t x) {
    return lanes<I>([x](int) { return x; });
}
inline I load_int(const int32_t* at) {
    I out;
    std::memcpy(out.v, at, sizeof out.v);
    return out;
}
inline void store_int(int32_t* at, const I& x) { std::memcpy(at, x.v, sizeof x.v); }
inline I load_int(const std::byte* at) {
    I out;
    std::memcpy(out.v, at, sizeof out.v);
    return out;
}
inline void store_int(std::byte* at, const I& x) { std::memcpy(at, x.v, sizeof x.v); }
inline I operator+(const I& a, const I& b) {
    return lanes<I>([&](int l) { return as_signed(as_unsigned(a.v[l]) + as_unsigned(b.v[l])); });
}
inline I operator-(const I& a, const I& b) {
    return lanes<I>([&](int l) { return as_signed(as_unsigned(a.v[l]) - as_unsigned(b.v[l])); });
}
inline I operator*(const I& a, const I& b) {
    return lanes<I>([&](int l) { return as_signed(as_unsigned(a.v[l]) * as_unsigned(b.v[l])); });
}
inline I operator&(const I& a, const I& b) {
    return lanes<I>([&](int l) { return a.v[l] & b.v[l]; });
}
inline I operator|(const I& a, const I& b) {
    return lanes<I>([&](int l) { return a.v[l] | b.v[l]; });
}
inline I operator^(const I& a, const I& b) {
    return lanes<I>([&](int l) { return a.v[l] ^ b.v[l]; });
}
template <int kBits>
inline I shift_left(const I& a) {
    return lanes<I>([&](int l) { return as_signed(as_unsigned(a.v[l]) << kBits); });
}
template <int kBits>
inline I shift_right(const I& a) {
    return lanes<I>([&](int l) { return as_signed(as_unsigned(a.v[l]) >> kBits); });
}
template <int kBits>
inline I shift_right_signed(const I& a) {
    return lanes<I>([&](int l) { return a.v[l] >> kBits; });
}
inline I max(const I& a, const I& b) {
    return lanes<I>([&](int l) { return a.v[l] > b.v[l] ? a.v[l] : b.v[l]; });
}
inline I min(const I& a, const I& b) {
    return lanes<I>([&](int l) { return a.v[l] < b.v[l] ? a.v[l] : b.v[l]; });
}

inline I bits_of(const F& a) {
    I out;
    std::memcpy(out.v, a.v, sizeof out.v);
    return out;
}
inline F floats_of(const I& a) {
    F out;
    std::memcpy(out.v, a.v, sizeof out.v);
    return out;
}
inline F to_floats(const I& a) {
    return lanes<F>([&](int l) { return static_cast<float>(a.v[l]); });
}
// As the processors do it: what does not fit becomes the lowest int.
inline I to_ints(const F& a) {
    return lanes<I>([&](int l) {
        return std::fabs(a.v[l]) < 0x1p31F ? static_cast<int32_t>(std::nearbyint(a.v[l]))
                                           : std::numeric_limits<int32_t>::min();
    });
}

inline M operator<(const F& a, const F& b) {
    return lanes<M>([&](int l) { return a.v[l] < b.v[l]; });
}
inline M is_nan(const F& a) {
    return lanes<M>([&](int l) { return std::isnan(a.v[l]); });
}
inline M operator==(const I& a, const I& b) {
    return lanes<M>([&](int l) { return a.v[l] == b.v[l]; });
}
inline M operator<(const I& a, const I& b) {
    return lanes<M>([&](int l) { return a.v[l] < b.v[l]; });
}
inline F select(const M& m, const F& yes, const F& no) {
    return lanes<F>([&](int l) { return m.v[l] ? yes.v[l] : no.v[l]; });
}
inline I select(const M& m, const I& yes, const I& no) {
    return lanes<I>([&](int l) { return m.v[l] ? yes.v[l] : no.v[l]; });
}
inline uint32_t mask_bits(const M& m) {
    uint32_t out = 0;
    for (int l = 0; l < 16; ++l) out |= static_cast<uint32_t>(m.v[l]) << l;
    return out;
}

inline float sum(const F& a) {
    float part[8];
    for (int l = 0; l < 8; ++l) part[l] = a.v[l] + a.v[l + 8];
    for (int l = 0; l < 4; ++l) part[l] += part[l + 4];
    return (part[0] + part[2]) + (part[1] + part[3]);
}
inline float largest(const F& a) {
    float most = a.v[0];
    for (int l = 1; l < 16; ++l) most = a.v[l] > most ? a.v[l] : most;
    return most;
}

template <int kDistance>
inline F swap_lanes(const F& a) {
    return lanes<F>([&](int l) { return a.v[l ^ kDistance]; });
}

inline F load_bf16(const Bf16* at) {
    return lanes<F>([at](int l) { return to_float(at[l]); });
}
inline F load_bf16_part(const Bf16* at, int64_t count) {
    return lanes<F>([at, count](int l) { return l < count ? to_float(at[l]) : 0.0F; });
}
inline I bf16_codes(const F& a) {
    return lanes<I>([&](int l) { return int32_t{to_bf16(a.v[l]).bits}; });
}
inline void store_bf16(Bf16* at, const F& a) {
    for (int l = 0; l < 16; ++l) at[l] = to_bf16(a.v[l]);
}
inline void store_bf16_part(Bf16* at, const F& a, int64_t count) {
    for (int l = 0; l < 16 && l < count; ++l) at[l] = to_bf16(a.v[l]);
}
inline I load_u8(const uint8_t* at) {
    return lanes<I>([at](int l) { return int32_t{at[l]}; });
}
inline void store_u8(uint8_t* at, const I& a) {
    for (int l = 0; l < 16; ++l) at[l] = static_cast<uint8_t>(a.v[l]);
}

inline I load_bytes(const uint8_t* at) {
    I out;
    std::memcpy(out.v, at, sizeof out.v);
    return out;
}
inline I lookup_bytes(const uint8_t* table, const I& bytes) {
    uint8_t byte[64];
    std::memcpy(byte, bytes.v, sizeof byte);
    for (uint8_t& value : byte) value = table[value & 15];
    I out;
    std::memcpy(out.v, byte, sizeof byte);
    return out;
}
template <int kBits>
[[gnu::noinline]] I lookup_table(const uint8_t* table, const I& index) {
    uint8_t byte[64];
    std::memcpy(byte, index.v, sizeof byte);
    for (uint8_t& value : byte) value = table[value];
    I out;
    std::memcpy(out.v, byte, sizeof byte);
    return out;
}
struct ByteSums {
    int16_t v[32];
};
inline ByteSums byte_sums(const I& start) {
    ByteSums out{};
    for (int l = 0; l < 16; ++l) out.v[2 * l] = static_cast<int16_t>(start.v[l]);
    return out;
}
// Two bytes at a time in arithmetic of 16 bits, for which every baseline has vectors.
inline ByteSums dot_bytes(const I& a, const I& b, const ByteSums& acc) {
    uint16_t x[32], y[32];
    std::memcpy(x, a.v, sizeof x);
    std::memcpy(y, b.v, sizeof y);
    ByteSums out;
    for (int i = 0; i < 32; ++i) {
        const auto low = static_cast<int16_t>(static_cast<int16_t>(y[i] << 8) >> 8);
        const auto high = static_cast<int16_t>(static_cast<int16_t>(y[i]) >> 8);
        const int sum = (x[i] & 255) * low + (x[i] >> 8) * high;
        out.v[i] = static_cast<int16_t>(acc.v[i] + sum);
    }
    return out;
}
inline I total(const ByteSums& a) {
    return lanes<I>([&](int l) { return int32_t{a.v[2 * l]} + a.v[2 * l + 1]; });
}
inline void transpose(I (&x)[16]) {
    for (int r = 0; r < 16; ++r) {
        for (int c = 0; c < r; ++c) std::swap(x[r].v[c], x[c].v[r]);
    }
}

struct Pairs {
    F low, high;
};
inline Pairs load_pairs(const Bf16* at) {
    return {lanes<F>([at](int l) { return to_float(at[2 * l]); }),
            lanes<F>([at](int l) { return to_float(at[2 * l + 1]); })};
}
inline F low_of(const Pairs& a) { return a.low; }
inline F high_of(const Pairs& a) { return a.high; }
inline Pairs all_pairs(const Bf16* at) { return {all(to_float(at[0])), all(to_float(at[1]))}; }
inline F dot(const Pairs& a, const Pairs& b, const F& acc) {
    return fma(a.high, b.high, fma(a.low, b.low, acc));
}
inline void store_pairs(Bf16* at, const F& low, const F& high) {
    for (int l = 0; l < 16; ++l) {
        at[2 * l].bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(low.v[l]) >> 16);
        at[2 * l + 1].bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(high.v[l]) >> 16);
    }
}

inline void load_columns(const std::byte* const* rows, int64_t offset, I (&out)[16]) {
    for (int r = 0; r < 16; ++r) out[r] = load_int(rows[r] + offset);
    transpose(out);
}

inline Pairs pairs_of(const I& bits) {
    return {lanes<F>([&](int l) { return std::bit_cast<float>(bits.v[l] << 16); }),
            lanes<F>([&](int l) { return std::bit_cast<float>(bits.v[l] & -65536); })};
}
inline void store_pairs(Bf16* at, const Pairs& pairs) { store_pairs(at, pairs.low, pairs.high); }
inline bool lookup_pairs(const uint16_t*, const I&, Pairs*, Pairs*) { return false; }
template <int kAt>
inline Pairs e2m1_pairs(const I& nibbles) {
    return {lanes<F>([&](int l) { return kE2m1Values[(nibbles.v[l] >> (4 * kAt)) & 15]; }),
            lanes<F>([&](int l) { return kE2m1Values[(nibbles.v[l] >> (16 + 4 * kAt)) & 15]; })};
}
inline void e4m3_pairs(const I& codes, Pairs* even, Pairs* odd) {
    static constexpr auto kValues = [] {
        std::array<float, 256> out{};
        for (size_t code = 0; code < 256; ++code)
            out[code] = e4m3_value(static_cast<uint8_t>(code));
        return out;
    }();
    const auto values = [&codes](int byte) {
        return lanes<F>([&codes, byte](int l) {
            return kValues[(as_unsigned(codes.v[l]) >> (8 * byte)) & 255];
        });
    };
    *even = {values(0), values(2)};
    *odd = {values(1), values(3)};
}

constexpr bool kRoomForDwords = false;
constexpr int kPanelRows = 4;
constexpr int kPanelStrips = 1;
constexpr int kTileRows = 2;
constexpr int kTileVectors = 2;
inline bool store_e4m3(Bf16*, const uint8_t*, uint8_t) { return false; }
inline I dot_bytes(const I& a, const I& b, const I& acc) {
    return lanes<I>([&](int l) {
        uint32_t total = as_unsigned(acc.v[l]);
        for (int byte = 0; byte < 4; ++byte) {
            const int32_t x = static_cast<uint8_t>(as_unsigned(a.v[l]) >> (8 * byte));
            const int32_t y = static_cast<int8_t>(as_unsigned(b.v[l]) >> (8 * byte));
            total += as_unsigned(x * y);
        }
        return as_signed(total);
    });
}
