#pragma once
// The lightning indexer (spec §4.6): scores of packed entries, and the best of them.
//
// 64 heads × 128 channels for every entry make this the one part of decoding that is bound by arithmetic, and e2m1 is
// made for it: twice a value is an integer of at most 12, so a group of 32 products is an exact integer sum. Lanes are
// 16 entries; their nibbles are spread to bytes once and serve every head of several queries. Limit: 4 products a lane
// and instruction (VNNI), 2 instructions a cycle.

#include <cstdint>

#include "core/base/types.h"
#include "kernels/kv_rows.h"

namespace millrace {

// One head of one query, ready for the kernel: twice its channels as signed bytes. Quad i of `low` holds channels
// 8i, 8i + 2, 8i + 4, 8i + 6 (the low nibbles of four packed bytes), of `high` the odd ones.
struct IndexHead {
    int32_t low[kIndexDim / 8];
    int32_t high[kIndexDim / 8];
    int32_t
        start[kIndexDim / kIndexGroup];  // −12·Σ of a group: the entries' bytes are 12 too large
    float scale[kIndexDim / kIndexGroup];  // 2^(byte − 127)
    float weight;
};

// Scores of entries [0, counts[r]) for each query r.
struct IndexScoring {
    const IndexHead* queries;  // [rows · heads]
    int64_t rows;
    int64_t heads;
    const IndexRow* entries;
    const int64_t* counts;  // [rows]
    Bf16* scores;  // row r at scores + r·stride; room for a multiple of kIndexBlock entries
    int64_t stride;
};
inline constexpr int64_t kIndexBlock = 32;

struct IndexerKernels {
    void (*prepare)(const IndexRow* q, const Bf16* weights, int64_t heads, IndexHead* out);
    // The order of every sum: groups, then heads, from first to last. A score that is NaN becomes −∞.
    void (*score)(const IndexScoring& work);
    // The `kept` ≤ count best, best first, lower entry first on a tie. `scores` has room for a multiple of 16 and holds
    // no NaN and no −0; `scratch` has room for `kept`.
    void (*select)(Bf16* scores, int64_t count, int64_t kept, int32_t* scratch, int32_t* picks);
};

}  // namespace millrace
