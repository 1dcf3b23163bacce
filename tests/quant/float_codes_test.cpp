// Every code of every small format, and every bf16 number rounded to it, against a search that knows only the value of
// each code: the nearest one, at a tie the even one.

#include "quant/float_codes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/types.h"

namespace millrace {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The magnitude of an e4m3 code below 0x7F, from the definition of the format.
double e4m3_magnitude(int code) {
    const int exponent = code >> 3;
    const int mantissa = code & 7;
    return exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 7 - 3);
}

constexpr double kE2m1Magnitudes[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

std::vector<double> e4m3_magnitudes() {
    std::vector<double> out;
    for (int code = 0; code < 0x7F; ++code) out.push_back(e4m3_magnitude(code));
    return out;
}

std::vector<double> e2m1_magnitudes() {
    return {std::begin(kE2m1Magnitudes), std::end(kE2m1Magnitudes)};
}

// The code whose magnitude (ascending by code) is nearest to `size`, which saturates; of two equally near the even code.
int nearest_code(const std::vector<double>& magnitudes, double size) {
    size = std::min(size, magnitudes.back());
    int best = 0;
    for (int code = 1; code < static_cast<int>(magnitudes.size()); ++code) {
        const double distance = std::fabs(magnitudes[static_cast<size_t>(code)] - size);
        const double least = std::fabs(magnitudes[static_cast<size_t>(best)] - size);
        if (distance < least || (distance == least && code % 2 == 0)) best = code;
    }
    return best;
}

// The smallest e with limit·2^e ≥ x, exactly.
int exact_exponent(double x, double limit) {
    int e = -200;
    while (std::ldexp(limit, e) < x) ++e;
    return e;
}

template <class Body>
void for_every_finite_bf16(const Body& body) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const float x = to_float(Bf16{static_cast<uint16_t>(bits)});
        if (std::isfinite(x)) body(x);
    }
}

// Numbers beside every code and beside every middle of two codes, with one fp32 step to both sides.
template <class Body>
void for_every_border(const std::vector<double>& magnitudes, const Body& body) {
    for (size_t i = 0; i < magnitudes.size(); ++i) {
        const double above = i + 1 < magnitudes.size() ? magnitudes[i + 1] : magnitudes[i] * 2;
        for (const double at : {magnitudes[i], (magnitudes[i] + above) / 2}) {
            const auto x = static_cast<float>(at);
            for (const float y : {x, std::nextafter(x, kInfinity), std::nextafter(x, 0.0F)}) {
                body(y);
                body(-y);
            }
        }
    }
}

}  // namespace

TEST_CASE("e4m3: every code has the value of its definition and comes back from it") {
    for (int code = 0; code < 256; ++code) {
        CAPTURE(code);
        const float value = e4m3_value(static_cast<uint8_t>(code));
        if ((code & 0x7F) == 0x7F) {
            CHECK(std::isnan(value));
            continue;
        }
        CHECK(std::fabs(static_cast<double>(value)) == e4m3_magnitude(code & 0x7F));
        CHECK(std::signbit(value) == (code >= 128));
        CHECK(e4m3_code(value) == code);
    }
}

TEST_CASE("e4m3: every bf16 number goes to the nearest code, ties to the even one") {
    const std::vector<double> magnitudes = e4m3_magnitudes();
    int64_t wrong = 0;
    const auto check = [&](float x) {
        const int expected = nearest_code(magnitudes, std::fabs(static_cast<double>(x))) +
                             (std::signbit(x) ? 128 : 0);
        if (e4m3_code(x) != expected && wrong++ < 5) FAIL_CHECK(x, ": not ", expected);
    };
    for_every_finite_bf16(check);
    for_every_border(magnitudes, check);
    CHECK(wrong == 0);
}

TEST_CASE("e4m3: beyond the largest it saturates, zero keeps its sign, NaN stays NaN") {
    for (const float big : {448.0F, 463.9F, 464.0F, 465.0F, 512.0F, 1e38F, kInfinity}) {
        CHECK(e4m3_code(big) == 0x7E);
        CHECK(e4m3_code(-big) == 0xFE);
    }
    CHECK(e4m3_code(0.0F) == 0x00);
    CHECK(e4m3_code(-0.0F) == 0x80);
    CHECK(e4m3_code(std::numeric_limits<float>::denorm_min()) == 0x00);
    CHECK(e4m3_code(-std::numeric_limits<float>::denorm_min()) == 0x80);
    CHECK(e4m3_code(kNan) == 0x7F);
    CHECK(e4m3_code(-kNan) == 0x7F);
}

