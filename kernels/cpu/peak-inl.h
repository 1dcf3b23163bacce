#pragma once

// Accumulators that leave room for the operands; 16 hide the longest latency there is (bf16 dot products, 6 cycles, two
// a cycle).
constexpr int kPeakChains = kRegisters >= 32 ? 16 : kRegisters - 2;
constexpr int kPeakUnroll = 4;

inline float add_chains(const F* chains) {
    F total = chains[0];
    for (int c = 1; c < kPeakChains; ++c) total = total + chains[c];
    return sum(total);
}

float peak_floats(int64_t rounds) {
    const F x = all(0.5F);
    F chains[kPeakChains];
    for (int c = 0; c < kPeakChains; ++c) chains[c] = all(static_cast<float>(c));
    for (int64_t r = 0; r < rounds; ++r) {
        for (int u = 0; u < kPeakUnroll; ++u) {
            for (int c = 0; c < kPeakChains; ++c) chains[c] = fma(x, x, chains[c]);
        }
    }
    return add_chains(chains);
}

float peak_bf16(int64_t rounds) {
    Bf16 halves[32];
    for (Bf16& half : halves) half = to_bf16(0.5F);
    const Pairs x = load_pairs(halves);
    F chains[kPeakChains];
    for (int c = 0; c < kPeakChains; ++c) chains[c] = all(static_cast<float>(c));
    for (int64_t r = 0; r < rounds; ++r) {
        for (int u = 0; u < kPeakUnroll; ++u) {
            for (int c = 0; c < kPeakChains; ++c) chains[c] = dot(x, x, chains[c]);
        }
    }
    return add_chains(chains);
}

float peak_int8(int64_t rounds) {
    // Where a dot product of bytes takes several instructions, some would be done once for all if the operands never
    // changed: they come from memory, from another place each time.
    int32_t table[(4 + kPeakUnroll * kPeakChains) * 16];
    for (int32_t& word : table) word = 0x01FF0102;
    const I x = all_int(0x01020301);
    I chains[kPeakChains];
    for (int c = 0; c < kPeakChains; ++c) chains[c] = all_int(c);
    for (int64_t r = 0; r < rounds; ++r) {
        const int32_t* at = table + 16 * (r & 3);
        for (int u = 0; u < kPeakUnroll; ++u) {
            for (int c = 0; c < kPeakChains; ++c) {
                chains[c] = dot_bytes(x, load_int(at + 16 * (u * kPeakChains + c)), chains[c]);
            }
        }
    }
    I total = chains[0];
    for (int c = 1; c < kPeakChains; ++c) total = total + chains[c];
    return sum(to_floats(total));
}

uint32_t read_words(const int32_t* words, int64_t count) {
    constexpr int kStreams = 8;
    I sums[kStreams];
    for (I& one : sums) one = all_int(0);
    for (int64_t i = 0; i < count; i += int64_t{16} * kStreams) {
        for (int s = 0; s < kStreams; ++s) {
            // As the kernels do: without it the memory gives a few per cent less.
            __builtin_prefetch(words + i + 16 * s + 2048, 0, 3);
            sums[s] = sums[s] + load_int(words + i + 16 * s);
        }
    }
    I total = sums[0];
    for (int s = 1; s < kStreams; ++s) total = total + sums[s];
    int32_t lanes[16];
    store_int(lanes, total);
    uint32_t out = 0;
    for (const int32_t lane : lanes) out += static_cast<uint32_t>(lane);
    return out;
}

constexpr PeakKernels kPeakKernels = {
    .floats = {.run = peak_floats, .macs_a_round = kPeakUnroll * kPeakChains * 16},
    .bf16 = {.run = peak_bf16, .macs_a_round = kPeakUnroll * kPeakChains * 32},
    .int8 = {.run = peak_int8, .macs_a_round = kPeakUnroll * kPeakChains * 64},
    .read = read_words,
};
