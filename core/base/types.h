#pragma once
// Ids that cannot be mixed up, and the number formats of activations.

#include <bit>
#include <compare>
#include <cstdint>
#include <functional>

namespace millrace {

template <class Tag>
struct Id {
    int32_t value = -1;
    friend constexpr auto operator<=>(Id, Id) = default;
};

using LayerId = Id<struct LayerTag>;    // 0 … layers−1, then the draft blocks
using ExpertId = Id<struct ExpertTag>;  // 0 … routed experts−1, within one layer
using TokenId = Id<struct TokenTag>;    // 0 … vocabulary−1
using SlotId = Id<struct SlotTag>;      // 0 … expert slots−1

// One routed expert of the whole model.
struct ExpertKey {
    LayerId layer;
    ExpertId expert;
    friend constexpr auto operator<=>(ExpertKey, ExpertKey) = default;
};

// bfloat16: the upper half of an fp32. `to_bf16` rounds to nearest, ties to even; NaN stays NaN.
struct Bf16 {
    uint16_t bits = 0;
    friend constexpr bool operator==(Bf16, Bf16) = default;
};
static_assert(sizeof(Bf16) == 2);

[[nodiscard]] constexpr float to_float(Bf16 x) {
    return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}

[[nodiscard]] constexpr Bf16 to_bf16(float x) {
    const auto bits = std::bit_cast<uint32_t>(x);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
    const uint32_t ties_to_even = 0x7FFFu + ((bits >> 16) & 1u);
    return {static_cast<uint16_t>((bits + ties_to_even) >> 16)};
}

}  // namespace millrace

template <class Tag>
struct std::hash<millrace::Id<Tag>> {
    size_t operator()(millrace::Id<Tag> id) const noexcept {
        return std::hash<int32_t>{}(id.value);
    }
};
