#pragma once
// Weights as they lie: strips of 16 rows, decoded to pairs of bf16 columns with lanes as rows; and turning strips around.
// See linear_kernels.h.

constexpr int64_t kPanelColumns = 512;
constexpr int64_t kPanelGroups = kPanelColumns / kLinearGroup;
constexpr int kPairs = 16;  // column pairs of a group

// Where decoded column pairs go. Up to four groups are decoded side by side, each in a slot of its own, so that four
// chains of sums run at once: pair(slot, group, j, pairs) for j = 0 … 15 in order, then done(slot, group, scale).

// Into a panel: [group][pair][32 bf16], scales [group][16].
struct ToPanel {
    Bf16* pairs;
    float* scales;
    [[gnu::always_inline]] void pair(int, int64_t group, int j, const Pairs& p) {
        store_pairs(pairs + (group * kPairs + j) * 2 * kStrip, p);
    }
    [[gnu::always_inline]] void done(int, int64_t group, const F& scale) {
        store(scales + group * kStrip, scale);
    }
};

// Into the dot product with one row.
struct ToDot {
    const Bf16* x;
    F total;
    F sums[4];
    [[gnu::always_inline]] explicit ToDot(const Bf16* row) : x(row), total(zero()) {
        for (F& sum : sums) sum = zero();
    }
    [[gnu::always_inline]] void pair(int slot, int64_t group, int j, const Pairs& p) {
        sums[slot] = dot(p, all_pairs(x + group * kLinearGroup + 2 * j), sums[slot]);
    }
    [[gnu::always_inline]] void done(int slot, int64_t, const F& scale) {
        total = fma(sums[slot], scale, total);
        sums[slot] = zero();
    }
};

// The weights of a strip in memory. Lanes beyond the last output repeat it: nobody reads what they compute.
struct Strip {
    const std::byte*
        codes[kStrip];  // rows; of a strip that was arranged only the first is used: its beginning
    const std::byte* scales[kStrip];  // the same; FP4 and low-bit formats only
    bool arranged = false;
    int64_t first = 0;  // weight row of lane 0
    int64_t count = 0;  // lanes that count
};

inline Strip strip_at(const LinearWeight& w, int64_t first, int64_t count) {
    Strip strip;
    strip.first = first;
    strip.count = count < kStrip ? count : kStrip;
    strip.arranged = w.layout == WeightLayout::kStrips && first + kStrip <= w.rows;
    const int64_t bytes = weight_row_bytes(w);
    for (int64_t lane = 0; lane < kStrip; ++lane) {
        const int64_t row = first + (lane < strip.count ? lane : strip.count - 1);
        strip.codes[lane] = w.codes + row * bytes;
        strip.scales[lane] = w.scales;
        if (w.format == WeightFormat::kFp4) strip.scales[lane] += row * (w.cols / 32);
        if (w.low_bit()) strip.scales[lane] += w.rows + row * (w.cols / 32);
    }
    return strip;
}

// How far ahead of what it loads a strip asks for memory: decoding fills the window in which the processor could see by
// itself what comes next. Behind the last strip this asks for what nobody needs, which is harmless.
constexpr int64_t kAhead = 8192;

// 4·kDwords bytes of each row from `offset`, of which `left` are there; what is not reads as zero.
template <bool kArranged, int kDwords>
[[gnu::always_inline]] inline void load_strip(const Strip& strip, int64_t offset, int64_t left,
                                              I (&out)[16]) {
    if constexpr (kArranged) {
        const std::byte* at = strip.codes[0] + offset * kStrip;
#pragma GCC unroll 16
        for (int d = 0; d < kDwords; ++d) {
            __builtin_prefetch(at + 64 * d + kAhead, 0, 3);
            out[d] = load_int(at + 64 * d);
        }
    } else {
        if (left >= 64) {
            load_columns(strip.codes, offset, out);
            return;
        }
        std::byte copy[kStrip][64] = {};
        const std::byte* copied[kStrip];
        const int64_t bytes = left < 4 * kDwords ? left : 4 * kDwords;
        for (int64_t lane = 0; lane < kStrip; ++lane) {
            std::memcpy(copy[lane], strip.codes[lane] + offset, static_cast<size_t>(bytes));
            copied[lane] = copy[lane];
        }
        load_columns(copied, 0, out);
    }
}

// The dwords of a strip that was arranged, loaded when they are used: for few registers (kRoomForDwords). GCC 12 is moody
// about it: look at the speed of gemv.* with --isa avx2 when this or its loops change.
struct LateDwords {
    const std::byte* at;
    [[gnu::always_inline]] LateDwords(const Strip& strip, int64_t offset)
        : at(strip.codes[0] + offset * kStrip) {}
    [[gnu::always_inline]] I operator[](int d) const {
        __builtin_prefetch(at + 64 * d + kAhead, 0, 3);
        return load_int(at + 64 * d);
    }
};

