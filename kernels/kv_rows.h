#pragma once
// KV entries as they are kept and read: the lossless compact form (spec §6). The values of the model lie on these grids,
// so a row holds exactly what the official code keeps in bf16, in 584 and 68 bytes instead of 1024 and 256.

#include <array>
#include <cstdint>

#include "core/base/types.h"

namespace millrace {

inline constexpr int kHeadDim = 512;
inline constexpr int kRopeDim = 64;                     // the last dims of a head
inline constexpr int kLatentDim = kHeadDim - kRopeDim;  // 448, on the FP8 grid
inline constexpr int kKvGroup = 64;                     // channels that share a scale
inline constexpr int kIndexDim = 128;
inline constexpr int kIndexGroup = 32;

// One key = value vector of 512: channels 0…447 e4m3 with one E8M0 scale per 64, channels 448…511 rotated, bf16.
struct KvRow {
    std::array<uint8_t, kLatentDim> codes{};
    std::array<uint8_t, kLatentDim / kKvGroup> scales{};
    uint8_t unused = 0;
    std::array<Bf16, kRopeDim> rope{};
};
static_assert(sizeof(KvRow) == 584);

// One indexer key or query of 128: e2m1, low nibble = even channel, one E8M0 scale per 32.
struct IndexRow {
    std::array<uint8_t, kIndexDim / 2> codes;
    std::array<uint8_t, kIndexDim / kIndexGroup> scales;
};
static_assert(sizeof(IndexRow) == 68);

}  // namespace millrace
