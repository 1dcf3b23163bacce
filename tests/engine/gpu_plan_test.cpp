// The time model with a GPU against numbers worked out by hand.

#include "core/engine/gpu_plan.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/engine/gpu_tier.h"

namespace millrace {
namespace {

constexpr MachineSpeeds kMachine{.memory_bytes = 100e9, .drive_bytes = 10e9, .macs = 1e12};
constexpr GpuSpeeds kGpu{.vram_bytes = 1000e9, .pcie_bytes = 20e9, .macs = 50e12};

ModelWork some_work() {
    return {.dense_bytes = 7'500'000'000,
            .kv_bytes = 75'000'000,
            .expert_bytes = 7'500'000,
            .layers = 40,
            .experts = 100,
            .experts_per_token = 5,
            .prompt_macs = 66'000'000'000'000,
            .expert_macs = 6'600'000'000'000,
            .prompt_tokens = 1000,
            .chunk_tokens = 500};
}
constexpr double kRouted = 7.5e6 * 40 * 5;  // bytes a token

}  // namespace

TEST_CASE("slots where experts stay: without those that copies pass through, as many as experts") {
    constexpr int32_t kPassing = GpuTier::kPassingMax;
    CHECK(staying_slots(kPassing + 6, 50) == 6);
    CHECK(staying_slots(kPassing + 60, 50) == 50);
    CHECK(staying_slots(kPassing, 50) == 0);
    CHECK(staying_slots(0, 50) == 0);
}

TEST_CASE("the most used experts lie highest, and each is found in one place") {
    const auto root = [](double share) { return std::sqrt(share); };
    const TierHits hits = tier_hits({.vram = 160, .ram = 1280, .experts = 4000}, root);
    CHECK(hits.vram == doctest::Approx(0.2));
    CHECK(hits.ram == doctest::Approx(0.4));
    CHECK(hits.drive == doctest::Approx(0.4));
    const TierHits no_vram = tier_hits({.vram = 0, .ram = 1000, .experts = 4000}, root);
    CHECK(no_vram.vram == 0);
    CHECK(no_vram.ram == doctest::Approx(0.5));
    const TierHits all = tier_hits({.vram = 1000, .ram = 3000, .experts = 4000}, root);
    CHECK(all.drive == 0);
    CHECK(all.vram + all.ram == doctest::Approx(1));
    // A rate that falls (a trace is no law) takes nothing from what is in VRAM.
    const TierHits odd = tier_hits({.vram = 1000, .ram = 1000, .experts = 4000},
                                   [](double share) { return share > 0.3 ? 0.5 : 0.6; });
    CHECK(odd.ram == 0);
    CHECK(odd.drive == doctest::Approx(0.4));
}

TEST_CASE(
    "decode: dense from VRAM, then the slowest of three places, the last to land, a trip a layer") {
    const TierHits hits{.vram = 0.5, .ram = 0.3, .drive = 0.2};
    const GpuDecodeForecast d = forecast_gpu_decode(kMachine, kGpu, some_work(), hits);
    CHECK(d.dense == doctest::Approx(0.01));
    CHECK(d.kv == doctest::Approx(0.0001));
    CHECK(d.vram == doctest::Approx(0.5 * kRouted / 750e9));
    CHECK(d.way == HostExperts::kComputed);  // 81 GB/s in RAM, 19 GB/s over PCIe
    CHECK(d.ram == doctest::Approx(0.3 * kRouted / 81e9));
    CHECK(d.missing == doctest::Approx(0.2 * kRouted / 9.2e9));
    CHECK(d.landed == doctest::Approx(40 * (1 - std::pow(0.8, 5)) * 7.5e6 / 81e9));
    CHECK(d.layers == doctest::Approx(0.002));
    CHECK(d.slowest() == d.missing);
    CHECK(d.seconds() == doctest::Approx(d.dense + d.kv + d.missing + d.landed + d.layers));
    CHECK(d.tokens_per_second() == doctest::Approx(1 / d.seconds()));

    // Everything in VRAM: neither RAM nor a drive matters.
    const GpuDecodeForecast all = forecast_gpu_decode({}, kGpu, some_work(), {1, 0, 0});
    CHECK(all.seconds() == doctest::Approx(0.01 + 0.0001 + kRouted / 750e9 + 0.002));
}

TEST_CASE("decode: experts in RAM are copied where PCIe is no slower than the processor") {
    const TierHits hits{.vram = 0.5, .ram = 0.5, .drive = 0};
    GpuSpeeds gpu = kGpu;
    gpu.pcie_bytes = 81e9 / kPcieShare + 1;
    const GpuDecodeForecast copied = forecast_gpu_decode(kMachine, gpu, some_work(), hits);
    CHECK(copied.way == HostExperts::kCopied);
    CHECK(copied.ram == doctest::Approx(0.5 * kRouted / 81e9));
    // The GPU computes them too.
    CHECK(copied.vram == doctest::Approx(kRouted / 750e9));
    gpu.pcie_bytes = 81e9 / kPcieShare - 1e9;
    CHECK(forecast_gpu_decode(kMachine, gpu, some_work(), hits).way == HostExperts::kComputed);
    // No faster than RAM gives them.
    gpu.pcie_bytes = 500e9;
    CHECK(forecast_gpu_decode(kMachine, gpu, some_work(), hits).served_bytes == 100e9);
}

TEST_CASE("prefill: the GPU's products, what is copied or computed for it, and the drive") {
    const TierSlots slots{.vram = 1000, .ram = 1000, .experts = 4000};
    // 500 tokens use practically all of 4000 experts, twice.
    const double bytes = 2 * 4000 * 7.5e6;
    const GpuPrefillForecast p = forecast_gpu_prefill(kMachine, kGpu, some_work(), slots);
    CHECK(p.dense == doctest::Approx(59.4 / 20));
    CHECK(p.way == HostExperts::kCopied);  // 2.4 s against 7.5 s of arithmetic
    CHECK(p.ram == doctest::Approx(0.75 * bytes / 19e9));
    CHECK(p.vram == doctest::Approx(6.6 / 20));
    CHECK(p.missing == doctest::Approx(0.5 * bytes / 9.2e9));
    CHECK(p.seconds() == doctest::Approx(p.dense + p.missing));
    CHECK(p.tokens_per_second() == doctest::Approx(1000 / p.seconds()));

    GpuSpeeds narrow = kGpu;
    narrow.pcie_bytes = 1e9;
    const GpuPrefillForecast own = forecast_gpu_prefill(kMachine, narrow, some_work(), slots);
    CHECK(own.way == HostExperts::kComputed);
    CHECK(own.ram == doctest::Approx(0.75 * 6.6 / kArithmeticShare));
    CHECK(own.vram == doctest::Approx(0.25 * 6.6 / 20));
    CHECK(own.slowest() == own.ram);

    const TierSlots all{.vram = 4000, .ram = 0, .experts = 4000};
    CHECK(forecast_gpu_prefill({}, kGpu, some_work(), all).seconds() == doctest::Approx(66.0 / 20));
}

}  // namespace millrace
