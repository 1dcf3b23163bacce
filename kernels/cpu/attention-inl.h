#pragma once
// Formulas, layouts and order of sums: kernels/cpu/attention_kernels.h.

// sums[r][16v + l] += Σ_p dot(pair p of row r, pair l of vector v of step p): one tile of a product.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void add_tile(const Bf16* rows, int64_t row_stride, int64_t row_step,
                                            const Bf16* columns, int64_t column_step, int64_t depth,
                                            float* sums, int64_t sums_stride) {
    F tile[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
        for (int v = 0; v < kVectors; ++v) tile[r][v] = zero();
    }
    for (int64_t p = 0; p < depth; ++p) {
        Pairs column[kVectors];
        for (int v = 0; v < kVectors; ++v) column[v] = load_pairs(columns + 32 * v);
        for (int r = 0; r < kRows; ++r) {
            const Pairs pair = all_pairs(rows + r * row_stride);
            for (int v = 0; v < kVectors; ++v) tile[r][v] = dot(pair, column[v], tile[r][v]);
        }
        rows += row_step;
        columns += column_step;
    }
    for (int r = 0; r < kRows; ++r) {
        float* to = sums + r * sums_stride;
        for (int v = 0; v < kVectors; ++v) store(to + 16 * v, load(to + 16 * v) + tile[r][v]);
    }
}

// 64 channels of a key, exactly as bf16. Group 7 is the rotated part.
[[gnu::always_inline]] inline void decode_group(const KvRow& row, int group, Bf16* out) {
    if (group == kLatentDim / kKvGroup) {
        std::memcpy(out, row.rope.data(), sizeof row.rope);
        return;
    }
    const uint8_t* codes = row.codes.data() + group * kKvGroup;
    const uint8_t scale = row.scales.data()[group];
    if (store_e4m3(out, codes, scale)) return;
    const F factor = all(e8m0_value(scale));
    const F nan = all(std::numeric_limits<float>::quiet_NaN());
    for (int i = 0; i < kKvGroup; i += 16) {
        const I code = load_u8(codes + i);
        const M no_number = (code & all_int(0x7F)) == all_int(0x7F);
        store_bf16(out + i, select(no_number, nan, e4m3_floats(code) * factor));
    }
}

void turn_queries(const Bf16* q, int64_t heads, int64_t lanes, Bf16* queries) {
    for (int64_t first = 0; first < lanes; first += 16) {
        for (int64_t c = 0; c < kHeadDim; c += 2) {
            Bf16* to = queries + c * lanes + 2 * first;
            for (int64_t h = first; h < first + 16; ++h, to += 2) {
                if (h < heads) {
                    std::memcpy(to, q + h * kHeadDim + c, 2 * sizeof(Bf16));
                } else {
                    to[0] = to[1] = Bf16{};
                }
            }
        }
    }
}

template <int kVectors>
[[gnu::always_inline]] inline void score_tiles(const Bf16* keys, int64_t count, const Bf16* queries,
                                               int64_t lanes, float* scores) {
    for (int64_t k = 0; k < count; k += kTileRows) {
        add_tile<kTileRows, kVectors>(keys + k * 128, 128, 2, queries, 2 * lanes, 64,
                                      scores + k * lanes, lanes);
    }
}

