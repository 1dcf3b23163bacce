#pragma once
// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, the same on every machine. Not for secrets.

#include <cstdint>

namespace millrace {

inline constexpr uint64_t kGoldenGamma = 0x9E3779B97F4A7C15u;

// The finaliser: a bijection on 64 bits that looks random.
[[nodiscard]] constexpr uint64_t mix64(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

class Random {
public:
    explicit constexpr Random(uint64_t seed) : state_(seed) {}
    constexpr uint64_t next() {
        state_ += kGoldenGamma;
        return mix64(state_);
    }
    // 0 ≤ result < bound; bound > 0. The bias is below bound·2⁻⁶⁴.
    constexpr uint64_t below(uint64_t bound) {
        __extension__ using Wide = unsigned __int128;
        return static_cast<uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
    }
    // 0 ≤ result < 1, 53 bits.
    constexpr double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

private:
    uint64_t state_;
};

}  // namespace millrace