TEST_CASE("e2m1: every code has the value of its definition and comes back from it") {
    for (int code = 0; code < 16; ++code) {
        CAPTURE(code);
        const float value = kE2m1Values[static_cast<size_t>(code)];
        CHECK(std::fabs(static_cast<double>(value)) == kE2m1Magnitudes[code & 7]);
        CHECK(std::signbit(value) == (code >= 8));
        CHECK(e2m1_code(value) == code);
    }
}

TEST_CASE("e2m1: every bf16 number goes to the nearest code, ties to the even one") {
    const std::vector<double> magnitudes = e2m1_magnitudes();
    int64_t wrong = 0;
    const auto check = [&](float x) {
        const int expected =
            nearest_code(magnitudes, std::fabs(static_cast<double>(x))) + (std::signbit(x) ? 8 : 0);
        if (e2m1_code(x) != expected && wrong++ < 5) FAIL_CHECK(x, ": not ", expected);
    };
    for_every_finite_bf16(check);
    for_every_border(magnitudes, check);
    CHECK(wrong == 0);
    CHECK(e2m1_code(kInfinity) == 7);
    CHECK(e2m1_code(-kInfinity) == 15);
    CHECK(e2m1_code(kNan) == 0);
}

TEST_CASE("e2m1: the ties that the specification names") {
    const float ties[] = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};
    const float to[] = {0, 1, 1, 2, 2, 4, 4};
    for (size_t i = 0; i < 7; ++i) CHECK(kE2m1Values[e2m1_code(ties[i])] == to[i]);
}

TEST_CASE("E8M0: a power of two for every byte, byte 0 too, and NaN for 255") {
    for (int byte = 0; byte < 255; ++byte) {
        CAPTURE(byte);
        CHECK(static_cast<double>(e8m0_value(static_cast<uint8_t>(byte))) ==
              std::ldexp(1.0, byte - 127));
    }
    CHECK(std::isnan(e8m0_value(255)));
    CHECK(std::bit_cast<uint32_t>(e8m0_value(0)) == 0x00400000u);
}

TEST_CASE("ceil_log2 is exact on both sides of every power of two") {
    for (int e = -126; e < 128; ++e) {
        CAPTURE(e);
        const float power = std::ldexp(1.0F, e);
        CHECK(ceil_log2(power) == e);
        CHECK(ceil_log2(std::nextafter(power, kInfinity)) == e + 1);
        if (e > -126) CHECK(ceil_log2(std::nextafter(power, 0.0F)) == e);
    }
}

TEST_CASE("FP8 scales: the smallest power of two that brings a group within 448") {
    // f() of 1/448 is a little off; for bf16 magnitudes the official formula still gives the exact answer.
    const double reciprocal = static_cast<double>(static_cast<float>(1.0 / 448.0));
    int64_t wrong = 0;
    for_every_finite_bf16([&](float x) {
        if (std::signbit(x)) return;
        const double amax = std::max(static_cast<double>(x), static_cast<double>(1e-4F));
        const int byte = fp8_scale(x);
        const auto official = static_cast<double>(static_cast<float>(amax * reciprocal));
        const bool right = byte == 127 + exact_exponent(official, 1.0) &&
                           byte == 127 + exact_exponent(amax, 448.0) &&
                           amax <= 448 * std::ldexp(1, byte - 127);
        if (!right && wrong++ < 5) FAIL_CHECK(x, ": scale byte ", byte);
    });
    CHECK(wrong == 0);
    CHECK(fp8_scale(0.0F) == 127 - 22);
    CHECK(fp8_scale(1e-4F) == 127 - 22);
    CHECK(fp8_scale(kInfinity) == 254);
    for (int k = -5; k < 20; ++k) CHECK(fp8_scale(std::ldexp(1.75F, k)) == 127 + k - 8);
}

TEST_CASE("FP4 scales: the smallest power of two that brings a group within 6") {
    const double reciprocal = static_cast<double>(static_cast<float>(1.0 / 6.0));
    const double floor = std::ldexp(6.0, -126);
    int64_t wrong = 0;
    for_every_finite_bf16([&](float x) {
        if (std::signbit(x)) return;
        const double amax = std::max(static_cast<double>(x), floor);
        const int byte = fp4_scale(x);
        const auto official = static_cast<double>(static_cast<float>(amax * reciprocal));
        const bool right =
            byte == 127 + exact_exponent(official, 1.0) && byte == 127 + exact_exponent(amax, 6.0);
        if (!right && wrong++ < 5) FAIL_CHECK(x, ": scale byte ", byte);
    });
    CHECK(wrong == 0);
    CHECK(fp4_scale(0.0F) == 1);
    CHECK(fp4_scale(6.0F) == 127);
    CHECK(fp4_scale(3.0F) == 126);
    CHECK(fp4_scale(12.0F) == 128);
    CHECK(fp4_scale(kInfinity) == 254);
}

}  // namespace millrace
