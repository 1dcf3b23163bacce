#pragma once

// e2m1 codes as twice their value plus 12 (entries, unsigned) and twice their value (queries, signed).
constexpr uint8_t kEntryBytes[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
constexpr uint8_t kQueryBytes[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, 255, 254, 253, 252, 250, 248, 244};

constexpr int kIndexQuads = kIndexDim / 8;
constexpr int kIndexGroups = kIndexDim / kIndexGroup;
constexpr int kGroupQuads = kIndexQuads / kIndexGroups;

// Scales are kept 2¹² too small for entries, since a group's sum (below 2¹³) is multiplied by them first, and 2¹⁰ too
// large for queries (the doubled values are the rest), up to 2¹²⁷: no intermediate result leaves fp32's range where the
// dot product does not, unless a query has values above 2¹¹⁷.
constexpr float kEntryFactor = 0x1p-12F;
constexpr int32_t kQueryShift = 10;

// To bf16 and back: nearest, ties to even. NaN needs no care: one made by arithmetic or read from a bf16 has zeros below.
[[gnu::always_inline]] inline F through_bf16(F x) {
    const I raw = bits_of(x);
    const I odd = shift_right<16>(raw) & all_int(1);
    return floats_of((raw + (odd + all_int(0x7FFF))) & all_int(-65536));
}

void prepare_index_heads(const IndexRow* q, const Bf16* weights, int64_t heads, IndexHead* out) {
    const I nibbles = all_int(0x0F0F0F0F);
    const I twelves = all_int(0x0C0C0C0C);
    for (int64_t h = 0; h < heads; ++h) {
        const I codes = load_bytes(q[h].codes.data());
        const I low = lookup_bytes(kQueryBytes, codes & nibbles);
        const I high = lookup_bytes(kQueryBytes, shift_right<4>(codes) & nibbles);
        store_int(out[h].low, low);
        store_int(out[h].high, high);
        int32_t sums[kIndexQuads];
        store_int(sums,
                  total(dot_bytes(twelves, high, dot_bytes(twelves, low, byte_sums(all_int(0))))));
        for (int g = 0; g < kIndexGroups; ++g) {
            out[h].start[g] = 0;
            for (int i = 0; i < kGroupQuads; ++i) out[h].start[g] -= sums[g * kGroupQuads + i];
            const int32_t byte = q[h].scales[static_cast<size_t>(g)];
            out[h].scale[g] = std::bit_cast<float>(std::min(byte + kQueryShift, 254) << 23);
        }
        out[h].weight = to_float(weights[h]);
    }
}

// 16 entries, one a lane, their channels in the order of IndexHead.
struct alignas(64) IndexLanes {
    int32_t low[kIndexQuads][16];
    int32_t high[kIndexQuads][16];
    float scale[kIndexGroups][16];
};

void spread_index_entries(const IndexRow* entries, IndexLanes& out) {
    const I nibbles = all_int(0x0F0F0F0F);
    int32_t scales[16];
    I rows[16];
    for (int l = 0; l < 16; ++l) {
        std::memcpy(&scales[l], entries[l].scales.data(), sizeof scales[l]);
        rows[l] = load_bytes(entries[l].codes.data());
    }
    transpose(rows);
    for (int i = 0; i < kIndexQuads; ++i) {
        store_int(out.low[i], lookup_bytes(kEntryBytes, rows[i] & nibbles));
        store_int(out.high[i], lookup_bytes(kEntryBytes, shift_right<4>(rows[i]) & nibbles));
    }
    I bytes = load_int(scales);
    for (int g = 0; g < kIndexGroups; ++g) {
        store(out.scale[g], e8m0_floats(bytes & all_int(255)) * all(kEntryFactor));
        bytes = shift_right<8>(bytes);
    }
}

// Adds the terms of kHeads heads to the scores of two blocks of 16 entries. Several heads and two blocks at once: a
// byte loaded for one product is used for two or more, and sums need not wait for each other.
template <int kHeads>
[[gnu::always_inline]] inline void score_heads(const IndexHead* heads, const IndexLanes* entries,
                                               F (&scores)[2]) {
    F dots[kHeads][2];
    for (int h = 0; h < kHeads; ++h) dots[h][0] = dots[h][1] = zero();
    for (int g = 0; g < kIndexGroups; ++g) {
        // 16 bits hold them: 12 · 32 · 12 at most where they start, and 2 · 24 · 12 more in each of eight steps.
        ByteSums sums[kHeads][2];
        for (int h = 0; h < kHeads; ++h) {
            sums[h][0] = sums[h][1] = byte_sums(all_int(heads[h].start[g]));
        }
#pragma GCC unroll 4
        for (int i = g * kGroupQuads; i < (g + 1) * kGroupQuads; ++i) {
            const I low0 = load_int(entries[0].low[i]), low1 = load_int(entries[1].low[i]);
            for (int h = 0; h < kHeads; ++h) {
                const I low = all_int(heads[h].low[i]);
                sums[h][0] = dot_bytes(low0, low, sums[h][0]);
                sums[h][1] = dot_bytes(low1, low, sums[h][1]);
            }
            const I high0 = load_int(entries[0].high[i]), high1 = load_int(entries[1].high[i]);
            for (int h = 0; h < kHeads; ++h) {
                const I high = all_int(heads[h].high[i]);
                sums[h][0] = dot_bytes(high0, high, sums[h][0]);
                sums[h][1] = dot_bytes(high1, high, sums[h][1]);
            }
        }
        for (int b = 0; b < 2; ++b) {
            const F scale = load(entries[b].scale[g]);
            for (int h = 0; h < kHeads; ++h) {
                const F sum = to_floats(total(sums[h][b]));
                dots[h][b] = fma(sum * scale, all(heads[h].scale[g]), dots[h][b]);
            }
        }
    }
    for (int h = 0; h < kHeads; ++h) {
        const F weight = all(heads[h].weight);
        for (int b = 0; b < 2; ++b) {
            const F dot = through_bf16(dots[h][b]);
            scores[b] = scores[b] + through_bf16(max(zero(), dot) * weight);
        }
    }
}

void score_index_entries(const IndexScoring& work) {
    const int64_t most = *std::max_element(work.counts, work.counts + work.rows);
    IndexLanes lanes[2];
    for (int64_t first = 0; first < most; first += kIndexBlock) {
        const IndexRow* block = work.entries + first;
        IndexRow padded[kIndexBlock];
        if (most - first < kIndexBlock) {
            std::memset(padded, 0, sizeof padded);
            std::memcpy(padded, block, static_cast<size_t>(most - first) * sizeof(IndexRow));
            block = padded;
        }
        spread_index_entries(block, lanes[0]);
        spread_index_entries(block + 16, lanes[1]);
        for (int64_t r = 0; r < work.rows; ++r) {
            if (first >= work.counts[r]) continue;
            const IndexHead* heads = work.queries + r * work.heads;
            F scores[2] = {zero(), zero()};  // from +0 no sum ever becomes −0
            int64_t h = 0;
            for (; h + 4 <= work.heads; h += 4) score_heads<4>(heads + h, lanes, scores);
            for (; h < work.heads; ++h) score_heads<1>(heads + h, lanes, scores);
            for (int b = 0; b < 2; ++b) {
                const F lowest = all(-std::numeric_limits<float>::infinity());
                store_bf16(work.scores + r * work.stride + first + 16 * b, max(scores[b], lowest));
            }
        }
    }
}

// Scores as integers of the same order, in the upper half.
[[gnu::always_inline]] inline I score_keys(const Bf16* scores) {
    const I raw = bits_of(load_bf16(scores));
    return raw ^ (shift_right_signed<31>(raw) & all_int(0x7FFF0000));
}

// The largest key (16 bits, signed) that at least `kept` entries reach. Two bits of it a round: eight rounds over the
// scores cost the same whatever they are, where the counters of a histogram wait for each other when scores are alike.
int32_t index_threshold(const Bf16* scores, int64_t count, int64_t kept) {
    int32_t threshold = -32768;
    for (int32_t step = 1 << 14; step > 0; step /= 4) {
        // Larger than one below a key: reaches it.
        const I below1 = all_int((threshold + step) * 65536 - 1);
        const I below2 = all_int((threshold + 2 * step) * 65536 - 1);
        const I below3 = all_int((threshold + 3 * step) * 65536 - 1);
        const I one = all_int(1), none = all_int(0);
        I reached[3] = {none, none, none};
        for (int64_t s = 0; s < count; s += 16) {
            const I keys = score_keys(scores + s);
            reached[0] = reached[0] + select(below1 < keys, one, none);
            reached[1] = reached[1] + select(below2 < keys, one, none);
            reached[2] = reached[2] + select(below3 < keys, one, none);
        }
        int32_t taken = 0;
        for (const I& lanes_of : reached) {
            int32_t lane[16];
            store_int(lane, lanes_of);
            int64_t total = 0;
            for (const int32_t c : lane) total += c;
            taken += total >= kept ? 1 : 0;
        }
        threshold += taken * step;
    }
    return threshold;
}

// Sorts picks by score, best first; equal ones keep their order. One byte at a time, the lower first.
void sort_picks(const Bf16* scores, int64_t count, int32_t* scratch, int32_t* picks) {
    const auto rank = [scores](int32_t entry) {
        const uint16_t bits = scores[entry].bits;
        return static_cast<uint32_t>((bits & 0x8000) != 0 ? bits : bits ^ 0x7FFF);
    };
    int32_t *from = picks, *to = scratch;
    for (int shift = 0; shift < 16; shift += 8) {
        int32_t start[257] = {};
        for (int64_t i = 0; i < count; ++i) ++start[(rank(from[i]) >> shift & 255) + 1];
        for (int digit = 0; digit < 256; ++digit) start[digit + 1] += start[digit];
        for (int64_t i = 0; i < count; ++i) to[start[rank(from[i]) >> shift & 255]++] = from[i];
        std::swap(from, to);
    }
}

void select_index_entries(Bf16* scores, int64_t count, int64_t kept, int32_t* scratch,
                          int32_t* picks) {
    if (kept <= 0) return;
    // The last vector is filled up with the lowest score: of equals these come last, so none is taken.
    for (int64_t s = count; s % 16 != 0; ++s) scores[s] = Bf16{0xFF80};
    const int32_t threshold = index_threshold(scores, count, kept);
    const I last = all_int(threshold * 65536);
    int64_t above = 0, equal = 0;
    for (int64_t s = 0; s < count; s += 16) {
        const I keys = score_keys(scores + s);
        for (uint32_t bits = mask_bits(last < keys); bits != 0; bits &= bits - 1) {
            picks[above++] = static_cast<int32_t>(s + std::countr_zero(bits));
        }
        if (equal == kept) continue;
        for (uint32_t bits = mask_bits(last == keys); bits != 0 && equal < kept; bits &= bits - 1) {
            scratch[equal++] = static_cast<int32_t>(s + std::countr_zero(bits));
        }
    }
    std::memcpy(picks + above, scratch, static_cast<size_t>(kept - above) * sizeof(int32_t));
    sort_picks(scores, above, scratch, picks);
}

constexpr IndexerKernels kIndexerKernels = {
    .prepare = prepare_index_heads, .score = score_index_entries, .select = select_index_entries};
