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

std::string machine_text(const PlanMachine& machine) {
    const auto speed = [](const Sourced& sourced, std::string_view unit) {
        return cat(fixed(sourced.value * 1e-9, 1), " ", unit);
    };
    return line("memory", human_bytes(machine.ram_bytes), machine.ram_source) +
           line("reading memory", speed(machine.memory, "GB/s"),
                cat(machine.memory.source, ", ", machine.threads, " threads")) +
           line("reading the drive", speed(machine.drive, "GB/s"), machine.drive.source) +
           line("multiply-adds", speed(machine.macs, "G/s"),
                cat(machine.macs.source, ", bf16 dot products"));
}

std::string places_text(const Plan& plan) {
    const MemoryPlan& memory = plan.memory;
    const double share = static_cast<double>(memory.expert_slots) / memory.experts_total;
    const uint64_t rest = plan.machine.ram_bytes - memory.total_bytes() - plan.system_bytes;
    return line("on the drive", decimal_bytes(static_cast<double>(plan.drive_bytes)),
                cat(memory.experts_total, " experts of ",
                    decimal_bytes(static_cast<double>(plan.work.expert_bytes)), " (",
                    plan.expert_format, "), and the dense weights")) +
           line("in memory", human_bytes(memory.dense_bytes), "dense weights") +
           line("", human_bytes(memory.table_bytes),
                "tables: mapped, not counted, rows of them are read as tokens come") +
           line("", human_bytes(memory.expert_bytes),
                cat(memory.expert_slots, " slots for experts: ", percent(share), " of them")) +
           line("", human_bytes(memory.kv_bytes), "KV state of one conversation at --context") +
           line("", human_bytes(memory.scratch_bytes), "activations of one chunk") +
           line("", human_bytes(plan.system_bytes), "left to the system and to everybody else") +
           (rest > 0 ? line("", human_bytes(rest), "not needed") : "");
}

std::string decode_text(const Plan& plan) {
    const DecodeForecast& d = plan.decode;
    std::string out = line("hit rate", percent(d.hit_rate), plan.hit_source);
    for (const PlanTerm& term : plan.decode_terms()) {
        const bool longer = term.counts && term.name.starts_with("experts ");
        out += line(term.name, milliseconds(term.seconds),
                    cat(term.how, longer ? "   ← the longer of the two counts" : ""));
    }
    return out + line("a token", milliseconds(d.seconds()), rate(d.tokens_per_second()));
}

std::string prefill_text(const Plan& plan) {
    const PrefillForecast& p = plan.prefill;
    const MachineSpeeds m = plan.machine.speeds();
    const std::string_view counts = "   ← the longer of the two counts";
    const auto seconds = [](double s) { return cat(fixed(s, 2), " s"); };
    const auto work = [&](uint64_t macs) {
        return cat(fixed(static_cast<double>(macs) * 1e-12, 1), " T multiply-adds ÷ (",
                   fixed(m.macs * 1e-9, 0), " G/s × ", fixed(kArithmeticShare, 2), ")");
    };
    std::string out = line("all but experts", seconds(p.dense),
                           work(plan.work.prompt_macs - plan.work.expert_macs));
    out += line("experts", seconds(p.experts),
                cat(work(plan.work.expert_macs), p.waits_for_drive() ? "" : counts));
    if (p.missing > 0) {
        out +=
            line("experts missing", seconds(p.missing),
                 cat(quotient(p.missing * m.drive_bytes * kDriveShare, m.drive_bytes, kDriveShare),
                     p.waits_for_drive() ? counts : ""));
    }
    return out + line(cat(plan.work.prompt_tokens, " tokens"), seconds(p.seconds()),
                      rate(p.tokens_per_second()));
}

}  // namespace

std::vector<PlanTerm> Plan::decode_terms() const {
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
            "\nThe prompt, in chunks of ", work.chunk_tokens, "\n", prefill_text(*this));
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
    object.set("hit_rate", decode.hit_rate);
    object.set("decode_seconds", decode.seconds());
    object.set("decode_tokens_per_second", decode.tokens_per_second());
    object.set("prefill_tokens_per_second", prefill.tokens_per_second());
    return object.dump();
}

}  // namespace millrace
