#pragma once
// How fast a model will be on a machine, from bytes and multiply-adds alone: the time model behind `millrace plan`. Pure
// arithmetic; what it is compared with is in docs/performance.md.
//
// A decoded token walks the layers one after the other. Nothing of the next layer can be read before its router has
// run, so the drive rests while the dense part of a layer is computed, and inside a layer the experts in memory are
// computed while the others land:
//
//     token = dense ÷ memory  +  KV ÷ memory  +  max(resident experts ÷ memory, missing experts ÷ drive)  +  landed
//
// where `landed` is the computing of the expert that lands last, in every layer that misses one. A prompt walks in chunks,
// layer by layer, and reads each expert that some token of the chunk needs once:
//
//     chunk = dense multiply-adds ÷ arithmetic  +  max(expert multiply-adds ÷ arithmetic, missing experts ÷ drive)

#include <cstdint>

namespace millrace {

// Limits, as `millrace bench machine` measures them; what of a limit is reached is this file's business.
struct MachineSpeeds {
    double memory_bytes = 0;  // read a second, by all threads
    double drive_bytes = 0;   // read a second
    double macs = 0;          // of the dot product that prompts are computed with, a second
};

// What a model asks of it.
struct ModelWork {
    uint64_t dense_bytes = 0;   // weights that every token reads
    uint64_t kv_bytes = 0;      // that a token at the wanted context reads
    uint64_t expert_bytes = 0;  // of one routed expert
    int32_t layers = 0;         // of the trunk
    int32_t experts = 0;        // a layer
    int32_t experts_per_token = 0;
    int32_t slots = 0;         // experts that are in memory
    uint64_t prompt_macs = 0;  // of the whole prompt
    uint64_t expert_macs = 0;  // of these, in routed experts
    int64_t prompt_tokens = 0;
    int32_t chunk_tokens = 0;

    // Of the experts of the trunk; at most 1.
    [[nodiscard]] double resident_share() const;
};

// Shares of the limits that this program reaches, measured (docs/performance.md).
inline constexpr double kMemoryShare = 0.81;      // decode
inline constexpr double kDriveShare = 0.92;       // experts read at random
inline constexpr double kArithmeticShare = 0.66;  // prefill

// Seconds.
struct DecodeForecast {
    double hit_rate = 0;
    double dense = 0, kv = 0, resident = 0, missing = 0, landed = 0;

    [[nodiscard]] double seconds() const;
    [[nodiscard]] double tokens_per_second() const { return 1 / seconds(); }
    // The drive takes longer than the experts in memory.
    [[nodiscard]] bool waits_for_drive() const { return missing > resident; }
};
[[nodiscard]] DecodeForecast forecast_decode(const MachineSpeeds& machine, const ModelWork& work,
                                             double hit_rate);

// Bytes of routed experts that a prompt reads where none is in memory: chunk by chunk, each that a token is routed to.
[[nodiscard]] double prompt_expert_bytes(const ModelWork& work);

// Seconds of the whole prompt.
struct PrefillForecast {
    double dense = 0, experts = 0, missing = 0;
    double tokens = 0;

    [[nodiscard]] double seconds() const;
    [[nodiscard]] double tokens_per_second() const { return tokens / seconds(); }
    [[nodiscard]] bool waits_for_drive() const { return missing > experts; }
};
[[nodiscard]] PrefillForecast forecast_prefill(const MachineSpeeds& machine, const ModelWork& work);

// How many experts are found in memory when `resident_share` of all are there: what was published for this model and for
// others with as many experts (45–70 % at 15 %, 75–85 % at 25 to 45 %, 95 % at 70 %). Workloads differ widely; a trace of
// one's own is better.
[[nodiscard]] double usual_hit_rate(double resident_share);

}  // namespace millrace
