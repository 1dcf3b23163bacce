#pragma once
// Strips of the low-bit formats (quant/linear_weight.h): a block's book and a code make an index, and a table of all books
// says what stands there. Lanes are rows, so that every lane has a book of its own: one table for all 16.
//
// A dword of codes is read two bits (kQ2v: four bits) of every byte at a time: round (d, k) of a group, d = 0, 1 and
// k = 0 … 3, brings columns 16d + k + 0, 4, 8, 12.

// Of every index the bf16 of its level, whole and its bytes apart, and the level plus 128.
template <int kBits>
struct LevelTable {
    alignas(64) std::array<uint8_t, 1 << kBits> low, high, bytes;
    alignas(64) std::array<uint16_t, 1 << kBits> whole;

    constexpr void put(size_t index, int8_t level) {
        const uint16_t bits = to_bf16(static_cast<float>(level)).bits;
        whole[index] = bits;
        low[index] = static_cast<uint8_t>(bits & 255);
        high[index] = static_cast<uint8_t>(bits >> 8);
        bytes[index] = static_cast<uint8_t>(level + 128);
    }
};

template <size_t kLevels, int kBits>
constexpr LevelTable<kBits> table_of_levels(const LevelBooks<kLevels>& books) {
    LevelTable<kBits> out{};
    for (size_t i = 0; i < kLevels * kLowBitBooks; ++i) out.put(i, books[i / kLevels][i % kLevels]);
    return out;
}
constexpr LevelTable<8> table_of_points(size_t column) {
    LevelTable<8> out{};
    for (size_t i = 0; i < 256; ++i) out.put(i, kQ2vBooks[i / 16][i % 16][column]);
    return out;
}

[[gnu::always_inline]] inline I in_every_byte(uint32_t byte) {
    return all_int(static_cast<int32_t>(byte * 0x01010101U));
}

// Half a group, columns 16d … 16d + 15, on its way through the rounds k = 0 … 3.
struct Half {
    I codes;
    I third;  // kQ3s: the third bits, at bit 2 of every byte
};

// Where a format's books and codes lie in an index. kWords dwords a group.
struct Q3s {
    static constexpr int kWords = 3, kIndexBits = 7;
    static constexpr LevelTable<7> kTable = table_of_levels<8, 7>(kQ3sBooks);
    static constexpr const LevelTable<7>& table(int) { return kTable; }
    [[gnu::always_inline]] static I book(const I& scales) {
        return shift_right<1>(scales) & in_every_byte(0x78);
    }
    template <int kHalf>
    [[gnu::always_inline]] static Half half(const I* words) {
        if constexpr (kHalf == 0) return {words[0], shift_left<2>(words[2])};
        return {words[1], shift_right<2>(words[2])};
    }
    [[gnu::always_inline]] static I index(const Half& half, const I& book) {
        return ((half.codes & in_every_byte(3)) | book) | (half.third & in_every_byte(4));
    }
    [[gnu::always_inline]] static void next(Half& half, int) {
        half.codes = shift_right<2>(half.codes);
        half.third = shift_right<1>(half.third);
    }
};

struct Q2s {
    static constexpr int kWords = 2, kIndexBits = 6;
    static constexpr LevelTable<6> kTable = table_of_levels<4, 6>(kQ2sBooks);
    static constexpr const LevelTable<6>& table(int) { return kTable; }
    [[gnu::always_inline]] static I book(const I& scales) {
        return shift_right<2>(scales) & in_every_byte(0x3C);
    }
    template <int kHalf>
    [[gnu::always_inline]] static Half half(const I* words) {
        return {words[kHalf], words[kHalf]};
    }
    [[gnu::always_inline]] static I index(const Half& half, const I& book) {
        return (half.codes & in_every_byte(3)) | book;
    }
    [[gnu::always_inline]] static void next(Half& half, int) {
        half.codes = shift_right<2>(half.codes);
    }
};

// Two rounds have the same index and different tables.
struct Q2v {
    static constexpr int kWords = 2, kIndexBits = 8;
    static constexpr LevelTable<8> kTables[2] = {table_of_points(0), table_of_points(1)};
    [[gnu::always_inline]] static const LevelTable<8>& table(int k) { return kTables[k % 2]; }
    [[gnu::always_inline]] static I book(const I& scales) { return scales & in_every_byte(0xF0); }
    template <int kHalf>
    [[gnu::always_inline]] static Half half(const I* words) {
        return {words[kHalf], words[kHalf]};
    }
    [[gnu::always_inline]] static I index(const Half& half, const I& book) {
        return (half.codes & in_every_byte(15)) | book;
    }
    [[gnu::always_inline]] static void next(Half& half, int k) {
        if (k == 1) half.codes = shift_right<4>(half.codes);
    }
};

// Bytes 0 and 2, bytes 1 and 3 of every lane, as bf16.
template <int kBits>
[[gnu::always_inline]] inline void level_pairs(const LevelTable<kBits>& table, const I& index,
                                               Pairs* even, Pairs* odd) {
    if constexpr (kBits == 6) {
        if (lookup_pairs(table.whole.data(), index, even, odd)) return;
    }
    const I lower = lookup_table<kBits>(table.low.data(), index);
    const I upper = lookup_table<kBits>(table.high.data(), index);
    const I first = all_int(0x00FF00FF), second = all_int(static_cast<int32_t>(0xFF00FF00));
    *even = pairs_of((lower & first) | (shift_left<8>(upper) & second));
    *odd = pairs_of((shift_right<8>(lower) & first) | (upper & second));
}

