#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "app/plan.h"
#include "core/base/json.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr size_t kNameWidth = 22, kNumberWidth = 12;

std::string line(std::string_view name, std::string_view number, std::string_view how) {
    std::string out = cat("  ", name);
    out.resize(std::max(out.size(), kNameWidth), ' ');
    if (number.size() < kNumberWidth) out.append(kNumberWidth - number.size(), ' ');
    out += number;
    if (!how.empty()) out += cat("  ", how);
    return out + "\n";
}

// Rates and sizes of drives and models are told in powers of 1000, as their makers do.
std::string decimal_bytes(double bytes) {
    constexpr std::array<std::string_view, 5> kUnits = {" B", " kB", " MB", " GB", " TB"};
    size_t unit = 0;
    for (; bytes >= 1000 && unit + 1 < kUnits.size(); ++unit) bytes /= 1000;
    return cat(fixed(bytes, unit == 0 ? 0 : bytes < 100 ? 2 : 1), kUnits[unit]);
}
std::string milliseconds(double seconds) { return cat(fixed(seconds * 1e3, 1), " ms"); }
std::string percent(double share) { return cat(fixed(share * 100, 0), " %"); }
std::string rate(double tokens_per_second) {
    const int decimals = tokens_per_second < 10 ? 2 : tokens_per_second < 100 ? 1 : 0;
    return cat(fixed(tokens_per_second, decimals), " tok/s");
}

// "3.45 GB ÷ (52.0 GB/s × 0.81)"
std::string quotient(double bytes, double per_second, double share) {
    return cat(decimal_bytes(bytes), " ÷ (", decimal_bytes(per_second), "/s × ", fixed(share, 2),
               ")");
}

std::string gpu_text(const PlanGpu& gpu) {
    const auto speed = [](const Sourced& sourced) {
        return cat(fixed(sourced.value * 1e-9, 1), " GB/s");
    };
    return line("VRAM", human_bytes(gpu.memory_bytes),
                gpu.name.empty() ? gpu.memory_source : cat(gpu.memory_source, ", ", gpu.name)) +
           line("reading VRAM", speed(gpu.vram), gpu.vram.source) +
           line("copying to it", speed(gpu.pcie), gpu.pcie.source) +
           line("multiply-adds there", cat(fixed(gpu.macs.value * 1e-12, 1), " T/s"),
                gpu.macs.source);
}

std::string machine_text(const PlanMachine& machine) {
    const auto speed = [](const Sourced& sourced, std::string_view unit) {
        return cat(fixed(sourced.value * 1e-9, 1), " ", unit);
    };
    return line("memory", human_bytes(machine.ram_bytes), machine.ram_source) +
           line("reading memory", speed(machine.memory, "GB/s"),
                cat(machine.memory.source, ", ", machine.threads, " threads")) +
           line("reading the drive", speed(machine.drive, "GB/s"), machine.drive.source) +
           line("multiply-adds", speed(machine.macs, "G/s"),
                cat(machine.macs.source, ", bf16 dot products")) +
           (machine.gpu ? gpu_text(*machine.gpu) : "");
}

std::string slots_line(const Plan& plan, uint64_t bytes, int32_t slots) {
    const double share = static_cast<double>(slots) / plan.memory.experts_total;
    return line("", human_bytes(bytes),
                cat(slots, " slots for experts: ", percent(share), " of them"));
}

std::string vram_text(const Plan& plan) {
    const MemoryPlan& memory = plan.memory;
    const PlanGpuPart& gpu = *plan.gpu;
    return line("in VRAM", human_bytes(memory.dense_bytes), "dense weights") +
           line("", human_bytes(memory.kv_bytes), "KV state of one conversation at --context") +
           line("", human_bytes(memory.scratch_bytes), "activations of one chunk") +
           slots_line(plan, memory.gpu_expert_bytes, gpu.slots) +
           line("", human_bytes(gpu.kept_bytes), "left to the driver, the operations, the screen");
}

std::string places_text(const Plan& plan) {
    const MemoryPlan& memory = plan.memory;
    const uint64_t rest = plan.machine.ram_bytes - memory.host_bytes() - plan.system_bytes;
    const bool all = !plan.gpu;
    return line("on the drive", decimal_bytes(static_cast<double>(plan.drive_bytes)),
                cat(memory.experts_total, " experts of ",
                    decimal_bytes(static_cast<double>(plan.work.expert_bytes)), " (",
                    plan.expert_format, "), and the dense weights")) +
           (all ? line("in memory", human_bytes(memory.dense_bytes), "dense weights")
                : vram_text(plan)) +
           line(all ? "" : "in memory", human_bytes(memory.table_bytes),
                "tables: mapped, not counted, rows of them are read as tokens come") +
           slots_line(plan, memory.expert_bytes, memory.expert_slots) +
           (all ? line("", human_bytes(memory.kv_bytes),
                       "KV state of one conversation at --context") +
                      line("", human_bytes(memory.scratch_bytes), "activations of one chunk")
                : line("", human_bytes(memory.host_scratch_bytes),
                       "what the processor looks at of one chunk, and computes")) +
           line("", human_bytes(plan.system_bytes), "left to the system and to everybody else") +
           (rest > 0 ? line("", human_bytes(rest), "not needed") : "");
}

