#pragma once
// Attention of one query row over packed keys, K = V (spec §4.7): a = (q·k)·512^−½, M = max a over all keys,
// P = exp(a − M), out = b( Σ b(P)·V / (Σ P + exp(sink − M)) ).
//
// Two small matrix products, with heads in the lanes of the first and channels in those of the second:
//
//   scores [keys][heads]     = keys [keys][512]      · queries [512][heads]     a chunk of keys at a time
//   sums   [heads][channels] = weights [heads][keys] · keys [keys][channels]    a scale group of channels at a time
//
// Both multiply pairs of bf16: channels 2c and 2c + 1 in the first, keys 2p and 2p + 1 in the second. Rows are read packed;
// what a product needs is decoded to bf16, exactly, into a few KiB on the stack. A chunk of the first and a group of the
// second decode every code once, so threads can share one query without doing anything twice.
//
// A key costs 2 × 1024 dot products of 16 pairs for 64 heads, and 584 bytes: arithmetic is the limit, not memory. Both
// products keep kTileRows × kTileVectors sums in registers and their operands in the first-level cache. Measured with 64
// heads and 640 keys on one core of Zen 5, GMAC/s: AVX-512 BF16 207 (75 % of the peak of its dot product; scores 233, values
// 217, exponentials and rounding 7 % of the time), AVX-512 106, AVX2 44, scalar 10.
//
// The order of every sum depends on the query's own list of keys alone. Scores: channels in order within each 128, then
// those four sums. Σ P: keys in order within a chunk, then the chunks. Σ P·V: keys in order within kValueKeys, then those.

#include <cstdint>

#include "core/base/types.h"
#include "kernels/kv_rows.h"
#include "quant/float_codes.h"

namespace millrace {

inline constexpr int64_t kKeyChunk = 32;    // keys that are scored together
inline constexpr int64_t kValueKeys = 64;   // keys that are added together
inline constexpr int64_t kValueHeads = 64;  // the most heads of one call of `values`
inline constexpr float kScoreScale = 0.04419417382415922F;  // 512^−½
inline constexpr int kKeyGroups = kHeadDim / kKvGroup;

// `lanes` is the number of heads rounded up to 16.
struct AttentionKernels {
    // queries[c][l] = (q[l][2c], q[l][2c + 1]), zeros for lanes that are no head.
    void (*turn_queries)(const Bf16* q, int64_t heads, int64_t lanes, Bf16* queries);
    // scores[k][l] = q[l]·key[k], not scaled, for at most kKeyChunk keys; most[l]: the largest of them. `scores` has room
    // for kKeyChunk rows: whole tiles are written.
    void (*scores)(const KvRow* const* keys, int64_t count, const Bf16* queries, int64_t lanes,
                   float* scores, float* most);
    // weights[p][l] = (b(P[2p][l]), b(P[2p + 1][l])), 0 for a last key without partner; totals[l] = Σ P. most[l]: the
    // largest score of all keys.
    void (*weights)(const float* scores, int64_t count, int64_t lanes, const float* most,
                    Bf16* weights, float* totals);
    // out[h][i] = b( Σ_k b(P[k][h])·key[k][i] / totals[h] ) for the 64 channels of one scale group and at most kValueHeads
    // heads. `out` points to the group's first channel of the first head; weights and totals to the first head.
    void (*values)(const KvRow* const* keys, int64_t count, int group, const Bf16* weights,
                   int64_t lanes, int64_t heads, const float* totals, Bf16* out);
};

}  // namespace millrace
