#include "core/engine/gpu_plan.h"

#include <algorithm>
#include <cmath>

#include "core/engine/gpu_tier.h"

namespace millrace {
namespace {

// Nothing takes no time, at whatever rate.
double seconds_of(double amount, double per_second) { return amount > 0 ? amount / per_second : 0; }

}  // namespace

int32_t staying_slots(int32_t gpu_slots, int32_t experts) {
    return std::clamp(gpu_slots - GpuTier::kPassingMax, 0, experts);
}

double GpuDecodeForecast::slowest() const { return std::max({vram, ram, missing}); }

double GpuPrefillForecast::slowest() const { return std::max({vram, ram, missing}); }

GpuDecodeForecast forecast_gpu_decode(const MachineSpeeds& machine, const GpuSpeeds& gpu,
                                      const ModelWork& work, const TierHits& hits) {
    const double vram = gpu.vram_bytes * kVramShare;
    const double computed = machine.memory_bytes * kMemoryShare;
    // What is copied is read from RAM, too.
    const double copied = std::min(gpu.pcie_bytes * kPcieShare, machine.memory_bytes);
    const bool copies = copied >= computed;
    const double served = copies ? copied : computed;
    const double drive = machine.drive_bytes * kDriveShare;
    const auto expert = static_cast<double>(work.expert_bytes);
    const double routed = expert * work.layers * work.experts_per_token;
    // Layers in which at least one of the token's experts is missing, if misses fall evenly.
    const double waiting_layers =
        work.layers * (1 - std::pow(1 - hits.drive, static_cast<double>(work.experts_per_token)));
    return {.hits = hits,
            .way = copies ? HostExperts::kCopied : HostExperts::kComputed,
            .served_bytes = served,
            .dense = static_cast<double>(work.dense_bytes) / vram,
            .kv = static_cast<double>(work.kv_bytes) / vram,
            .vram = (copies ? 1 : hits.vram) * routed / vram,
            .ram = seconds_of(hits.ram * routed, served),
            .missing = seconds_of(hits.drive * routed, drive),
            .landed = seconds_of(waiting_layers * expert, served),
            .layers = work.layers * kGpuLayerSeconds};
}

GpuPrefillForecast forecast_gpu_prefill(const MachineSpeeds& machine, const GpuSpeeds& gpu,
                                        const ModelWork& work, const TierSlots& slots) {
    const double arithmetic = gpu.macs * kGpuArithmeticShare;
    const double bytes = prompt_expert_bytes(work);
    const double vram_share = static_cast<double>(slots.vram) / slots.experts;
    const double drive_share = 1 - static_cast<double>(slots.vram + slots.ram) / slots.experts;
    const auto macs = static_cast<double>(work.expert_macs);
    // Of all that is not in VRAM, once it is in RAM.
    const double copied = std::min(gpu.pcie_bytes * kPcieShare, machine.memory_bytes);
    const double copying = seconds_of((1 - vram_share) * bytes, copied);
    const double computing = seconds_of((1 - vram_share) * macs, machine.macs * kArithmeticShare);
    const bool copies = copying <= computing;
    return {.way = copies ? HostExperts::kCopied : HostExperts::kComputed,
            .dense = static_cast<double>(work.prompt_macs - work.expert_macs) / arithmetic,
            .vram = (copies ? 1 : vram_share) * macs / arithmetic,
            .ram = std::min(copying, computing),
            .missing = seconds_of(drive_share * bytes, machine.drive_bytes * kDriveShare),
            .tokens = static_cast<double>(work.prompt_tokens)};
}

}  // namespace millrace
