#include "core/engine/speed_plan.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace millrace {
namespace {

struct CurvePoint {
    double resident, hits;
};
constexpr std::array<CurvePoint, 8> kUsualHits = {{{0, 0},
                                                   {0.06, 0.40},
                                                   {0.10, 0.55},
                                                   {0.15, 0.62},
                                                   {0.25, 0.76},
                                                   {0.45, 0.86},
                                                   {0.70, 0.95},
                                                   {1, 1}}};

}  // namespace

double ModelWork::resident_share() const {
    const double all = static_cast<double>(layers) * experts;
    return all > 0 ? std::min(1.0, slots / all) : 0;
}

double DecodeForecast::seconds() const { return dense + kv + std::max(resident, missing) + landed; }

double PrefillForecast::seconds() const { return dense + std::max(experts, missing); }

DecodeForecast forecast_decode(const MachineSpeeds& machine, const ModelWork& work,
                               double hit_rate) {
    const double memory = machine.memory_bytes * kMemoryShare;
    const double drive = machine.drive_bytes * kDriveShare;
    const auto expert = static_cast<double>(work.expert_bytes);
    const double routed = expert * work.layers * work.experts_per_token;
    const double misses = 1 - hit_rate;
    // Layers in which at least one of the token's experts is missing, if misses fall evenly.
    const double waiting_layers =
        work.layers * (1 - std::pow(hit_rate, static_cast<double>(work.experts_per_token)));
    return {.hit_rate = hit_rate,
            .dense = static_cast<double>(work.dense_bytes) / memory,
            .kv = static_cast<double>(work.kv_bytes) / memory,
            .resident = hit_rate * routed / memory,
            .missing = misses > 0 ? misses * routed / drive : 0,
            .landed = waiting_layers * expert / memory};
}

double prompt_expert_bytes(const ModelWork& work) {
    const auto tokens = static_cast<double>(work.prompt_tokens);
    const double chunk = std::clamp<double>(work.chunk_tokens, 1, std::max(1.0, tokens));
    // Experts of a layer that at least one token of a chunk is routed to, if all are equally likely.
    const double chosen = static_cast<double>(work.experts_per_token) / work.experts;
    const double used = work.experts * (1 - std::pow(1 - chosen, chunk));
    return used * work.layers * static_cast<double>(work.expert_bytes) * std::ceil(tokens / chunk);
}

PrefillForecast forecast_prefill(const MachineSpeeds& machine, const ModelWork& work) {
    const double arithmetic = machine.macs * kArithmeticShare;
    const double drive = machine.drive_bytes * kDriveShare;
    const double read = prompt_expert_bytes(work) * (1 - work.resident_share());
    return {.dense = static_cast<double>(work.prompt_macs - work.expert_macs) / arithmetic,
            .experts = static_cast<double>(work.expert_macs) / arithmetic,
            .missing = read > 0 ? read / drive : 0,
            .tokens = static_cast<double>(work.prompt_tokens)};
}

double usual_hit_rate(double resident_share) {
    const double share = std::clamp(resident_share, 0.0, 1.0);
    for (size_t i = 1; i < kUsualHits.size(); ++i) {
        const CurvePoint& from = kUsualHits[i - 1];
        const CurvePoint& to = kUsualHits[i];
        if (share > to.resident) continue;
        const double way = (share - from.resident) / (to.resident - from.resident);
        return from.hits + way * (to.hits - from.hits);
    }
    return 1;
}

}  // namespace millrace
