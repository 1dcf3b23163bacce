#pragma once
// The small number formats of the model: e4m3 (FP8), e2m1 (FP4), E8M0 scales (spec §2.1–2.4). Pure functions.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace millrace {

// 2^(byte − 127). Byte 0 is 2⁻¹²⁷, a subnormal of fp32; 255 is NaN.
[[nodiscard]] constexpr float e8m0_value(uint8_t byte) {
    if (byte == 0) return std::bit_cast<float>(0x00400000u);
    if (byte == 255) return std::bit_cast<float>(0x7FC00000u);
    return std::bit_cast<float>(static_cast<uint32_t>(byte) << 23);
}

// e4m3fn: sign 1, exponent 4 (bias 7), mantissa 3; no infinities, 0x7F and 0xFF are NaN, largest 448.
[[nodiscard]] constexpr float e4m3_value(uint8_t code) {
    const uint32_t exponent = (code >> 3) & 15u;
    const uint32_t mantissa = code & 7u;
    float size = 0;
    if (exponent == 0) {
        size = static_cast<float>(mantissa) * 0x1p-9F;
    } else if (exponent == 15 && mantissa == 7) {
        return std::bit_cast<float>(0x7FC00000u);
    } else {
        size = std::bit_cast<float>(((exponent + 120u) << 23) | (mantissa << 20));
    }
    return (code & 0x80u) != 0 ? -size : size;
}

// Rounds to nearest, ties to even; beyond ±448 saturates. The sign of zero is kept; NaN becomes 0x7F.
[[nodiscard]] constexpr uint8_t e4m3_code(float x) {
    const auto bits = std::bit_cast<uint32_t>(x);
    const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
    const float size = std::bit_cast<float>(bits & 0x7FFFFFFFu);
    if (size != size) return 0x7F;
    if (size >= 464.0F) return sign | 0x7E;  // 448 and the half step above it
    if (size < 0x1p-6F) {
        // Subnormals are multiples of 2⁻⁹: adding 1.5·2²³ makes fp32 round to an integer, ties to even.
        const float steps = (size * 0x1p9F + 12582912.0F) - 12582912.0F;
        return sign | static_cast<uint8_t>(steps);
    }
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    const uint32_t rounded = magnitude + 0x7FFFFu + ((magnitude >> 20) & 1u);
    const uint32_t code = (rounded >> 20) - (120u << 3);
    return sign | static_cast<uint8_t>(std::min(code, 0x7Eu));
}

// e2m1: 0, ½, 1, 1½, 2, 3, 4, 6; bit 3 is the sign.
inline constexpr std::array<float, 16> kE2m1Values = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,
                                                      4.0F,  6.0F,  -0.0F, -0.5F, -1.0F, -1.5F,
                                                      -2.0F, -3.0F, -4.0F, -6.0F};

// Rounds to nearest on the code grid, ties to the even code; saturates at ±6. NaN becomes 0.
[[nodiscard]] constexpr uint8_t e2m1_code(float x) {
    const uint8_t sign = (std::bit_cast<uint32_t>(x) >> 28) & 8u;
    const float size = x < 0 ? -x : x;
    // The middle between two codes goes to the even one.
    if (size <= 0.25F) return sign;
    if (size < 0.75F) return sign | 1;
    if (size <= 1.25F) return sign | 2;
    if (size < 1.75F) return sign | 3;
    if (size <= 2.5F) return sign | 4;
    if (size < 3.5F) return sign | 5;
    if (size <= 5.0F) return sign | 6;
    return size == size ? sign | 7 : uint8_t{0};
}

// The exponent e of the smallest power of two 2^e ≥ r, read from the bits of a positive normal r (spec §2.2).
[[nodiscard]] constexpr int ceil_log2(float r) {
    const auto bits = std::bit_cast<uint32_t>(r);
    const int exponent = static_cast<int>((bits >> 23) & 255u) - 127;
    return exponent + ((bits & 0x7FFFFFu) != 0 ? 1 : 0);
}

// Scales of a group whose largest magnitude is `amax`, as E8M0 bytes.
[[nodiscard]] constexpr uint8_t fp8_scale(float amax) {
    const float r = std::max(amax, 1e-4F) * (1.0F / 448.0F);
    return static_cast<uint8_t>(std::min(ceil_log2(r) + 127, 254));
}
[[nodiscard]] constexpr uint8_t fp4_scale(float amax) {
    const float r = std::max(amax, 6.0F * 0x1p-126F) * (1.0F / 6.0F);
    return static_cast<uint8_t>(std::clamp(ceil_log2(r) + 127, 0, 254));
}

}  // namespace millrace
