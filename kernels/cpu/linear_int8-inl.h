#pragma once
// Products with int8 activations: Activations::kInt8.

// What a panel's bytes are shifted by: the dot product takes weights without a sign.
constexpr int32_t kBiasFp4 = 12;   // e2m1 doubled is −12 … 12
constexpr int32_t kBiasFp8 = 128;  // −127 … 127; low-bit levels too
constexpr int kQuads = 8;          // 4 columns each, of a group

struct BytePanel {
    alignas(64) std::byte quads[kTask / kStrip][kPanelGroups * kQuads * 4 * kStrip];
    alignas(64) float scales[kTask / kStrip][kPanelGroups * kStrip];

    [[gnu::always_inline]] void put(int64_t strip, int64_t group, int quad, const I& bytes) {
        store_int(quads[strip] + (group * kQuads + quad) * 4 * kStrip, bytes);
    }
    [[gnu::always_inline]] void put_scale(int64_t strip, int64_t group, const F& scale) {
        store(scales[strip] + group * kStrip, scale);
    }
};

// 2·e2m1 + 12, by code.
alignas(16) constexpr uint8_t kE2m1Bytes[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                12, 11, 10, 9,  8,  6,  4,  0};

// Even nibbles of a dword are one quad, odd nibbles the next: exact.
template <bool kArranged>
void byte_panel_fp4(const LinearWeight& w, const Strip& strip, int64_t first, int64_t groups,
                    int64_t s, BytePanel& panel) {
    const I mask = all_int(0x0F0F0F0F);
    for (int64_t group = 0; group < groups; ++group) {
        I nibbles[16];
        const int64_t offset = (first + group * 32) / 2;
        load_strip<kArranged, 4>(strip, offset, w.cols / 2 - offset, nibbles);
        for (int d = 0; d < 4; ++d) {
            panel.put(s, group, 2 * d, lookup_bytes(kE2m1Bytes, nibbles[d] & mask));
            panel.put(s, group, 2 * d + 1,
                      lookup_bytes(kE2m1Bytes, shift_right<4>(nibbles[d]) & mask));
        }
        panel.put_scale(s, group, e2m1_scales<kArranged>(strip, first / 32 + group) * all(0.5F));
    }
}

[[gnu::always_inline]] inline F magnitude_of(const F& x) {
    return floats_of(bits_of(x) & all_int(0x7FFFFFFF));
}

// Each lane's 32 weights to −127 … 127 by their largest: the error is at most 1/254 of that one. A NaN code counts as 0.
template <bool kArranged>
void byte_panel_fp8(const LinearWeight& w, const Strip& strip, int64_t first, int64_t groups,
                    int64_t s, BytePanel& panel) {
    for (int64_t group = 0; group < groups; ++group) {
        I codes[16];
        const int64_t offset = first + group * 32;
        load_strip<kArranged, 8>(strip, offset, w.cols - offset, codes);
        F values[8][4];
        F most = zero();
        for (int d = 0; d < 8; ++d) {
            Pairs even;
            Pairs odd;
            e4m3_pairs(codes[d], &even, &odd);
            values[d][0] = low_of(even);
            values[d][1] = low_of(odd);
            values[d][2] = high_of(even);
            values[d][3] = high_of(odd);
            for (const F& value : values[d]) most = max(magnitude_of(value), most);
        }
        const F up = select(zero() < most, all(127.0F) / most, zero());
        const I byte = all_int(255);
        for (int d = 0; d < 8; ++d) {
            const I low = (to_ints(values[d][0] * up) & byte) |
                          shift_left<8>(to_ints(values[d][1] * up) & byte);
            const I high = (to_ints(values[d][2] * up) & byte) |
                           shift_left<8>(to_ints(values[d][3] * up) & byte);
            const I bytes = low | shift_left<16>(high);
            panel.put(s, group, d, bytes ^ all_int(static_cast<int32_t>(0x80808080)));
        }
        panel.put_scale(s, group, most * all(1.0F / 127) * fp8_scales(w, strip, offset));
    }
}