// The scale bytes of a strip's group, one a lane.
template <bool kArranged>
[[gnu::always_inline]] inline I low_bit_scales(const Strip& strip, int64_t group) {
    if constexpr (kArranged) {
        const std::byte* at = strip.scales[0] + group * kStrip;
        return load_u8(reinterpret_cast<const uint8_t*>(at));
    } else {
        uint8_t bytes[kStrip];
        for (int64_t lane = 0; lane < kStrip; ++lane)
            bytes[lane] = static_cast<uint8_t>(strip.scales[lane][group]);
        return load_u8(bytes);
    }
}
// The factor that a step stands for: bit 0 is the upper bit of the mantissa, the others are the exponent.
[[gnu::always_inline]] inline F low_bit_steps(const I& scales) {
    return floats_of((shift_left<22>(scales) & all_int(0x03C00000)) + all_int(0x3F800000));
}
[[gnu::always_inline]] inline F low_bit_bases(const LinearWeight& w, const Strip& strip) {
    uint8_t bytes[kStrip];
    for (int64_t lane = 0; lane < kStrip; ++lane) {
        const int64_t row = strip.first + (lane < strip.count ? lane : strip.count - 1);
        bytes[lane] = static_cast<uint8_t>(w.scales[row]);
    }
    return e8m0_floats(load_u8(bytes));
}
[[gnu::always_inline]] inline I in_all_bytes(const I& low_byte) {
    const I two = low_byte | shift_left<8>(low_byte);
    return two | shift_left<16>(two);
}

// Groups that are decoded side by side: with registers for them, chains of sums overlap.
constexpr int kSideBySide = kRegisters >= 32 ? 4 : 1;

template <class Format, int kGroups, int kHalf, class To>
[[gnu::always_inline]] inline void low_bit_half(const I* words, const I* books, int64_t group,
                                                To& to) {
    Half halves[kGroups];
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g)
        halves[g] = Format::template half<kHalf>(words + g * Format::kWords);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g) {
            Pairs even;
            Pairs odd;
            level_pairs(Format::table(k), Format::index(halves[g], books[g]), &even, &odd);
            Format::next(halves[g], k);
            to.pair(g, group + g, 8 * kHalf + 2 * k, even);
            to.pair(g, group + g, 8 * kHalf + 2 * k + 1, odd);
        }
    }
}

// kGroups groups of which `group` is the first, counted from column `first`.
template <class Format, bool kArranged, int kGroups, class To>
[[gnu::always_inline]] inline void low_bit_groups(const LinearWeight& w, const Strip& strip,
                                                  int64_t first, int64_t group, const F& bases,
                                                  To& to) {
    I words[16], books[kGroups];
    F scales[kGroups];
    const int64_t offset = (first / kLinearGroup + group) * 4 * Format::kWords;
    load_strip<kArranged, kGroups * Format::kWords>(strip, offset, weight_row_bytes(w) - offset,
                                                    words);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
        const I bytes = low_bit_scales<kArranged>(strip, first / kLinearGroup + group + g);
        books[g] = Format::book(in_all_bytes(bytes));
        scales[g] = low_bit_steps(bytes) * bases;
    }
    low_bit_half<Format, kGroups, 0>(words, books, group, to);
    low_bit_half<Format, kGroups, 1>(words, books, group, to);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) to.done(g, group + g, scales[g]);
}

template <class Format, bool kArranged, class To>
inline void decode_low_bit(const LinearWeight& w, const Strip& strip, int64_t first, int64_t count,
                           To& to) {
    const int64_t groups = count / kLinearGroup;
    const F bases = low_bit_bases(w, strip);
    int64_t group = 0;
    for (; group + kSideBySide <= groups; group += kSideBySide)
        low_bit_groups<Format, kArranged, kSideBySide>(w, strip, first, group, bases, to);
    for (; group < groups; ++group)
        low_bit_groups<Format, kArranged, 1>(w, strip, first, group, bases, to);
}

// Every format.
template <bool kArranged, class To>
inline void decode_strip(const LinearWeight& w, const Strip& strip, int64_t first, int64_t count,
                         int part, To& to) {
    switch (w.format) {
        case WeightFormat::kFp4: decode_fp4<kArranged>(w, strip, first, count, to); return;
        case WeightFormat::kFp8: decode_fp8<kArranged>(w, strip, first, count, to); return;
        case WeightFormat::kBf16: decode_bf16<kArranged>(w, strip, first, count, to); return;
        case WeightFormat::kF32: decode_f32(w, strip, first, count, part, to); return;
        case WeightFormat::kQ3s: decode_low_bit<Q3s, kArranged>(w, strip, first, count, to); return;
        case WeightFormat::kQ2s: decode_low_bit<Q2s, kArranged>(w, strip, first, count, to); return;
        case WeightFormat::kQ2v: decode_low_bit<Q2v, kArranged>(w, strip, first, count, to); return;
    }
}

template <class To>
[[gnu::always_inline]] inline void decode(const LinearWeight& w, const Strip& strip, int64_t first,
                                          int64_t count, int part, To& to) {
    if (strip.arranged) {
        decode_strip<true>(w, strip, first, count, part, to);
    } else {
        decode_strip<false>(w, strip, first, count, part, to);
    }
}