// The E8M0 scales of an FP4 strip's group.
template <bool kArranged>
[[gnu::always_inline]] inline F e2m1_scales(const Strip& strip, int64_t group) {
    if constexpr (kArranged) {
        const std::byte* at = strip.scales[0] + group * kStrip;
        return e8m0_floats(load_u8(reinterpret_cast<const uint8_t*>(at)));
    } else {
        uint8_t bytes[kStrip];
        for (int64_t lane = 0; lane < kStrip; ++lane) {
            bytes[lane] = static_cast<uint8_t>(strip.scales[lane][group]);
        }
        return e8m0_floats(load_u8(bytes));
    }
}

// kGroups groups of FP4: four dwords of eight columns each a group.
template <int kGroups, class Dwords, class To>
[[gnu::always_inline]] inline void e2m1_groups(const Dwords& dwords, int64_t group, To& to) {
#pragma GCC unroll 4
    for (int d = 0; d < 4; ++d) {
        I nibbles[kGroups];
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g) nibbles[g] = dwords[4 * g + d];
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g) {
            to.pair(g, group + g, 4 * d, e2m1_pairs<0>(nibbles[g]));
        }
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g) {
            to.pair(g, group + g, 4 * d + 1, e2m1_pairs<1>(nibbles[g]));
        }
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g) {
            to.pair(g, group + g, 4 * d + 2, e2m1_pairs<2>(nibbles[g]));
        }
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g) {
            to.pair(g, group + g, 4 * d + 3, e2m1_pairs<3>(nibbles[g]));
        }
    }
}

// Columns [first, first + count) of a strip, first a multiple of 512; groups are numbered from `first`.
template <bool kArranged, class To>
[[gnu::always_inline]] inline void decode_fp4(const LinearWeight& w, const Strip& strip,
                                              int64_t first, int64_t count, To& to) {
    const int64_t groups = count / 32;
    const int64_t base = first / 32;
    int64_t group = 0;
    if constexpr (kArranged && !kRoomForDwords) {
        constexpr int kAtOnce = kRegisters >= 32 ? 4 : 2;
        for (; group + kAtOnce <= groups; group += kAtOnce) {
            const LateDwords dwords(strip, (first + group * 32) / 2);
            e2m1_groups<kAtOnce>(dwords, group, to);
#pragma GCC unroll 4
            for (int g = 0; g < kAtOnce; ++g) {
                to.done(g, group + g, e2m1_scales<true>(strip, base + group + g));
            }
        }
    }
    I nibbles[16];
    for (; group + 4 <= groups; group += 4) {
        load_strip<kArranged, 16>(strip, (first + group * 32) / 2, 64, nibbles);
        e2m1_groups<4>(nibbles, group, to);
#pragma GCC unroll 4
        for (int g = 0; g < 4; ++g) {
            to.done(g, group + g, e2m1_scales<kArranged>(strip, base + group + g));
        }
    }
    for (; group < groups; ++group) {
        const int64_t offset = (first + group * 32) / 2;
        load_strip<kArranged, 4>(strip, offset, w.cols / 2 - offset, nibbles);
        e2m1_groups<1>(nibbles, group, to);
        to.done(0, group, e2m1_scales<kArranged>(strip, base + group));
    }
}

// The scales of an FP8 strip for the block of 128 columns that holds `col`.
inline F fp8_scales(const LinearWeight& w, const Strip& strip, int64_t col) {
    const int64_t blocks = (w.cols + 127) / 128;
    float lanes16[kStrip];
    for (int64_t lane = 0; lane < kStrip; ++lane) {
        const int64_t row = strip.first + (lane < strip.count ? lane : strip.count - 1);
        const int64_t at = row / 128 * blocks + col / 128;
        if (w.scale_format == ScaleFormat::kE8m0) {
            lanes16[lane] = e8m0_value(static_cast<uint8_t>(w.scales[at]));
        } else {
            std::memcpy(&lanes16[lane], w.scales + 4 * at, 4);
        }
        if (lane == 0 && row / 128 == (strip.first + strip.count - 1) / 128) return all(lanes16[0]);
    }
    return load(lanes16);
}

// kGroups groups of FP8: eight dwords of four columns each a group.
template <int kGroups, class Dwords, class To>
[[gnu::always_inline]] inline void e4m3_groups(const Dwords& codes, int64_t group, To& to) {
#pragma GCC unroll 8
    for (int d = 0; d < 8; ++d) {
#pragma GCC unroll 2
        for (int g = 0; g < kGroups; ++g) {
            Pairs even;
            Pairs odd;
            e4m3_pairs(codes[8 * g + d], &even, &odd);
            to.pair(g, group + g, 2 * d, even);
            to.pair(g, group + g, 2 * d + 1, odd);
        }
    }
}

