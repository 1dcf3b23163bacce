#pragma once
// How fast a model will be on a machine with a GPU: the time model of speed_plan.h with one more place for experts. Pure
// arithmetic. Nothing of it was compared with a GPU yet: the shares below are assumptions.
//
// Dense weights, KV state and activations lie in the GPU's memory (VRAM). What is left there are slots for the experts that
// are used most; those next to them lie in RAM, the others on the drive. An expert has one place: what is in VRAM takes no
// slot in RAM. In a layer the GPU computes its experts, and the machine serves those in RAM, while the missing ones land:
//
//     token = dense ÷ VRAM  +  KV ÷ VRAM  +  max(VRAM's experts ÷ VRAM, RAM's ÷ served, missing ÷ drive)
//             +  landed  +  layers · kGpuLayerSeconds
//
// `served` is the faster of two ways: the processor computes an expert where it lies, at the rate of RAM, or it is copied
// over PCIe and the GPU computes it, as all others. `landed` is serving the expert that lands last, in every layer that
// misses one.
//
// Of a prompt's chunk each layer's experts are read once, whatever lies in VRAM not at all:
//
//     chunk = dense multiply-adds ÷ GPU  +  max(experts on the GPU ÷ GPU, experts on the host's side, missing ÷ drive)
//
// where the host's side again copies (bytes ÷ PCIe) or computes (multiply-adds ÷ processor), whichever is faster.

#include <algorithm>
#include <cstdint>

#include "core/engine/speed_plan.h"

namespace millrace {

// Limits, as MachineSpeeds has them.
struct GpuSpeeds {
    double vram_bytes = 0;  // read a second
    double pcie_bytes = 0;  // copied to the GPU a second, from pinned memory
    double macs = 0;        // of bf16 products, a second
};

// Shares of the limits that are expected.
inline constexpr double kVramShare = 0.75;           // decode
inline constexpr double kPcieShare = 0.95;           // experts copied one by one
inline constexpr double kGpuArithmeticShare = 0.40;  // prefill
// Launches, and the host that learns which experts a layer wants.
inline constexpr double kGpuLayerSeconds = 50e-6;

// Who serves the experts that lie in RAM.
enum class HostExperts { kComputed, kCopied };

// Where slots for experts are, of `experts` in all.
struct TierSlots {
    int32_t vram = 0, ram = 0, experts = 0;
};
// Of a GPU's slots, those where experts stay: copies for a layer pass through the others.
[[nodiscard]] int32_t staying_slots(int32_t gpu_slots, int32_t experts);

// Shares of the experts that are asked for, by where they are found; together 1.
struct TierHits {
    double vram = 0, ram = 0, drive = 1;
};
// The most used experts lie highest. `hit_rate(share)` says what is found in the best share of all experts, both 0 to 1.
template <class HitRate>
[[nodiscard]] TierHits tier_hits(const TierSlots& slots, const HitRate& hit_rate) {
    const auto share = [&](int32_t count) {
        return slots.experts > 0 ? static_cast<double>(count) / slots.experts : 0.0;
    };
    const double vram = slots.vram > 0 ? hit_rate(share(slots.vram)) : 0.0;
    const double both = std::max(vram, hit_rate(share(slots.vram + slots.ram)));
    return {.vram = vram, .ram = both - vram, .drive = 1 - both};
}

// Seconds.
struct GpuDecodeForecast {
    TierHits hits;
    HostExperts way = HostExperts::kComputed;
    double served_bytes = 0;  // of RAM's experts a second, that way
    double dense = 0, kv = 0, vram = 0, ram = 0, missing = 0, landed = 0, layers = 0;

    [[nodiscard]] double slowest() const;  // of the three that go on at the same time
    [[nodiscard]] double seconds() const { return dense + kv + slowest() + landed + layers; }
    [[nodiscard]] double tokens_per_second() const { return 1 / seconds(); }
};
// work.slots is not looked at: `hits` says what is found where.
[[nodiscard]] GpuDecodeForecast forecast_gpu_decode(const MachineSpeeds& machine,
                                                    const GpuSpeeds& gpu, const ModelWork& work,
                                                    const TierHits& hits);

// Seconds of the whole prompt.
struct GpuPrefillForecast {
    HostExperts way = HostExperts::kCopied;
    double dense = 0, vram = 0, ram = 0, missing = 0;
    double tokens = 0;

    [[nodiscard]] double slowest() const;
    [[nodiscard]] double seconds() const { return dense + slowest(); }
    [[nodiscard]] double tokens_per_second() const { return tokens / seconds(); }
};
[[nodiscard]] GpuPrefillForecast forecast_gpu_prefill(const MachineSpeeds& machine,
                                                      const GpuSpeeds& gpu, const ModelWork& work,
                                                      const TierSlots& slots);

}  // namespace millrace