// Levels are integers already: exact.
template <class Format, int kHalf>
[[gnu::always_inline]] inline void low_bit_quads(const I* words, const I& book, int64_t s,
                                                 int64_t group, BytePanel& panel) {
    Half half = Format::template half<kHalf>(words);
    for (int k = 0; k < 4; ++k) {
        const auto& table = Format::table(k);
        const I index = Format::index(half, book);
        panel.put(s, group, 4 * kHalf + k,
                  lookup_table<Format::kIndexBits>(table.bytes.data(), index));
        Format::next(half, k);
    }
}
template <class Format, bool kArranged>
void byte_panel_low_bit(const LinearWeight& w, const Strip& strip, int64_t first, int64_t groups,
                        int64_t s, BytePanel& panel) {
    const F bases = low_bit_bases(w, strip);
    for (int64_t group = 0; group < groups; ++group) {
        I words[16];
        const int64_t offset = (first / kLinearGroup + group) * 4 * Format::kWords;
        load_strip<kArranged, Format::kWords>(strip, offset, weight_row_bytes(w) - offset, words);
        const I bytes = low_bit_scales<kArranged>(strip, first / kLinearGroup + group);
        const I book = Format::book(in_all_bytes(bytes));
        low_bit_quads<Format, 0>(words, book, s, group, panel);
        low_bit_quads<Format, 1>(words, book, s, group, panel);
        panel.put_scale(s, group, low_bit_steps(bytes) * bases);
    }
}

template <bool kArranged>
[[gnu::always_inline]] inline void byte_panel(const LinearWeight& w, const Strip& strip,
                                              int64_t first, int64_t groups, int64_t s,
                                              BytePanel& panel) {
    switch (w.format) {
        case WeightFormat::kFp4:
            byte_panel_fp4<kArranged>(w, strip, first, groups, s, panel);
            return;
        case WeightFormat::kQ3s:
            byte_panel_low_bit<Q3s, kArranged>(w, strip, first, groups, s, panel);
            return;
        case WeightFormat::kQ2s:
            byte_panel_low_bit<Q2s, kArranged>(w, strip, first, groups, s, panel);
            return;
        case WeightFormat::kQ2v:
            byte_panel_low_bit<Q2v, kArranged>(w, strip, first, groups, s, panel);
            return;
        default: byte_panel_fp8<kArranged>(w, strip, first, groups, s, panel);
    }
}

// A tile's rows at the panel's first group.
struct ByteTile {
    const int8_t* codes;
    const float* scales;
    const int32_t* starts;
    int64_t tile_rows;
};

// kRows rows × kPanelStrips strips; c [rows][kTask] holds the totals.
template <int kRows>
void multiply_byte_tile(const ByteTile& x, const BytePanel& panel, int64_t strip, int64_t groups,
                        float* c) {
    F totals[kRows][kPanelStrips];
    load_totals<kRows>(c, totals);
    for (int64_t group = 0; group < groups; ++group) {
        const int64_t at = group * x.tile_rows;
        const int8_t* codes = x.codes + at * kLinearGroup;
        I sums[kRows][kPanelStrips];
        for (int r = 0; r < kRows; ++r) {
            for (int s = 0; s < kPanelStrips; ++s) sums[r][s] = all_int(x.starts[at + r]);
        }
        // Unrolled whole: what GCC 12 leaves of the loop stores every sum in every round.
#pragma GCC unroll 8
        for (int quad = 0; quad < kQuads; ++quad) {
            I weights[kPanelStrips];
            for (int s = 0; s < kPanelStrips; ++s) {
                weights[s] =
                    load_int(panel.quads[strip + s] + (group * kQuads + quad) * 4 * kStrip);
            }
            for (int r = 0; r < kRows; ++r) {
                int32_t four;
                std::memcpy(&four, codes + r * kLinearGroup + 4 * quad, 4);
                const I a = all_int(four);
                for (int s = 0; s < kPanelStrips; ++s) {
                    sums[r][s] = dot_bytes(weights[s], a, sums[r][s]);
                }
            }
        }
        for (int s = 0; s < kPanelStrips; ++s) {
            const F scale = load(panel.scales[strip + s] + group * kStrip);
            for (int r = 0; r < kRows; ++r) {
                const F both = scale * all(x.scales[at + r]);
                totals[r][s] = fma(to_floats(sums[r][s]), both, totals[r][s]);
            }
        }
    }
    store_totals<kRows>(totals, c);
}

using MultiplyByteTile = void (*)(const ByteTile&, const BytePanel&, int64_t, int64_t, float*);
template <int... kRows>
constexpr std::array<MultiplyByteTile, sizeof...(kRows)> byte_tiles_of(
    std::integer_sequence<int, kRows...>) {
    return {multiply_byte_tile<kRows + 1>...};
}
constexpr auto kByteTiles = byte_tiles_of(std::make_integer_sequence<int, kPanelRows>());