template <bool kArranged, class To>
[[gnu::always_inline]] inline void decode_fp8(const LinearWeight& w, const Strip& strip,
                                              int64_t first, int64_t count, To& to) {
    const int64_t groups = (count + 31) / 32;
    F scale = zero();
    I codes[16];
    int64_t group = 0;
    for (; group + 2 <= groups; group += 2) {
        const int64_t offset = first + group * 32;
        if constexpr (kArranged && !kRoomForDwords) {
            if (group % 4 == 0) scale = fp8_scales(w, strip, offset);
            e4m3_groups<2>(LateDwords(strip, offset), group, to);
        } else {
            load_strip<kArranged, 16>(strip, offset, 64, codes);
            if (group % 4 == 0) scale = fp8_scales(w, strip, offset);
            e4m3_groups<2>(codes, group, to);
        }
        to.done(0, group, scale);
        to.done(1, group + 1, scale);
    }
    if (group < groups) {
        const int64_t offset = first + group * 32;
        load_strip<kArranged, 8>(strip, offset, w.cols - offset, codes);
        if (group % 4 == 0) scale = fp8_scales(w, strip, offset);
        e4m3_groups<1>(codes, group, to);
        to.done(0, group, scale);
    }
}

template <bool kArranged, class To>
[[gnu::always_inline]] inline void decode_bf16(const LinearWeight& w, const Strip& strip,
                                               int64_t first, int64_t count, To& to) {
    const int64_t groups = (count + 31) / 32;
    for (int64_t group = 0; group < groups; ++group) {
        I pairs[16];
        const int64_t offset = 2 * (first + group * 32);
        load_strip<kArranged, 16>(strip, offset, 2 * w.cols - offset, pairs);
#pragma GCC unroll 16
        for (int j = 0; j < kPairs; ++j) to.pair(0, group, j, pairs_of(pairs[j]));
        to.done(0, group, all(1.0F));
    }
}

// Part 0, 1 or 2 of F32 weights: the bf16 that is left when the parts before it are taken away, cut off, not rounded.
template <class To>
inline void decode_f32(const LinearWeight& w, const Strip& strip, int64_t first, int64_t count,
                       int part, To& to) {
    const int64_t groups = (count + 31) / 32;
    for (int64_t group = 0; group < groups; ++group) {
        float values[2 * kPairs][kStrip];
        for (int64_t i = 0; i < 2 * kPairs; ++i) {
            for (int64_t lane = 0; lane < kStrip; ++lane) {
                const int64_t col = first + group * 32 + i;
                float value = 0;
                if (col < w.cols) std::memcpy(&value, strip.codes[lane] + 4 * col, 4);
                float taken = 0;
                for (int p = 0; p <= part; ++p) {
                    taken = std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xFFFF0000u);
                    value -= taken;
                }
                values[i][lane] = taken;
            }
        }
        for (int j = 0; j < kPairs; ++j) {
            const I low = shift_right<16>(bits_of(load(values[2 * j])));
            to.pair(0, group, j, pairs_of(low | bits_of(load(values[2 * j + 1]))));
        }
        to.done(0, group, all(1.0F));
    }
}

[[gnu::always_inline]] inline int parts_of(const LinearWeight& w) {
    return w.format == WeightFormat::kF32 ? 3 : 1;
}

// A whole strip, in place: 4 bytes of 16 rows side by side, then the next 4; row_bytes is a multiple of 4. Scales: the
// same, byte by byte. `copy` holds 16 · row_bytes.
void arrange_strip(std::byte* codes, int64_t row_bytes, std::byte* copy) {
    std::memcpy(copy, codes, static_cast<size_t>(kStrip * row_bytes));
    const std::byte* rows[kStrip];
    for (int64_t lane = 0; lane < kStrip; ++lane) rows[lane] = copy + lane * row_bytes;
    int64_t offset = 0;
    for (; offset + 64 <= row_bytes; offset += 64) {
        I columns[16];
        load_columns(rows, offset, columns);
        for (int d = 0; d < 16; ++d) store_int(codes + offset * kStrip + 64 * d, columns[d]);
    }
    for (; offset < row_bytes; offset += 4) {
        for (int64_t lane = 0; lane < kStrip; ++lane) {
            std::memcpy(codes + offset * kStrip + 4 * lane, rows[lane] + offset, 4);
        }
    }
}
void arrange_scales(std::byte* scales, int64_t row_bytes, std::byte* copy) {
    std::memcpy(copy, scales, static_cast<size_t>(kStrip * row_bytes));
    for (int64_t i = 0; i < row_bytes; ++i) {
        for (int64_t lane = 0; lane < kStrip; ++lane) {
            scales[i * kStrip + lane] = copy[lane * row_bytes + i];
        }
    }
}