void scores(const KvRow* const* keys, int64_t count, const Bf16* queries, int64_t lanes,
            float* scores, float* most) {
    alignas(64) Bf16 decoded[kKeyChunk * 128];
    // Picked rows lie anywhere: ask for all of them at once, not one group after another.
    for (int64_t k = 0; k < count; ++k) {
        const auto* row = reinterpret_cast<const char*>(keys[k]);
        for (size_t at = 0; at < sizeof(KvRow); at += 64) __builtin_prefetch(row + at);
    }
    const int64_t padded = (count + kTileRows - 1) / kTileRows * kTileRows;
    std::fill(scores, scores + padded * lanes, 0.0F);
    std::fill(decoded + count * 128, decoded + padded * 128, Bf16{});
    for (int group = 0; group < kKeyGroups; group += 2) {
        for (int64_t k = 0; k < count; ++k) {
            decode_group(*keys[k], group, decoded + k * 128);
            decode_group(*keys[k], group + 1, decoded + k * 128 + 64);
        }
        const Bf16* from = queries + group * kKvGroup * lanes;
        int64_t l = 0;
        for (; l + 16 * kTileVectors <= lanes; l += 16 * kTileVectors)
            score_tiles<kTileVectors>(decoded, padded, from + 2 * l, lanes, scores + l);
        for (; l < lanes; l += 16) score_tiles<1>(decoded, padded, from + 2 * l, lanes, scores + l);
    }
    for (int64_t l = 0; l < lanes; l += 16) {
        F largest_yet = load(scores + l);
        for (int64_t k = 1; k < count; ++k)
            largest_yet = max(largest_yet, load(scores + k * lanes + l));
        store(most + l, largest_yet);
    }
}

[[gnu::always_inline]] inline F as_bf16(F x) { return floats_of(shift_left<16>(bf16_codes(x))); }

void weights(const float* scores, int64_t count, int64_t lanes, const float* most, Bf16* weights,
             float* totals) {
    const F scale = all(kScoreScale);
    for (int64_t l = 0; l < lanes; l += 16) {
        const F largest_score = load(most + l) * scale;
        F total = zero();
        for (int64_t k = 0; k < count; k += 2) {
            const float* from = scores + k * lanes + l;
            const F first = exp(load(from) * scale - largest_score);
            F second = zero();
            total = total + first;
            if (k + 1 < count) {
                second = exp(load(from + lanes) * scale - largest_score);
                total = total + second;
            }
            store_pairs(weights + k * lanes + 2 * l, as_bf16(first), as_bf16(second));
        }
        store(totals + l, total);
    }
}

// pairs[p][i] = (key 2p, key 2p + 1) of channel i of a group.
[[gnu::always_inline]] inline void decode_pairs(const KvRow* const* keys, int64_t count, int group,
                                                Bf16* pairs) {
    alignas(64) Bf16 first[kKvGroup];
    alignas(64) Bf16 second[kKvGroup] = {};
    for (int64_t k = 0; k < count; k += 2, pairs += 2 * kKvGroup) {
        decode_group(*keys[k], group, first);
        if (k + 1 < count) {
            decode_group(*keys[k + 1], group, second);
        } else {
            std::fill(second, second + kKvGroup, Bf16{});
        }
        for (int i = 0; i < kKvGroup; i += 16)
            store_pairs(pairs + 2 * i, load_bf16(first + i), load_bf16(second + i));
    }
}

void values(const KvRow* const* keys, int64_t count, int group, const Bf16* weights, int64_t lanes,
            int64_t heads, const float* totals, Bf16* out) {
    alignas(64) Bf16 pairs[kValueKeys * kKvGroup];
    alignas(64) float sums[kValueHeads * kKvGroup];
    std::fill(sums, sums + (heads + kTileRows - 1) / kTileRows * kTileRows * kKvGroup, 0.0F);
    for (int64_t first = 0; first < count; first += kValueKeys) {
        const int64_t here = std::min(kValueKeys, count - first);
        decode_pairs(keys + first, here, group, pairs);
        const Bf16* weight = weights + first * lanes;
        for (int64_t h = 0; h < heads; h += kTileRows) {
            for (int v = 0; v < kKvGroup / 16; v += kTileVectors) {
                add_tile<kTileRows, kTileVectors>(weight + 2 * h, 2, 2 * lanes, pairs + 32 * v,
                                                  2 * kKvGroup, (here + 1) / 2,
                                                  sums + h * kKvGroup + 16 * v, kKvGroup);
            }
        }
    }
    for (int64_t h = 0; h < heads; ++h) {
        const F total = all(totals[h]);
        for (int i = 0; i < kKvGroup; i += 16)
            store_bf16(out + h * kHeadDim + i, load(sums + h * kKvGroup + i) / total);
    }
}

constexpr AttentionKernels kAttentionKernels = {
    .turn_queries = turn_queries, .scores = scores, .weights = weights, .values = values};
