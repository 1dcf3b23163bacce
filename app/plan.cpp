#include "app/plan.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "app/trace_file.h"
#include "app/verbs.h"
#include "core/base/strings.h"
#include "core/model/store_layout.h"
#include "core/model/token_cost.h"
#include "offload/replay.h"

namespace millrace {
namespace {

uint64_t routed_bytes(const Inspection& model, int32_t layers) {
    return model.expert_bytes * static_cast<uint64_t>(layers) *
           static_cast<uint64_t>(model.config.experts);
}

int32_t routed_layers(const Inspection& model) {
    return model.config.layer_count() + model.drafts.count;
}

// The system, the desktop and everybody else keep a twentieth, and at least 2 GiB of a machine that has them.
uint64_t left_to_system(uint64_t ram_bytes) {
    constexpr uint64_t kLeast = uint64_t{2} << 30;
    return std::min(std::max(ram_bytes / 20, kLeast), ram_bytes / 4);
}

// The least memory of which `bytes` are left for the model. Each round adds at most a quarter of what the last one did.
uint64_t with_system(uint64_t bytes) {
    uint64_t ram = bytes;
    while (ram - left_to_system(ram) < bytes) ram = bytes + left_to_system(ram) + 1;
    return ram;
}

// Only from FP4 does pack make fewer bits.
bool is_fp4(const Inspection& model) {
    return model.expert_format.empty()
               ? model.config.expert_dtype != "fp8"
               : model.expert_format.starts_with("FP4") || model.expert_format == "f4";
}

// Of one expert's record in a store.
RecordLayout record_of(const ModelConfig& config, std::string_view format) {
    return record_layout(*expert_format_of(format), {config.hidden, config.expert_inner});
}

// The embedding, and the table of each hash layer: experts by token.
uint64_t table_bytes(const ModelConfig& config) {
    const int64_t hashed = int64_t{config.hash_layers} * config.experts_per_token;
    return static_cast<uint64_t>(config.vocabulary * (config.hidden * int64_t{sizeof(Bf16)} +
                                                      hashed * int64_t{sizeof(int64_t)}));
}

ModelWork work_of(const PlanOptions& options, const Inspection& model, const MemoryPlan& memory,
                  uint64_t expert_bytes) {
    const ModelConfig& config = model.config;
    const uint64_t routed = model.token_bytes[static_cast<size_t>(TensorClass::kRoutedExpert)];
    const auto chosen = static_cast<uint64_t>(config.layer_count()) *
                        static_cast<uint64_t>(config.experts_per_token);
    const auto a_weight = static_cast<uint64_t>(3 * config.hidden * config.expert_inner);
    const int64_t context = std::min(options.context, config.context_max);
    const int64_t prompt = std::min(options.prompt, config.context_max);
    return {.dense_bytes = model.token_bytes_total() - routed,
            .kv_bytes = kv_bytes_read(config, context - 1),
            .expert_bytes = expert_bytes,
            .layers = config.layer_count(),
            .experts = config.experts,
            .experts_per_token = config.experts_per_token,
            .slots = memory.expert_slots,
            .prompt_macs = prefill_macs(config, prompt),
            .expert_macs = chosen * a_weight * static_cast<uint64_t>(prompt),
            .prompt_tokens = prompt,
            .chunk_tokens = options.prefill_chunk};
}

struct HitRate {
    double value = 0;
    std::string source;
};

// Found on a trace with as large a share of the experts in memory, or usual for that share.
HitRate hits_by_share(const std::optional<RouterTrace>& trace, double resident_share) {
    if (!trace) return {usual_hit_rate(resident_share), "what is usual for this share"};
    const int32_t all = trace->shape().layers * trace->shape().experts;
    const int32_t slots =
        std::max(2, static_cast<int32_t>(std::lround(resident_share * static_cast<double>(all))));
    const ReplayCounts counts = replay(*trace, ReplayPolicy::kMillrace, slots);
    return {1 - static_cast<double>(counts.misses) / static_cast<double>(counts.asked),
            cat("of ", counts.asked, " experts in the trace")};
}

// That, or what was given.
HitRate expected_hits(const PlanOptions& options, const std::optional<RouterTrace>& trace,
                      double resident_share) {
    if (options.hit_rate) return {*options.hit_rate, "given"};
    return hits_by_share(trace, resident_share);
}

// The trace that was named, if it is one of this model.
Result<std::optional<RouterTrace>> trace_of(const PlanOptions& options, const ModelConfig& config) {
    if (options.trace.empty()) return std::optional<RouterTrace>();
    RouterTrace trace = TRY(read_trace(options.trace));
    const TraceShape& shape = trace.shape();
    if (shape.layers != config.layer_count() || shape.experts != config.experts ||
        trace.steps().empty()) {
        return Error{
            ErrorCode::kInvalid,
            cat(options.trace.string(), " has ", trace.steps().size(), " steps of ", shape.layers,
                " layers with ", shape.experts, " experts; wanted is a trace of this model, ",
                config.layer_count(), " layers with ", config.experts)};
    }
    return std::optional<RouterTrace>(std::move(trace));
}

// The driver, what operations keep for themselves, and the screen have some of a GPU's memory.
constexpr uint64_t kDriverMost = uint64_t{1} << 30;
uint64_t left_to_driver(uint64_t vram_bytes) { return std::min(kDriverMost, vram_bytes / 8); }

// The least VRAM of which `bytes` are left for the model.
uint64_t with_driver(uint64_t bytes) { return std::min(bytes + kDriverMost, bytes / 7 * 8 + 8); }

// Whether what must lie in the GPU's memory does: `memory`, on_gpu and without slots; and the size of a slot there.
Result<PlanGpuPart> place_on_gpu(const Inspection& model, const PlanGpu& gpu,
                                 const MemoryPlan& memory, uint64_t expert_bytes) {
    PlanGpuPart part;
    part.kept_bytes = left_to_driver(gpu.memory_bytes);
    const uint64_t taken = memory.gpu_bytes() + part.kept_bytes;
    if (gpu.memory_bytes < taken) {
        constexpr uint64_t kMebi = uint64_t{1} << 20;
        const uint64_t least = with_driver(memory.gpu_bytes());
        return Error{
            ErrorCode::kCapacity,
            cat(human_bytes(gpu.memory_bytes), " of VRAM are too little for ", model.release,
                ": dense weights take ", human_bytes(memory.dense_bytes), ", KV state ",
                human_bytes(memory.kv_bytes), ", activations ", human_bytes(memory.scratch_bytes),
                "; with what the driver and the screen keep it needs ",
                round_up(least, kMebi) / kMebi,
                "M or more, or a smaller --context; --vram 0 plans without the GPU")};
    }
    // Each of an expert's six matrices of codes and scales begins at a multiple of this.
    constexpr uint64_t kPiece = 256, kPieces = 6;
    part.slot_bytes =
        expert_bytes + (expert_bytes % (kPiece * kPieces) == 0 ? 0 : kPiece * kPieces);
    return part;
}

// Where a token's experts are found, and what that makes of its time.
void add_gpu_forecast(const PlanOptions& options, const std::optional<RouterTrace>& trace,
                      Plan& plan) {
    PlanGpuPart& part = *plan.gpu;
    const int32_t all = plan.work.layers * plan.work.experts;
    part.tiers.experts = all;
    part.tiers.vram = std::min(part.slots, all);
    part.tiers.ram = std::min(plan.memory.expert_slots, all - part.tiers.vram);
    const double both = static_cast<double>(part.tiers.vram + part.tiers.ram) / all;
    const HitRate free = hits_by_share(trace, both);
    const HitRate hits = expected_hits(options, trace, both);
    plan.hit_source = hits.source;
    // What is given holds for VRAM and RAM together, and bends the curve below that.
    const double bend = free.value > 0 ? hits.value / free.value : 0;
    const TierHits found = tier_hits(part.tiers, [&](double share) {
        return share < both ? hits_by_share(trace, share).value * bend : hits.value;
    });
    const MachineSpeeds machine = plan.machine.speeds();
    const GpuSpeeds gpu = plan.machine.gpu->speeds();
    part.decode = forecast_gpu_decode(machine, gpu, plan.work, found);
    part.prefill = forecast_gpu_prefill(machine, gpu, plan.work, part.tiers);
}

// What memory is asked for, but for the budget of the slots.
MemoryWishes wishes_of(const PlanOptions& options, const Inspection& model,
                       const PlanMachine& machine, uint64_t slot_bytes) {
    const int32_t layers = routed_layers(model);
    const uint64_t tables = table_bytes(model.config);
    return {.dense_bytes = model.complete.bytes - routed_bytes(model, layers) - tables,
            .table_bytes = tables,
            .slot_bytes = slot_bytes,
            .routed_layers = layers,
            .budget_bytes = 0,
            .context_max = std::min(options.context, model.config.context_max),
            .rollback_tokens = RuntimeOptions{}.rollback_tokens,
            .prefill_chunk = options.prefill_chunk,
            .on_gpu = machine.gpu.has_value()};
}

// Whether the least that runs fits beside `others`, what else is in memory.
Status check_ram(const Inspection& model, const PlanMachine& machine, const MemoryWishes& wishes,
                 uint64_t others_bytes) {
    const int32_t all = wishes.routed_layers * model.config.experts;
    const int32_t least = std::min(model.config.experts_per_token + 1, all);
    const uint64_t runs = others_bytes + static_cast<uint64_t>(least) * wishes.slot_bytes;
    if (machine.ram_bytes >= runs + left_to_system(machine.ram_bytes)) return {};
    constexpr uint64_t kMebi = uint64_t{1} << 20;
    const uint64_t dense = wishes.on_gpu ? 0 : wishes.dense_bytes;
    return Error{
        ErrorCode::kCapacity,
        cat(human_bytes(machine.ram_bytes), " of memory are too little for ", model.release, ": ",
            wishes.on_gpu ? "" : cat("dense weights take ", human_bytes(dense), ", "),
            wishes.on_gpu ? "the least that runs takes " : "the rest of the least that runs ",
            human_bytes(runs - dense), "; it needs ", round_up(with_system(runs), kMebi) / kMebi,
            "M or more with what the system keeps, or a smaller --context")};
}

// Everything that depends on memory, drive and bits; advice asks it again with other ones.
Result<Plan> forecast(const PlanOptions& options, const Inspection& model,
                      const std::optional<RouterTrace>& trace, const PlanMachine& machine,
                      std::string_view format) {
    Plan plan;
    plan.model = model;
    plan.machine = machine;
    uint64_t expert_bytes = model.expert_bytes;
    plan.expert_format = std::string(format);
    if (format.empty()) {
        plan.expert_format = model.expert_format.empty() ? "as released" : model.expert_format;
    }
    const ModelConfig& config = model.config;
    if (!format.empty()) expert_bytes = record_of(config, format).bytes;
    // What a slot holds are whole blocks around the expert's ranges.
    constexpr uint64_t kSlack = 2 * kPageBytes;
    const uint64_t slot_bytes = round_up(expert_bytes, kPageBytes) + (format.empty() ? kSlack : 0);
    MemoryWishes wishes = wishes_of(options, model, machine, slot_bytes);
    plan.system_bytes = left_to_system(machine.ram_bytes);
    const MemoryPlan bare = plan_memory(config, wishes);
    TRY(check_ram(model, machine, wishes, bare.host_bytes()));
    if (machine.gpu) plan.gpu = TRY(place_on_gpu(model, *machine.gpu, bare, expert_bytes));
    wishes.budget_bytes = machine.ram_bytes - bare.host_bytes() - plan.system_bytes;
    if (plan.gpu) {
        wishes.gpu_budget_bytes = machine.gpu->memory_bytes - plan.gpu->kept_bytes;
        wishes.gpu_slot_bytes = plan.gpu->slot_bytes;
        plan.gpu->slots = staying_slots(plan_memory(config, wishes).gpu_slots, bare.experts_total);
        // No expert has two places.
        const auto below = static_cast<uint64_t>(bare.experts_total - plan.gpu->slots);
        const auto least = static_cast<uint64_t>(config.experts_per_token + 1);
        wishes.budget_bytes = std::min(wishes.budget_bytes, std::max(below, least) * slot_bytes);
    }
    plan.memory = plan_memory(config, wishes);
    plan.drive_bytes = wishes.dense_bytes + wishes.table_bytes +
                       expert_bytes * static_cast<uint64_t>(bare.experts_total);
    plan.work = work_of(options, model, plan.memory, expert_bytes);
    if (plan.gpu) {
        add_gpu_forecast(options, trace, plan);
        return plan;
    }
    HitRate hits = expected_hits(options, trace, plan.work.resident_share());
    plan.hit_source = std::move(hits.source);
    plan.decode = forecast_decode(machine.speeds(), plan.work, hits.value);
    plan.prefill = forecast_prefill(machine.speeds(), plan.work);
    return plan;
}

void add_advice(const PlanOptions& options, const std::optional<RouterTrace>& trace, Plan& plan) {
    PlanOptions free = options;
    free.hit_rate.reset();  // a given rate holds for as many experts in memory
    const auto consider = [&](std::string change, const PlanMachine& machine,
                              std::string_view format) {
        const auto vram = [](const PlanMachine& m) { return m.gpu ? m.gpu->memory_bytes : 0; };
        const bool as_many = machine.ram_bytes == plan.machine.ram_bytes &&
                             vram(machine) == vram(plan.machine) && format == options.experts;
        const Result<Plan> other =
            forecast(as_many ? options : free, plan.model, trace, machine, format);
        if (!other) return;
        plan.advice.push_back({std::move(change), other->decode_rate(), other->prefill_rate()});
    };
    const auto with = [&](auto change) {
        PlanMachine other = plan.machine;
        change(other);
        return other;
    };
    const bool misses = plan.gpu ? plan.gpu->decode.missing > 0 : plan.decode.missing > 0;
    if (plan.gpu ? misses : plan.memory.expert_slots < plan.memory.experts_total) {
        consider("twice the memory", with([](PlanMachine& m) { m.ram_bytes *= 2; }),
                 options.experts);
    }
    if (misses) {
        consider("a drive twice as fast", with([](PlanMachine& m) { m.drive.value *= 2; }),
                 options.experts);
    }
    consider("memory twice as fast", with([](PlanMachine& m) { m.memory.value *= 2; }),
             options.experts);
    consider("twice the arithmetic (cores)", with([](PlanMachine& m) { m.macs.value *= 2; }),
             options.experts);
    if (plan.gpu) {
        if (plan.gpu->slots < plan.memory.experts_total) {
            consider("twice the VRAM", with([](PlanMachine& m) { m.gpu->memory_bytes *= 2; }),
                     options.experts);
            consider("PCIe twice as fast", with([](PlanMachine& m) { m.gpu->pcie.value *= 2; }),
                     options.experts);
        }
        consider("VRAM twice as fast", with([](PlanMachine& m) { m.gpu->vram.value *= 2; }),
                 options.experts);
    }
    for (const std::string_view format : {"q3s", "q2v"}) {
        const bool smaller = record_of(plan.model.config, format).bytes < plan.work.expert_bytes;
        if (smaller && is_fp4(plan.model)) {
            consider(cat("experts as ", format, " (changes answers a little)"), plan.machine,
                     format);
        }
    }
    std::ranges::sort(plan.advice, std::ranges::greater(),
                      [](const Advice& a) { return std::pair(a.decode, a.prefill); });
}

}  // namespace

std::vector<std::string> release_names() {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(MILLRACE_RELEASES_DIR, ignored)) {
        names.push_back(entry.path().stem().string());
    }
    std::ranges::sort(names);
    return names;
}

