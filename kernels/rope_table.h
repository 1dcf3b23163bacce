#pragma once
// Frequencies of rotary embedding (spec §4.4, §10): 32 pairs inside the last 64 dims of a head.

#include <array>
#include <cstdint>

namespace millrace {

inline constexpr int kRopePairs = 32;

struct RopeTable {
    std::array<float, kRopePairs> frequencies;

    // g_i = f(1/f(θ^(2i/64))): ratio-0 layers and drafts.
    [[nodiscard]] static RopeTable plain(double theta);
    // YaRN, always on: ratio-4 and ratio-128 layers. Rounded to fp32 at every step, as the official table is.
    [[nodiscard]] static RopeTable yarn(double theta, double factor, double beta_fast,
                                        double beta_slow, int64_t original_positions);
};

}  // namespace millrace
