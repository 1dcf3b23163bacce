#include "app/fit.h"

#include <algorithm>
#include <utility>

#include "app/plan.h"
#include "core/base/disk.h"
#include "core/base/machine.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

// What computers that such models are run on have at least.
constexpr double kAssumedMemory = 40e9, kAssumedDrive = 3e9, kAssumedMacsAThread = 60e9;

Sourced sourced(const MachineRate& rate) { return {rate.value, rate.source}; }
MachineRate shown(const Sourced& rate) {
    return {.value = rate.value, .measured = rate.source == "measured", .source = rate.source};
}

// Sentences of the planner name a flag where the window has none.
std::string plain(std::string text) {
    constexpr std::string_view flag = "a smaller --context";
    if (const size_t at = text.find(flag); at != std::string::npos)
        text.replace(at, flag.size(), "a shorter context");
    return text;
}

Fit fit_of(const MachineFacts& machine, const std::string& release, const std::string& format) {
    Fit fit;
    fit.release = release;
    fit.name = release;
    Result<Inspection> model = plan_model(release);
    if (!model.ok()) {
        fit.why_not = model.error().message;
        return fit;
    }
    fit.name = model->release;
    fit.drive_bytes = model->complete.bytes;
    PlanOptions options;
    options.experts = format;
    PlanMachine on;
    on.ram_bytes = machine.ram_bytes;
    on.memory = sourced(machine.memory);
    on.drive = sourced(machine.drive);
    on.macs = sourced(machine.macs);
    on.threads = machine.threads;
    const Result<Plan> plan = make_plan(options, std::move(*model), on);
    if (!plan.ok()) {
        fit.why_not = plain(plan.error().message);
        fit.drive_has_room = fit.drive_bytes <= machine.free_disk_bytes;
        return fit;
    }
    fit.drive_bytes = plan->drive_bytes;
    fit.drive_has_room = fit.drive_bytes <= machine.free_disk_bytes;
    fit.ram_bytes = machine.ram_bytes;
    fit.system_bytes = plan->system_bytes;
    fit.memory = plan->memory;
    fit.hit_rate = plan->decode.hit_rate;
    fit.decode = plan->decode.tokens_per_second();
    fit.prefill = plan->prefill.tokens_per_second();
    for (PlanTerm& term : plan->decode_terms()) {
        fit.terms.push_back({.name = std::move(term.name),
                             .seconds = term.seconds,
                             .how = std::move(term.how),
                             .counts = term.counts});
    }
    constexpr size_t kAdviceMax = 3;
    for (const Advice& advice : plan->advice) {
        if (fit.advice.size() == kAdviceMax || advice.decode <= fit.decode * 1.05) break;
        fit.advice.push_back(cat(advice.change, ": ", fixed(advice.decode, 1), " tok/s"));
    }
    return fit;
}

}  // namespace

MachineFacts machine_facts(const Path& home) {
    const MachineMemory memory = machine_memory();
    MachineFacts facts;
    facts.ram_bytes =
        std::min(memory.total_bytes, group_limits().memory_bytes.value_or(memory.total_bytes));
    facts.available_bytes = memory.available_bytes;
    facts.threads = usable_threads();
    SystemDisk disk;
    if (const Result<uint64_t> free = disk.free_bytes(home); free.ok())
        facts.free_disk_bytes = *free;
    const auto assumed = [](double value) {
        return MachineRate{.value = value, .measured = false, .source = "assumed"};
    };
    facts.memory = assumed(kAssumedMemory);
    facts.drive = assumed(kAssumedDrive);
    facts.macs = assumed(kAssumedMacsAThread * facts.threads);
    return facts;
}

Result<MachineFacts> measured_facts(const Path& home, const Path& model) {
    MachineFacts facts = machine_facts(home);
    PlanOptions options;
    options.vram_bytes = 0;  // the window plans without a GPU
    const PlanMachine machine = TRY(plan_machine(options, model));
    facts.threads = machine.threads;
    facts.memory = shown(machine.memory);
    facts.macs = shown(machine.macs);
    facts.drive = shown(machine.drive);
    if (!facts.drive.measured) facts.drive.source = "no model here to read";
    return facts;
}

Result<std::vector<Fit>> fits_of(const MachineFacts& machine, const std::string& format) {
    std::vector<Fit> fits;
    for (const std::string& release : release_names())
        fits.push_back(fit_of(machine, release, format));
    if (fits.empty())
        return Error{ErrorCode::kNotFound, "the files that describe the releases are missing"};
    std::ranges::sort(fits, {},
                      [](const Fit& fit) { return std::pair(fit.drive_bytes, fit.name); });
    return fits;
}

}  // namespace millrace