Result<Inspection> plan_model(const Path& named) {
    std::error_code ignored;
    if (std::filesystem::is_directory(named, ignored)) {
        Result<Inspection> whole = inspect(named);
        // Without shards the config alone says what they would be.
        if (whole.ok() || whole.error().code != ErrorCode::kNotFound) return whole;
        return inspect_config(TRY(read_config(named)));
    }
    const Path releases = MILLRACE_RELEASES_DIR;
    const Path file = releases / (named.string() + ".json");
    if (named.has_parent_path() || !std::filesystem::exists(file, ignored)) {
        std::string known;
        for (const std::string& name : release_names())
            known += cat(known.empty() ? "" : ", ", name);
        return Error{ErrorCode::kNotFound,
                     cat(quote_text(named.string()),
                         " is neither a directory nor a release; releases are ", known)};
    }
    const std::string text = TRY(read_text_file(file, uint64_t{1} << 20));
    const Result<Json> json = Json::parse(text);
    if (!json) return json.error().in(file.string());
    return inspect_config(TRY(parse_config(*json)));
}

Result<Plan> make_plan(const PlanOptions& options, Inspection model, PlanMachine machine) {
    if (!options.experts.empty() && model.config.expert_dtype == "fp8") {
        return Error{
            ErrorCode::kUnsupported,
            cat(model.release, " stores its experts in FP8; --experts is for those in FP4")};
    }
    const std::optional<RouterTrace> trace = TRY(trace_of(options, model.config));
    Plan plan = TRY(forecast(options, model, trace, machine, options.experts));
    add_advice(options, trace, plan);
    return plan;
}

int plan_verb(const PlanOptions& options, Terminal& terminal) {
    const auto body = [&]() -> Status {
        Inspection model = TRY(plan_model(options.model));
        PlanMachine machine = TRY(plan_machine(options, options.model));
        const Plan plan = TRY(make_plan(options, std::move(model), std::move(machine)));
        terminal.text(options.json ? plan.json() + "\n" : plan.text());
        return terminal.flush();
    };
    const Status status = body();
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