// Who serves the experts that are in memory and not in VRAM.
std::string served_text(const PlanGpuPart& gpu) {
    return gpu.decode.way == HostExperts::kComputed
               ? "computed by the processor: faster than copying them to the GPU"
               : "copied to the GPU: no slower than computing them here";
}

std::string decode_text(const Plan& plan) {
    const TierHits hits = plan.gpu ? plan.gpu->decode.hits : TierHits();
    std::string out = plan.gpu
                          ? line("found in VRAM", percent(hits.vram), plan.hit_source) +
                                line("found in memory", percent(hits.ram), served_text(*plan.gpu))
                          : line("hit rate", percent(plan.decode.hit_rate), plan.hit_source);
    const std::string_view mark =
        plan.gpu ? "   ← the longest of the three counts" : "   ← the longer of the two counts";
    for (const PlanTerm& term : plan.decode_terms()) {
        const bool longer = term.counts && term.name.starts_with("experts ");
        out += line(term.name, milliseconds(term.seconds), cat(term.how, longer ? mark : ""));
    }
    return out + line("a token", milliseconds(1 / plan.decode_rate()), rate(plan.decode_rate()));
}

std::string seconds_text(double seconds) { return cat(fixed(seconds, 2), " s"); }

std::string macs_text(double macs, double per_second, double share) {
    return cat(fixed(macs * 1e-12, 1), " T multiply-adds ÷ (", fixed(per_second * 1e-9, 0),
               " G/s × ", fixed(share, 2), ")");
}

std::string gpu_prefill_text(const Plan& plan) {
    const GpuPrefillForecast& p = plan.gpu->prefill;
    const double macs = plan.machine.gpu->macs.value;
    const auto mark = [&](double seconds) {
        return seconds == p.slowest() ? "   ← the longest counts" : "";
    };
    std::string out =
        line("all but experts", seconds_text(p.dense),
             macs_text(p.dense * macs * kGpuArithmeticShare, macs, kGpuArithmeticShare));
    out += line("experts on the GPU", seconds_text(p.vram),
                cat(macs_text(p.vram * macs * kGpuArithmeticShare, macs, kGpuArithmeticShare),
                    mark(p.vram)));
    if (p.ram > 0) {
        const bool copied = p.way == HostExperts::kCopied;
        out +=
            line("other experts", seconds_text(p.ram),
                 cat(copied ? "copied to the GPU, each once a chunk" : "computed by the processor",
                     mark(p.ram)));
    }
    if (p.missing > 0) {
        out += line("experts missing", seconds_text(p.missing),
                    cat("read from the drive, each once a chunk", mark(p.missing)));
    }
    return out;
}

std::string prefill_text(const Plan& plan) {
    const PrefillForecast& p = plan.prefill;
    const MachineSpeeds m = plan.machine.speeds();
    const std::string_view counts = "   ← the longer of the two counts";
    const auto work = [&](uint64_t macs) {
        return macs_text(static_cast<double>(macs), m.macs, kArithmeticShare);
    };
    std::string out = line("all but experts", seconds_text(p.dense),
                           work(plan.work.prompt_macs - plan.work.expert_macs));
    out += line("experts", seconds_text(p.experts),
                cat(work(plan.work.expert_macs), p.waits_for_drive() ? "" : counts));
    if (p.missing > 0) {
        out +=
            line("experts missing", seconds_text(p.missing),
                 cat(quotient(p.missing * m.drive_bytes * kDriveShare, m.drive_bytes, kDriveShare),
                     p.waits_for_drive() ? counts : ""));
    }
    return out;
}

std::vector<PlanTerm> gpu_terms(const Plan& plan) {
    const GpuDecodeForecast& d = plan.gpu->decode;
    const MachineSpeeds m = plan.machine.speeds();
    const GpuSpeeds g = plan.machine.gpu->speeds();
    const double vram = g.vram_bytes * kVramShare;
    const auto from_vram = [&](double seconds) {
        return quotient(seconds * vram, g.vram_bytes, kVramShare);
    };
    const bool copied = d.way == HostExperts::kCopied;
    std::vector<PlanTerm> terms = {
        {"dense weights", d.dense, from_vram(d.dense)},
        {"KV rows", d.kv, from_vram(d.kv)},
        {"experts on the GPU", d.vram, from_vram(d.vram), d.vram == d.slowest()}};
    if (d.ram > 0) {
        const double bytes = d.ram * d.served_bytes;
        terms.push_back({"experts in memory", d.ram,
                         copied ? quotient(bytes, d.served_bytes / kPcieShare, kPcieShare)
                                : quotient(bytes, m.memory_bytes, kMemoryShare),
                         d.ram == d.slowest()});
    }
    if (d.missing > 0) {
        terms.push_back(
            {"experts missing", d.missing,
             quotient(d.missing * m.drive_bytes * kDriveShare, m.drive_bytes, kDriveShare),
             d.missing == d.slowest()});
        terms.push_back({"the last to land", d.landed,
                         copied ? "copying it, in each layer that misses one"
                                : "computing it, in each layer that misses one"});
    }
    terms.push_back({"launches and trips", d.layers,
                     cat(plan.work.layers, " layers × ", fixed(kGpuLayerSeconds * 1e6, 0), " us")});
    return terms;
}

}  // namespace

