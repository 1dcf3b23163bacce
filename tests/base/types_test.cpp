#include "core/base/types.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

namespace millrace {
namespace {

static_assert(!std::is_convertible_v<LayerId, ExpertId>);
static_assert(!std::is_convertible_v<int, TokenId>);
static_assert(to_bf16(1.0F).bits == 0x3F80);

TEST_CASE("every bf16 goes to float and back unchanged, NaN stays NaN") {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const Bf16 x{static_cast<uint16_t>(bits)};
        const Bf16 back = to_bf16(to_float(x));
        if (std::isnan(to_float(x))) {
            REQUIRE(std::isnan(to_float(back)));
            REQUIRE((back.bits >> 15) == (bits >> 15));
        } else {
            REQUIRE(back == x);
        }
    }
}

// The nearer of the two neighbours, computed in double; from the middle the one whose last bit is 0.
Bf16 nearest_by_definition(float x) {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    const Bf16 low{static_cast<uint16_t>(bits >> 16)};
    const Bf16 high{static_cast<uint16_t>((bits >> 16) + 1)};
    const double below = std::fabs(static_cast<double>(x) - static_cast<double>(to_float(low)));
    // Past the largest finite value the next step would have been 2¹²⁸.
    const double next = std::isinf(to_float(high)) ? std::copysign(0x1p128, x)
                                                   : static_cast<double>(to_float(high));
    const double above = std::fabs(next - static_cast<double>(x));
    if (below != above) return below < above ? low : high;
    return (low.bits & 1u) == 0 ? low : high;
}

TEST_CASE("to_bf16 rounds to nearest, ties to even") {
    for (uint32_t upper = 0; upper < 0x10000; ++upper) {
        for (const uint32_t lower : {0x0000u, 0x0001u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
            const auto x = std::bit_cast<float>((upper << 16) | lower);
            if (std::isnan(x)) {
                REQUIRE(std::isnan(to_float(to_bf16(x))));
            } else if (std::isinf(x)) {
                REQUIRE(to_float(to_bf16(x)) == x);
            } else {
                REQUIRE(to_bf16(x) == nearest_by_definition(x));
            }
        }
    }
    CHECK(std::isinf(to_float(to_bf16(std::numeric_limits<float>::max()))));
    CHECK(to_bf16(-0.0F).bits == 0x8000);
}

TEST_CASE("ids compare by value and hash") {
    CHECK(LayerId{3} == LayerId{3});
    CHECK(LayerId{2} < LayerId{3});
    CHECK(ExpertKey{{1}, {9}} < ExpertKey{{2}, {0}});
    CHECK(TokenId{}.value == -1);
    CHECK(std::hash<TokenId>{}(TokenId{7}) == std::hash<TokenId>{}(TokenId{7}));
}

}  // namespace
}  // namespace millrace
