// Tensor cores in the simulator: which lane holds what, and how sums are cut.

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <type_traits>
#include <vector>

#include "core/base/random.h"
#include "core/base/types.h"
#include "kernels/cuda/device_memory.h"
#include "quant/float_codes.h"
#include "tests/cuda/tensor_core_kernels.h"
#include "tests/support/cuda_sim/simulator.h"

namespace millrace::cuda_sim {
namespace {

template <class T>
struct OnGpu {
    explicit OnGpu(const std::vector<T>& values)
        : memory(*cuda::DeviceMemory::allocate(values.size() * sizeof(T))), count(values.size()) {
        REQUIRE(memory.upload(std::as_bytes(std::span(values)), 0, {}).ok());
    }
    [[nodiscard]] std::vector<T> values() const {
        std::vector<T> out(count);
        REQUIRE(memory.download(std::as_writable_bytes(std::span(out)), 0, {}).ok());
        return out;
    }
    cuda::DeviceMemory memory;
    size_t count;
};

template <class T>
std::vector<float> product(const std::vector<T>& a, const std::vector<T>& b,
                           const std::vector<float>& c) {
    const OnGpu<T> left(a), right(b);
    const OnGpu<float> sums(c);
    const TensorTask task{left.memory.template as<uint8_t>(), right.memory.template as<uint8_t>(),
                          sums.memory.template as<float>(), true};
    if constexpr (std::is_same_v<T, Bf16>) multiply_on_warp_bf16(task);
    if constexpr (std::is_same_v<T, uint16_t>) multiply_on_warp_f16(task);
    if constexpr (std::is_same_v<T, uint8_t>) multiply_on_warp_e4m3(task);
    const auto violations = take_violations();
    REQUIRE_MESSAGE(violations.empty(), (violations.empty() ? "" : violations[0].text()));
    return sums.values();
}

}  // namespace

TEST_CASE("products of short bf16 numbers are exact, wherever they lie") {
    Random random(3);
    std::vector<Bf16> a(16 * 16), b(8 * 16);
    for (auto* matrix : {&a, &b})
        for (Bf16& v : *matrix) v = to_bf16(static_cast<float>(random.below(31)) - 15);
    std::vector<float> c(16 * 8);
    for (float& v : c) v = static_cast<float>(random.below(100));
    const auto sums = product(a, b, c);
    for (size_t i = 0; i < 16; ++i) {
        for (size_t j = 0; j < 8; ++j) {
            float want = c[i * 8 + j];
            for (size_t k = 0; k < 16; ++k)
                want += to_float(a[i * 16 + k]) * to_float(b[j * 16 + k]);
            CHECK(sums[i * 8 + j] == want);
        }
    }
}

TEST_CASE("products of f16 are exact, of its smallest numbers too, and NaN is NaN") {
    // m · 2⁻²⁴, subnormal below 1024, and 2 and 1½ with both signs.
    constexpr uint16_t kTwo = 0x4000, kMinusThreeHalves = 0xBE00, kNan = 0x7E01, kInfinity = 0x7C00;
    Random random(6);
    std::vector<uint16_t> a(16 * 16), b(8 * 16);
    for (uint16_t& v : a) v = static_cast<uint16_t>(random.below(2048));
    for (uint16_t& v : b) v = random.below(2) == 0 ? kTwo : kMinusThreeHalves;
    a[5 * 16 + 3] = kNan;
    a[6 * 16 + 3] = kInfinity;
    const auto sums = product(a, b, std::vector<float>(128, 0));
    for (size_t i = 0; i < 16; ++i) {
        for (size_t j = 0; j < 8; ++j) {
            double want = 0;
            for (size_t k = 0; k < 16; ++k) {
                const double left = std::ldexp(a[i * 16 + k], -24);
                want += left * (b[j * 16 + k] == kTwo ? 2 : -1.5);
            }
            if (i == 5) {
                CHECK(std::isnan(sums[i * 8 + j]));
            } else if (i == 6) {
                CHECK(std::isinf(sums[i * 8 + j]));
            } else {
                CHECK(static_cast<double>(sums[i * 8 + j]) == want);
            }
        }
    }
}

TEST_CASE("products of e4m3 are exact while they are of one size") {
    Random random(4);
    std::vector<uint8_t> a(16 * 32), b(8 * 32);
    for (auto* matrix : {&a, &b})
        for (uint8_t& v : *matrix) v = e4m3_code(static_cast<float>(random.below(17)) - 8);
    const auto sums = product(a, b, std::vector<float>(128, 0));
    for (size_t i = 0; i < 16; ++i) {
        for (size_t j = 0; j < 8; ++j) {
            float want = 0;
            for (size_t k = 0; k < 32; ++k)
                want += e4m3_value(a[i * 32 + k]) * e4m3_value(b[j * 32 + k]);
            CHECK(sums[i * 8 + j] == want);
        }
    }
}

TEST_CASE("what lies far below the largest term is cut off, towards zero") {
    std::vector<Bf16> a(16 * 16), b(8 * 16, to_bf16(1));
    a[0] = to_bf16(1);
    a[1] = to_bf16(0x1.8p-24F);  // one and a half units of what is kept beside 1
    a[8] = to_bf16(-0x1p-30F);   // the next block: below the unit, so nothing
    auto sums = product(a, b, std::vector<float>(128, 0));
    // 1 + 2⁻²⁴ is kept in the sum, but not in fp32.
    CHECK(sums[0] == 1);
    a[2] = to_bf16(0x1.8p-24F);
    sums = product(a, b, std::vector<float>(128, 0));
    CHECK(sums[0] == 1 + 0x1p-23F);  // to nearest it would be the same of three units: 1 + 2⁻²³·1½
    std::vector<uint8_t> wide(16 * 32), ones(8 * 32, e4m3_code(1));
    wide[0] = e4m3_code(256);
    wide[1] = e4m3_code(0x1p-6F);  // 2⁻¹⁴ of the largest
    CHECK(product(wide, ones, std::vector<float>(128, 0))[0] == 256);
    wide[1] = e4m3_code(0x1p-5F);  // 2⁻¹³
    CHECK(product(wide, ones, std::vector<float>(128, 0))[0] == 256 + 0x1p-5F);
}

TEST_CASE("NaN and infinity go where they belong") {
    std::vector<Bf16> a(16 * 16, to_bf16(1)), b(8 * 16, to_bf16(1));
    a[3 * 16 + 5] = Bf16{0x7FC0};
    a[4 * 16 + 5] = Bf16{0x7F80};
    const auto sums = product(a, b, std::vector<float>(128, 0));
    CHECK(std::isnan(sums[3 * 8]));
    CHECK(sums[4 * 8] == HUGE_VALF);
    CHECK(sums[5 * 8] == 16);
}

TEST_CASE("copies that nobody waits for have not arrived") {
    const OnGpu<Bf16> a(std::vector<Bf16>(256)), b(std::vector<Bf16>(128));
    const OnGpu<float> c(std::vector<float>(128));
    multiply_on_warp_bf16(
        {a.memory.as<uint8_t>(), b.memory.as<uint8_t>(), c.memory.as<float>(), false});
    const auto violations = take_violations();
    REQUIRE(violations.size() == 1);
    CHECK(violations[0].fault == Fault::kUninitialisedShared);
}

}  // namespace millrace::cuda_sim