double Plan::decode_rate() const {
    return gpu ? gpu->decode.tokens_per_second() : decode.tokens_per_second();
}

double Plan::prefill_rate() const {
    return gpu ? gpu->prefill.tokens_per_second() : prefill.tokens_per_second();
}

std::vector<PlanTerm> Plan::decode_terms() const {
    if (gpu) return gpu_terms(*this);
    const MachineSpeeds m = machine.speeds();
    const double routed =
        static_cast<double>(work.expert_bytes) * work.layers * work.experts_per_token;
    const auto from_memory = [&](double bytes) {
        return quotient(bytes, m.memory_bytes, kMemoryShare);
    };
    std::vector<PlanTerm> terms = {
        {"dense weights", decode.dense, from_memory(static_cast<double>(work.dense_bytes))},
        {"KV rows", decode.kv, from_memory(static_cast<double>(work.kv_bytes))},
        {"experts in memory", decode.resident, from_memory(decode.hit_rate * routed),
         !decode.waits_for_drive()}};
    if (decode.missing > 0) {
        terms.push_back({"experts missing", decode.missing,
                         quotient((1 - decode.hit_rate) * routed, m.drive_bytes, kDriveShare),
                         decode.waits_for_drive()});
        terms.push_back(
            {"the last to land", decode.landed, "computing it, in each layer that misses one"});
    }
    return terms;
}

std::string Plan::text() const {
    std::string out =
        cat(model.release, "\n\nThe machine\n", machine_text(machine), "\nWhat goes where\n",
            places_text(*this), "\nA token of the answer\n", decode_text(*this),
            "\nThe prompt, in chunks of ", work.chunk_tokens, "\n",
            gpu ? gpu_prefill_text(*this) : prefill_text(*this),
            line(cat(work.prompt_tokens, " tokens"),
                 seconds_text(static_cast<double>(work.prompt_tokens) / prefill_rate()),
                 rate(prefill_rate())));
    if (!advice.empty()) {
        out += "\nWhat would help\n";
        for (const Advice& a : advice) {
            out += cat("  ", a.change, ": ", rate(a.decode), ", prompts ", rate(a.prefill), "\n");
        }
    }
    return out;
}

std::string Plan::json() const {
    Json object;
    const auto whole = [&](const char* key, uint64_t value) {
        object.set(key, static_cast<int64_t>(value));
    };
    object.set("release", model.release);
    whole("ram_bytes", machine.ram_bytes);
    object.set("memory_bytes_per_second", machine.memory.value);
    object.set("drive_bytes_per_second", machine.drive.value);
    object.set("macs_per_second", machine.macs.value);
    whole("checkpoint_bytes", model.complete.bytes);
    whole("drive_bytes", drive_bytes);
    whole("expert_bytes", work.expert_bytes);
    whole("dense_bytes", memory.dense_bytes);
    whole("kv_bytes", memory.kv_bytes);
    whole("scratch_bytes", memory.scratch_bytes);
    object.set("slots", int64_t{memory.expert_slots});
    object.set("experts", int64_t{memory.experts_total});
    object.set("hit_rate", gpu ? 1 - gpu->decode.hits.drive : decode.hit_rate);
    object.set("decode_seconds", 1 / decode_rate());
    object.set("decode_tokens_per_second", decode_rate());
    object.set("prefill_tokens_per_second", prefill_rate());
    if (!gpu) return object.dump();
    whole("vram_bytes", machine.gpu->memory_bytes);
    object.set("vram_bytes_per_second", machine.gpu->vram.value);
    object.set("pcie_bytes_per_second", machine.gpu->pcie.value);
    object.set("gpu_macs_per_second", machine.gpu->macs.value);
    object.set("vram_slots", int64_t{gpu->slots});
    object.set("vram_hits", gpu->decode.hits.vram);
    object.set("ram_hits", gpu->decode.hits.ram);
    object.set("drive_hits", gpu->decode.hits.drive);
    object.set("ram_experts", gpu->decode.way == HostExperts::kComputed ? "computed" : "copied");
    return object.dump();
}

}  // namespace millrace
