#pragma once
// What a model will need and how fast it will be here, before it is loaded or even downloaded: the numbers behind
// `millrace plan` (core/engine/memory_plan.h, core/engine/speed_plan.h; with a GPU core/engine/gpu_plan.h).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/options.h"
#include "core/base/result.h"
#include "core/engine/gpu_plan.h"
#include "core/engine/memory_plan.h"
#include "core/engine/speed_plan.h"
#include "core/model/inspect.h"

namespace millrace {

// A number and where it is from: "given", "measured", "assumed: …".
struct Sourced {
    double value = 0;
    std::string source;
};

struct PlanGpu {
    std::string name;  // "" unless it is here
    uint64_t memory_bytes = 0;
    std::string memory_source;
    Sourced vram, pcie, macs;  // a second

    [[nodiscard]] GpuSpeeds speeds() const { return {vram.value, pcie.value, macs.value}; }
};

struct PlanMachine {
    uint64_t ram_bytes = 0;
    std::string ram_source;
    Sourced memory, drive, macs;  // a second
    int threads = 1;
    std::optional<PlanGpu> gpu;

    [[nodiscard]] MachineSpeeds speeds() const { return {memory.value, drive.value, macs.value}; }
};

// Something that could be changed, and what it would bring.
struct Advice {
    std::string change;              // "twice the memory"
    double decode = 0, prefill = 0;  // tokens a second then
};

// A term of the time of a token, and the arithmetic behind it.
struct PlanTerm {
    std::string name;  // "experts missing"
    double seconds = 0;
    std::string how;     // "95.2 MB ÷ (3.00 GB/s × 0.92)"
    bool counts = true;  // false: a longer one hides it
};

// What a GPU changes: dense weights, KV state and activations lie in its memory, and the most used experts.
struct PlanGpuPart {
    int32_t slots = 0;  // where experts stay
    uint64_t slot_bytes = 0;
    uint64_t kept_bytes =
        0;            // of VRAM, left to the driver, what the operations keep, and the screen
    TierSlots tiers;  // of the trunk's experts
    GpuDecodeForecast decode;
    GpuPrefillForecast prefill;
};

struct Plan {
    Inspection model;
    std::string expert_format;  // "as released", "FP4 with E8M0 scales", "q2s"
    PlanMachine machine;
    MemoryPlan memory;
    uint64_t system_bytes = 0;  // of memory, left to everybody else
    uint64_t drive_bytes = 0;   // all experts and dense tensors
    ModelWork work;
    std::string hit_source;
    DecodeForecast decode;  // these two: of a machine without a GPU
    PrefillForecast prefill;
    std::optional<PlanGpuPart> gpu;
    std::vector<Advice> advice;  // best first

    // With the GPU if there is one.
    [[nodiscard]] double decode_rate() const;  // tokens a second
    [[nodiscard]] double prefill_rate() const;
    [[nodiscard]] std::vector<PlanTerm> decode_terms() const;
    [[nodiscard]] std::string text() const;  // a table for people
    [[nodiscard]] std::string json() const;  // one line, without its end
};

// A directory with a checkpoint or only its config.json, or the name of a release (assets/releases): its Inspection.
[[nodiscard]] Result<Inspection> plan_model(const Path& named);
// Names of the releases that are known, sorted.
[[nodiscard]] std::vector<std::string> release_names();
// What was given, the rest measured here in about two seconds; the drive by the files of `model_directory`, if it has any,
// the GPU if there is one (app/bench.h).
[[nodiscard]] Result<PlanMachine> plan_machine(const PlanOptions& options,
                                               const Path& model_directory);
// Reads options.trace. kCapacity when not even one layer's experts fit beside the rest, or the dense part does not fit the
// GPU: the sentence says how much memory would do.
[[nodiscard]] Result<Plan> make_plan(const PlanOptions& options, Inspection model,
                                     PlanMachine machine);

}  // namespace millrace
