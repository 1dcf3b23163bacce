#include "app/plan.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "app/bench.h"
#include "app/trace_file.h"
#include "app/verbs.h"
#include "core/base/machine.h"
#include "core/base/strings.h"
#include "core/model/store_layout.h"
#include "core/model/token_cost.h"
#include "offload/replay.h"

namespace millrace {
namespace {

constexpr double kAssumedDrive = 3e9;
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

// Given, or found on a trace with as large a share of the experts in memory, or usual for that share.
HitRate expected_hits(const PlanOptions& options, const std::optional<RouterTrace>& trace,
                      double resident_share) {
    if (options.hit_rate) return {*options.hit_rate, "given"};
    if (!trace) return {usual_hit_rate(resident_share), "what is usual for this share"};
    const int32_t all = trace->shape().layers * trace->shape().experts;
    const int32_t slots =
        std::max(2, static_cast<int32_t>(std::lround(resident_share * static_cast<double>(all))));
    const ReplayCounts counts = replay(*trace, ReplayPolicy::kMillrace, slots);
    return {1 - static_cast<double>(counts.misses) / static_cast<double>(counts.asked),
            cat("of ", counts.asked, " experts in the trace")};
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
    const int32_t layers = routed_layers(model);
    // What a slot holds are whole blocks around the expert's ranges.
    constexpr uint64_t kSlack = 2 * kPageBytes;
    const uint64_t slot_bytes = round_up(expert_bytes, kPageBytes) + (format.empty() ? kSlack : 0);
    const uint64_t tables = table_bytes(config);
    const uint64_t dense = model.complete.bytes - routed_bytes(model, layers) - tables;
    MemoryWishes wishes{.dense_bytes = dense,
                        .table_bytes = tables,
                        .slot_bytes = slot_bytes,
                        .routed_layers = layers,
                        .budget_bytes = 0,
                        .context_max = std::min(options.context, config.context_max),
                        .rollback_tokens = RuntimeOptions{}.rollback_tokens,
                        .prefill_chunk = options.prefill_chunk};
    plan.system_bytes = left_to_system(machine.ram_bytes);
    const uint64_t others = plan_memory(config, wishes).total_bytes() + plan.system_bytes;
    const int32_t least = std::min(config.experts_per_token + 1, layers * config.experts);
    const uint64_t runs = others - plan.system_bytes + static_cast<uint64_t>(least) * slot_bytes;
    if (machine.ram_bytes < runs + plan.system_bytes) {
        constexpr uint64_t kMebi = uint64_t{1} << 20;
        return Error{ErrorCode::kCapacity,
                     cat(human_bytes(machine.ram_bytes), " of memory are too little for ",
                         model.release, ": dense weights take ", human_bytes(dense),
                         ", the rest of the least that runs ", human_bytes(runs - dense),
                         "; it needs ", round_up(with_system(runs), kMebi) / kMebi,
                         "M or more with what the system keeps, or a smaller --context")};
    }
    wishes.budget_bytes = machine.ram_bytes - others;
    plan.memory = plan_memory(config, wishes);
    plan.drive_bytes =
        dense + tables +
        expert_bytes * static_cast<uint64_t>(layers) * static_cast<uint64_t>(config.experts);
    plan.work = work_of(options, model, plan.memory, expert_bytes);
    const double share = plan.work.resident_share();
    HitRate hits = expected_hits(options, trace, share);
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
        const bool as_many =
            machine.ram_bytes == plan.machine.ram_bytes && format == options.experts;
        const Result<Plan> other =
            forecast(as_many ? options : free, plan.model, trace, machine, format);
        if (!other) return;
        plan.advice.push_back({std::move(change), other->decode.tokens_per_second(),
                               other->prefill.tokens_per_second()});
    };
    PlanMachine more = plan.machine;
    more.ram_bytes *= 2;
    if (plan.memory.expert_slots < plan.memory.experts_total) {
        consider("twice the memory", more, options.experts);
    }
    PlanMachine faster = plan.machine;
    faster.drive.value *= 2;
    if (plan.decode.missing > 0) consider("a drive twice as fast", faster, options.experts);
    PlanMachine wider = plan.machine;
    wider.memory.value *= 2;
    consider("memory twice as fast", wider, options.experts);
    PlanMachine stronger = plan.machine;
    stronger.macs.value *= 2;
    consider("twice the arithmetic (cores)", stronger, options.experts);
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

Result<Sourced> measured_drive(const BenchSetting& setting, const Path& directory) {
    const std::vector<Path> files = TRY(weight_files(directory));
    if (files.empty()) {
        return Sourced{kAssumedDrive, "assumed: no files here to measure it by, say --drive"};
    }
    return Sourced {
        TRY(drive_bandwidth(setting, files))
        .bytes_per_second, "measured"
    };
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

Result<PlanMachine> plan_machine(const PlanOptions& options, const Path& model_directory) {
    SystemClock clock;
    BenchSizes sizes;
    sizes.dram_bytes = std::min(uint64_t{512} << 20, machine_memory().available_bytes / 4);
    sizes.drive_bytes = uint64_t{1} << 30;
    const BenchSetting setting{.timing = {.clock = clock, .repeat = 3},
                               .sizes = sizes,
                               .isa = best_isa(),
                               .threads = options.threads > 0 ? options.threads : usable_threads()};
    PlanMachine machine;
    machine.threads = setting.threads;
    const uint64_t here = machine_memory().total_bytes;
    const uint64_t allowed = std::min(here, group_limits().memory_bytes.value_or(here));
    machine.ram_bytes = options.ram_bytes.value_or(allowed);
    machine.ram_source = options.ram_bytes ? "given" : "this machine's";
    Pool pool(setting.threads);
    if (options.memory_rate) {
        machine.memory = {*options.memory_rate, "given"};
    } else {
        const PageBuffer memory = TRY(filled_memory(pool, sizes.dram_bytes, HugePages::kIfGranted));
        machine.memory = {read_bandwidth(setting, pool, memory.bytes()), "measured"};
    }
    if (options.mac_rate) {
        machine.macs = {*options.mac_rate, "given"};
    } else {
        machine.macs = {dot_peak(setting, pool, setting.isa, DotProduct::kBf16), "measured"};
    }
    machine.drive = options.drive_rate ? Sourced{*options.drive_rate, "given"}
                                       : TRY(measured_drive(setting, model_directory));
    return machine;
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