void multiply_int8_task(const LinearTask& task, const Int8Rows& x, int64_t output) {
    const LinearWeight& w = *task.weight;
    BytePanel panel;
    alignas(64) float c[kLinearRowsMax * kTask];
    std::memset(c, 0, static_cast<size_t>(task.tiles.rows * kTask) * sizeof(float));
    const TaskStrips strips = strips_of(task, output);
    for (int64_t first = 0; first < w.cols; first += kPanelColumns) {
        const int64_t groups = (std::min(kPanelColumns, w.cols - first) + 31) / kLinearGroup;
        for (int64_t s = 0; s < kTask / kStrip; ++s) {
            const Strip& strip = strips.at[s];
            if (strip.arranged) {
                byte_panel<true>(w, strip, first, groups, s, panel);
            } else {
                byte_panel<false>(w, strip, first, groups, s, panel);
            }
        }
        const RowTiles& tiles = task.tiles;
        for (int64_t r = 0; r < tiles.rows; r += tiles.tile_rows) {
            const int64_t left = std::min(tiles.tile_rows, tiles.rows - r);
            const int64_t at = tiles.place(r) + first / kLinearGroup * tiles.tile_rows;
            const ByteTile tile = {x.codes + at * kLinearGroup, x.scales + at, x.starts + at,
                                   tiles.tile_rows};
            for (int64_t s = 0; s < kTask / kStrip; s += kPanelStrips) {
                kByteTiles[static_cast<size_t>(left - 1)](tile, panel, s, groups,
                                                          c + r * kTask + s * kStrip);
            }
        }
    }
    put_rows(task, output, c);
}

void multiply_int8(const LinearTask& task, const Int8Rows& x, int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) multiply_int8_task(task, x, t * kTask);
}

// As kByteOrders, for quads: FP4 brings the even columns of eight, then the odd ones; low-bit formats every fourth of 16;
// FP8 all as they are.
constexpr std::array<uint8_t, 64> byte_order_of(WeightFormat format) {
    std::array<uint8_t, 64> out{};
    for (size_t i = 0; i < 64; ++i) {
        size_t place = i;
        if (format == WeightFormat::kFp4) place = i / 8 * 8 + i % 2 * 4 + i % 8 / 2;
        if (format == WeightFormat::kQ2s) place = i / 16 * 16 + i % 4 * 4 + i % 16 / 4;
        out[place] = i % 16;
    }
    return out;
}
constexpr std::array<uint8_t, 64> kQuadOrders[3] = {byte_order_of(WeightFormat::kFp8),
                                                    byte_order_of(WeightFormat::kFp4),
                                                    byte_order_of(WeightFormat::kQ2s)};
constexpr size_t quad_order(WeightFormat format) {
    switch (format) {
        case WeightFormat::kFp4: return 1;
        case WeightFormat::kQ3s:
        case WeightFormat::kQ2s:
        case WeightFormat::kQ2v: return 2;
        default: return 0;
    }
}

void order_int8(const Bf16* x, int64_t cols, WeightFormat format, int8_t* codes, float* scales,
                int32_t* starts, int64_t step) {
    const bool fp4 = format == WeightFormat::kFp4;
    const I order = load_bytes(kQuadOrders[quad_order(format)].data());
    for (int64_t i = 0; i < cols; i += kLinearGroup) {
        const F low = load_bf16(x + i);
        const F high = load_bf16(x + i + 16);
        const float most = largest(max(magnitude_of(low), magnitude_of(high)));
        const F up = all(most > 0 ? 127.0F / most : 0.0F);
        const I parts[2] = {to_ints(low * up), to_ints(high * up)};
        for (int half = 0; half < 2; ++half) {
            alignas(64) uint8_t bytes[64];
            store_u8(bytes, parts[half]);
            store_int(reinterpret_cast<std::byte*>(bytes), lookup_bytes(bytes, order));
            std::memcpy(codes + i * step + 16 * half, bytes, 16);
        }
        const int64_t group = i / kLinearGroup * step;
        const bool nan = mask_bits(is_nan(low)) != 0 || mask_bits(is_nan(high)) != 0;
        scales[group] = nan ? std::numeric_limits<float>::quiet_NaN() : most / 127.0F;
        // At most 32 · 127: exact.
        const auto total = static_cast<int32_t>(sum(to_floats(parts[0] + parts[1])));
        starts[group] = (fp4 ? -kBiasFp4 : -kBiasFp8) * total;
    }
}

constexpr LinearKernels kLinearKernels = {.multiply = multiply,
                                          .tile_rows = kPanelRows,
                                          .order_bf16 = order_bf16,
                                          .order_fp8 = order_fp8,
                                          .arrange_strip = arrange_strip,
                                          .arrange_scales = arrange_scales,
                                          .multiply_int8 = multiply_int8,
                                          .order_int8 = order_int8};
