#pragma once
// Compressed entries of a chunk (spec §4.5): raw rows of the new tokens, then every entry that is now complete.

#include "core/engine/chunk.h"
#include "core/engine/kv_cache.h"
#include "core/engine/scratch.h"
#include "core/model/weights.h"

namespace millrace {

struct CompressorScratch {
    MatrixView<float> rows;                // [n, 2·coff·c], the widest
    MatrixView<Bf16> entries;              // [entries of a chunk, c]
    std::span<const float*> contributors;  // coff·ratio of them an entry
    std::span<PoolSource> sources;
    std::span<int32_t> positions;  // of the entries' first tokens

    [[nodiscard]] static CompressorScratch take(Arena& ops, int64_t chunk_max);
};

// Appends the chunk's raw rows to `state` and calls for the entries that became complete, normed and rotated, bf16
// [m, c]: entry ⌊chunk.first / ratio⌋ of the sequence and those after it. The view lies in scratch.
[[nodiscard]] MatrixView<Bf16> compress(const StepContext& context, const Chunk& chunk,
                                        MatrixView<const Bf16> x, const CompressorWeights& weights,
                                        CompressorState& state, const CompressorScratch& scratch);

// Entries complete after `tokens` tokens; entry i is visible from its own last token on.
[[nodiscard]] inline int64_t entries_after(int64_t tokens, int ratio) { return tokens / ratio; }

}  // namespace millrace
