#include "app/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "app/archive_options.h"
#include "app/bench_options.h"
#include "app/gpu_options.h"
#include "app/manual.h"
#include "app/plan_options.h"
#include "app/size.h"
#include "app/store_options.h"
#include "app/trace_options.h"
#include "core/base/machine.h"
#include "core/base/strings.h"
#include "core/base/utf8.h"

namespace millrace {
namespace {

constexpr std::string_view kModelGroup = "MODEL";
constexpr std::string_view kAnswerGroup = "ANSWER";
constexpr std::string_view kFilesGroup = "INPUT AND OUTPUT";
constexpr std::string_view kOtherGroup = "OTHER";

std::string group(std::string_view name) { return std::string(name); }

// Flags that are text first: what CLI11 cannot check with a sentence of ours.
struct Raw {
    std::string model, ram_budget, isa, activations = "fp8", io = "auto", direct = "auto", history;
    RawGpuOptions gpu;
};

void add_model_directory(CLI::App& app, Raw& raw) {
    app.add_option("--model", raw.model,
                   "Directory of a checkpoint in the official format. Default: the demo model.")
        ->type_name("DIR")
        ->group(group(kModelGroup));
}

void add_effort_table(CLI::App& app, std::string& table) {
    app.add_option("--effort-table", table,
                   "What reasoning efforts add to the prompt: preview or 0731. Default: as the "
                   "checkpoint is (one with a DSpark drafter: 0731).")
        ->type_name("TABLE")
        ->check(CLI::IsMember({"preview", "0731"}))
        ->group(group(kModelGroup));
}

// What is wrong with a number of threads; "" if nothing is.
std::string thread_count_problem(const std::string& text) {
    constexpr int kThreadsMax = 1024;
    int threads = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (whole && threads >= 1 && threads <= kThreadsMax) return {};
    return cat(quote_text(text), " is no number of threads; N is 1 to ", kThreadsMax,
               ", and without the flag it is ", usable_threads(), " here");
}

// What is wrong with the name of an instruction set; "" if nothing is.
std::string isa_problem(const std::string& name) {
    const std::optional<Isa> isa = isa_of(name);
    if (!isa) return cat("there is no ", quote_text(name), "; known are ", isa_names());
    if (isa_available(*isa)) return {};
    return cat("this processor cannot run ", name, "; the best it has is ", isa_name(best_isa()));
}

void add_arithmetic(CLI::App& app, RuntimeOptions& runtime, Raw& raw) {
    const std::string g = group(kModelGroup);
    app.add_option("--ops", runtime.ops,
                   "Which arithmetic: cpu (vector instructions, sums in single precision), "
                   "cuda (an NVIDIA GPU, with the CPU's help) or reference (scalar, sums in "
                   "double precision, very slow). Default: cpu.")
        ->type_name("NAME")
        ->check(CLI::IsMember({"cpu", "cuda", "reference"}))
        ->group(g);
    add_gpu_options(app, g, raw.gpu);
    app.add_option("--isa", raw.isa,
                   cat("Which instructions the cpu arithmetic uses: ", isa_names(),
                       ". Default: the best that this processor has, ", isa_name(best_isa()), "."))
        ->type_name("NAME")
        ->check(isa_problem)
        ->group(g);
    app.add_option(
           "--activations", raw.activations,
           "What the cpu arithmetic multiplies FP8 and FP4 weights with: fp8 (the model as it was "
           "made) or int8 (another rounding, faster for prompts). Default: fp8.")
        ->type_name("NAME")
        ->check(CLI::IsMember({"fp8", "int8"}))
        ->group(g);
}

void add_model(CLI::App& app, ModelOptions& model, Raw& raw) {
    const std::string g = group(kModelGroup);
    RuntimeOptions& runtime = model.runtime;
    add_model_directory(app, raw);
    app.add_option(
           "--ram-budget", raw.ram_budget,
           "Memory for experts: 64M, 2G, 1.5G; K, M, G and T are powers of 1024. Never more "
           "than all experts take. Default: half of this machine's memory; 2M for the demo "
           "model, so that there is something to stream.")
        ->type_name("SIZE")
        ->group(g);
    app.add_option(
           "--threads", runtime.threads,
           "Threads that compute. Default: one for every CPU that this process may use (its "
           "affinity mask and its control group's quota). The result never depends on it.")
        ->type_name("N")
        ->check(thread_count_problem)
        ->group(g);
    app.add_option("--context", runtime.context_max,
                   cat("Tokens that a conversation may hold, answer included. Default: ",
                       runtime.context_max, "."))
        ->type_name("TOKENS")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
        ->group(g);
    app.add_option(
           "--prefill-chunk", runtime.prefill_chunk,
           cat("Tokens of a prompt computed together: more is faster and needs more memory. "
               "Default: ",
               runtime.prefill_chunk, ". The result never depends on it."))
        ->type_name("TOKENS")
        ->check(CLI::Range(1, 65536))
        ->group(g);
    add_arithmetic(app, runtime, raw);
    app.add_option(
           "--io", raw.io,
           "How experts are read: uring (io_uring), pread (a pool of threads), auto (uring, "
           "or pread where it is refused). Default: auto.")
        ->type_name("WAY")
        ->check(CLI::IsMember({"auto", "uring", "pread"}))
        ->group(g);
    app.add_option("--direct", raw.direct,
                   "O_DIRECT for experts: auto (where the file system has it) or off. Default: "
                   "auto.")
        ->type_name("WHEN")
        ->check(CLI::IsMember({"auto", "off"}))
        ->group(g);
}

void add_answer(CLI::App& app, AnswerOptions& answer) {
    const std::string g = group(kAnswerGroup);
    SamplingParams& sampling = answer.sampling;
    const auto number = [&](const char* name, auto& value, std::string text, const char* unit) {
        return app.add_option(name, value, std::move(text))->type_name(unit)->group(g);
    };
    number("--system", answer.system,
           "What the model is told before the conversation. Default: nothing.", "TEXT");
    number(
        "--think", answer.think,
        "Whether the model thinks first, and how hard: off, high, max; with the effort table 0731 "
        "also low. Default: off.",
        "EFFORT");
    number("--max-tokens", answer.tokens_max,
           "Ends an answer after so many tokens, thinking included. Default: at the context limit.",
           "TOKENS")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
    number("--temperature", sampling.temperature,
           "0 takes the most probable token always; 1 draws as the model says; more is wilder. "
           "Default: 1, as the model's makers advise; 0 for the demo model.",
           "T");
    number("--top-k", sampling.top_k,
           "Draws from the K most probable tokens. Default: 0, from all.", "K");
    number("--top-p", sampling.top_p,
           "Draws from the fewest tokens whose probabilities add up to P. Default: 1, from all.",
           "P");
    number("--min-p", sampling.min_p,
           "Draws from tokens with at least P times the highest probability. Default: 0, from all.",
           "P");
    number("--repetition-penalty", sampling.repetition_penalty,
           "Divides the logits of tokens seen before (multiplies negative ones). Default: 1, none.",
           "X");
    number("--presence-penalty", sampling.presence_penalty,
           "Subtracted from the logits of tokens in the answer so far. Default: 0.", "X");
    number("--frequency-penalty", sampling.frequency_penalty,
           "The same, for every time that a token occurs. Default: 0.", "X");
    number("--seed", answer.seed,
           "Same seed, same prompt, same answer. Default: another one each time.", "N")
        ->check([](const std::string& text) {
            const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
            return digits ? std::string() : std::string("a seed is a whole number from 0");
        });
    number("--stop", answer.stop_strings,
           "Ends the answer before this text; may be given several times.", "TEXT")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

Shown usage_error(std::string message, std::string_view verb) {
    while (message.ends_with('\n') || message.ends_with('.')) message.pop_back();
    return {cat(message, "; see millrace ", verb, verb.empty() ? "" : " ", "--help"), kExitUsage};
}

// Fills what depends on text; a Shown if that is wrong.
std::optional<Shown> finish_model(ModelOptions& model, const Raw& raw, const CLI::App& app) {
    model.demo = raw.model.empty();
    model.directory = model.demo ? Path(MILLRACE_DEMO_DIR) : Path(raw.model);
    if (app.count("--ram-budget") > 0) {
        const Result<uint64_t> budget = parse_size(raw.ram_budget);
        if (!budget.ok())
            return usage_error(budget.error().in("--ram-budget").message, app.get_name());
        model.ram_budget_bytes = *budget;
    }
    if (!raw.isa.empty()) model.runtime.cpu.isa = *isa_of(raw.isa);
    model.runtime.cpu.activations =
        raw.activations == "int8" ? Activations::kInt8 : Activations::kFp8;
    const Status gpu = finish_gpu_options(app, raw.gpu, model.runtime);
    if (!gpu.ok()) return usage_error(gpu.error().message, app.get_name());
    if (model.runtime.ops == "reference" &&
        (app.count("--isa") > 0 || app.count("--activations") > 0)) {
        return usage_error("--isa and --activations belong to --ops cpu and cuda", app.get_name());
    }
    model.runtime.io = raw.io == "uring"   ? IoBackend::kUring
                       : raw.io == "pread" ? IoBackend::kPread
                                           : IoBackend::kAuto;
    model.runtime.direct_io = raw.direct == "off" ? DirectIo::kOff : DirectIo::kAuto;
    return std::nullopt;
}

struct TextPart {
    int64_t part = 0, parts = 0;
};

// "2/3"; absent for anything else.
std::optional<TextPart> parse_part(std::string_view text) {
    TextPart p;
    const char* const end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, p.part);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '/') return std::nullopt;
    const auto second = std::from_chars(first.ptr + 1, end, p.parts);
    if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
    if (p.part < 1 || p.part > p.parts || p.parts > 1000000) return std::nullopt;
    return p;
}

std::string part_problem(const std::string& text) {
    if (parse_part(text)) return {};
    return cat(quote_text(text), " is no part of a whole; write 1/2 or 2/2");
}

void add_text_flags(CLI::App& verb, std::vector<std::string>& files, std::string& part,
                    TextOptions& texts) {
    verb.add_option("--files", files, "Texts. Default: eval/*.jsonl in the model's directory.")
        ->type_name("FILE")
        ->group(group(kFilesGroup));
    verb.add_option("--texts", texts.count, "The first N texts of a file. Default: all.")
        ->type_name("N")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
        ->group(group(kFilesGroup));
    verb.add_option("--part", part,
                    "Every N-th text of a file, beginning with the K-th: 1/2 and 2/2 are the two "
                    "halves, one to calibrate on and one to score. Default: all.")
        ->type_name("K/N")
        ->check(part_problem)
        ->group(group(kFilesGroup));
}

void finish_texts(TextOptions& texts, const std::vector<std::string>& files,
                  const std::string& part) {
    texts.files.assign(files.begin(), files.end());
    const TextPart p = *parse_part(part);
    texts.part = p.part;
    texts.parts = p.parts;
}

// The demo model says its fixed answers best when nothing is left to chance.
void finish_answer(AnswerOptions& answer, const ModelOptions& model, const CLI::App& app) {
    if (model.demo && app.count("--temperature") == 0) answer.sampling.temperature = 0;
}

// Where the desktop's standard has a program keep what is its own; "" without a home. A relative path in the variable is
// invalid by that standard.
Path own_directory(const std::string& variable, const Environment& environment,
                   const char* below_home) {
    if (variable.starts_with('/')) return Path(variable) / "millrace";
    if (!environment.home.starts_with('/')) return {};
    return Path(environment.home) / below_home / "millrace";
}

Path history_file(const Environment& environment) {
    const Path directory = own_directory(environment.data_home, environment, ".local/share");
    return directory.empty() ? Path() : directory / "history";
}

Path state_directory(const Environment& environment) {
    return own_directory(environment.state_home, environment, ".local/state");
}

// All flags of all verbs, and where they go.
struct CommandLine {
    CommandLine() {
        for (const ManualText& text : manual_texts()) {
            CLI::App* verb = app.add_subcommand(std::string(text.name));
            verb->set_help_flag("--help", "This text.")->group(group(kOtherGroup));
        }
        app.set_help_flag("--help");
        app.add_flag("--version", version);
        app.require_subcommand(0, 1);

        add_model(*of("chat"), chat.model, raw);
        add_effort_table(*of("chat"), chat.model.effort_table);
        add_answer(*of("chat"), chat.answer);
        add_archive_flags(*of("chat"), archive);
        add_model(*of("desktop"), chat.model, raw);
        add_effort_table(*of("desktop"), chat.model.effort_table);
        add_archive_flags(*of("desktop"), archive);
        add_run();
        of("inspect")->add_option("directory", inspect)->required()->type_name("DIR");
        add_model_directory(*of("tokens"), raw);
        add_model_directory(*of("prompt"), raw);
        add_effort_table(*of("prompt"), prompt.effort_table);
        add_logits();
        add_bench();
        add_eval();
        add_calibrate();
        add_plan_flags(*of("plan"), plan);
        add_pack_flags(*of("pack"), pack);
        add_verify_flags(*of("verify"), verify);
        add_cache_flags(*of("cache"), cache, archive);
        add_trace_flags(*of("trace"), trace);
        add_model(*of("trace"), trace.model, raw);
        add_effort_table(*of("trace"), trace.model.effort_table);
        add_replay_flags(*of("replay"), replay);
    }

    void add_run() {
        CLI::App& verb = *of("run");
        verb.add_option("prompt", run_prompt)->type_name("PROMPT");
        add_model(verb, run.model, raw);
        add_effort_table(verb, run.model.effort_table);
        add_answer(verb, run.answer);
        add_archive_flags(verb, archive);
        verb.add_option(
                "--messages", messages,
                "A whole conversation instead of a prompt: a file of JSON as the verb prompt "
                "takes it; - for standard input.")
            ->type_name("FILE")
            ->group(group(kOtherGroup));
        verb.add_flag("--json", run.json, "One line of JSON for every event.")
            ->group(group(kOtherGroup));
    }

    void add_logits() {
        CLI::App& verb = *of("logits");
        verb.add_option("--tokens", logits_tokens, "The token ids, as JSON. Needed.")
            ->type_name("FILE")
            ->required()
            ->group(group(kFilesGroup));
        verb.add_option("--out", logits_out, "The safetensors file to write. Needed.")
            ->type_name("FILE")
            ->required()
            ->group(group(kFilesGroup));
        verb.add_option("--prefill", logits.prefill,
                        "Tokens computed in chunks; those behind them one by one. Default: all.")
            ->type_name("N")
            ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
            ->group(group(kFilesGroup));
        add_model(verb, logits.model, raw);
    }

    void add_bench() {
        CLI::App& verb = *of("bench");
        bench.model.runtime.ops = "cpu";
        bench.model.runtime.prefill_chunk = 512;
        add_model(verb, bench.model, raw);
        add_bench_flags(verb, bench);
    }

    void add_eval() {
        CLI::App& verb = *of("eval");
        verb.add_option("--against", eval_against,
                        "A checkpoint to compare with, in the same arithmetic: what --model was "
                        "packed from, say. Default: the model itself in reference arithmetic.")
            ->type_name("DIR")
            ->group(group(kModelGroup));
        add_text_flags(verb, text_files, text_part, eval.texts);
        verb.add_flag("--json", eval.json, "One line of JSON for every row.")
            ->group(group(kFilesGroup));
        add_model(verb, eval.model, raw);
        add_effort_table(verb, eval.model.effort_table);
    }

    void add_calibrate() {
        CLI::App& verb = *of("calibrate");
        add_text_flags(verb, text_files, text_part, calibrate.texts);
        verb.add_option("--out", calibrate_out,
                        "Directory for the result. Default: the model's, where pack looks for it.")
            ->type_name("DIR")
            ->group(group(kFilesGroup));
        add_model(verb, calibrate.model, raw);
        add_effort_table(verb, calibrate.model.effort_table);
    }

    CLI::App* of(std::string_view verb) { return app.get_subcommand(std::string(verb)); }

    CLI::App app{"", "millrace"};
    Raw raw;
    bool version = false;
    ChatOptions chat;
    RunOptions run;
    std::string run_prompt, messages, inspect, logits_tokens, logits_out;
    PromptOptions prompt;
    LogitsOptions logits;
    BenchOptions bench;
    EvalOptions eval;
    std::vector<std::string> text_files;
    std::string text_part = "1/1";
    CalibrateOptions calibrate;
    std::string calibrate_out, eval_against;
    PlanOptions plan;
    PackVerbOptions pack;
    VerifyVerbOptions verify;
    CacheOptions cache;
    ArchiveFlags archive;
    TraceOptions trace;
    ReplayOptions replay;
};

// The verbs that run no model.
std::optional<Verb> verb_without_model(CommandLine& line, const CLI::App& verb,
                                       const ArchiveOptions& archive) {
    const std::string& name = verb.get_name();
    const Path directory = line.raw.model.empty() ? Path(MILLRACE_DEMO_DIR) : Path(line.raw.model);
    if (name == "inspect") return InspectOptions{line.inspect};
    if (name == "tokens") return TokensOptions{directory};
    if (name == "plan") return line.plan;
    if (name == "replay") return line.replay;
    if (name == "prompt") {
        line.prompt.directory = directory;
        return line.prompt;
    }
    if (name == "pack") return line.pack;
    if (name == "verify") return line.verify;
    if (name == "cache") {
        line.cache.archive = archive;
        return line.cache;
    }
    return std::nullopt;
}

std::variant<Verb, Shown> run_verb_of(CommandLine& line, const CLI::App& verb,
                                      const ArchiveOptions& archive) {
    if (auto shown = finish_model(line.run.model, line.raw, verb)) return *shown;
    finish_answer(line.run.answer, line.run.model, verb);
    line.run.archive = archive;
    if (verb.count("--messages") > 0) line.run.messages = line.messages;
    if (verb.count("prompt") > 0) line.run.prompt = line.run_prompt;
    if (line.run.messages && (line.run.prompt || !line.run.answer.system.empty())) {
        return usage_error("--messages is a whole conversation: no PROMPT or --system beside it",
                           verb.get_name());
    }
    return Verb(line.run);
}

std::variant<Verb, Shown> verb_of(CommandLine& line, const CLI::App& verb,
                                  const Environment& environment) {
    const std::string& name = verb.get_name();
    const ArchiveOptions archive = archive_options(line.archive, state_directory(environment));
    if (auto without = verb_without_model(line, verb, archive)) return *std::move(without);
    if (name == "run") return run_verb_of(line, verb, archive);
    if (name == "logits") {
        if (auto shown = finish_model(line.logits.model, line.raw, verb)) return *shown;
        line.logits.tokens = line.logits_tokens;
        line.logits.out = line.logits_out;
        return Verb(line.logits);
    }
    if (name == "bench") {
        if (auto shown = finish_model(line.bench.model, line.raw, verb)) return *shown;
        line.bench.state_directory = state_directory(environment);
        return Verb(line.bench);
    }
    if (name == "eval") {
        if (auto shown = finish_model(line.eval.model, line.raw, verb)) return *shown;
        finish_texts(line.eval.texts, line.text_files, line.text_part);
        line.eval.against = line.eval_against;
        return Verb(line.eval);
    }
    if (name == "calibrate") {
        if (auto shown = finish_model(line.calibrate.model, line.raw, verb)) return *shown;
        finish_texts(line.calibrate.texts, line.text_files, line.text_part);
        line.calibrate.out = line.calibrate_out;
        return Verb(line.calibrate);
    }
    if (name == "trace") {
        if (auto shown = finish_model(line.trace.model, line.raw, verb)) return *shown;
        return Verb(line.trace);
    }
    if (name == "install-desktop") {
        return Verb(
            InstallOptions{own_directory(environment.data_home, environment, ".local/share"),
                           environment.program});
    }
    if (auto shown = finish_model(line.chat.model, line.raw, verb)) return *shown;
    line.chat.history = history_file(environment);
    line.chat.archive = archive;
    if (name == "desktop") {
        return Verb(DesktopVerbOptions{.chat = line.chat,
                                       .state_directory = state_directory(environment),
                                       .home = environment.home,
                                       .display = environment.display,
                                       .asked_for = true});
    }
    finish_answer(line.chat.answer, line.chat.model, verb);
    return Verb(line.chat);
}

// Without a verb the flags are those of chat: `millrace --think high`. Without anything it is the window, if somebody sits
// there.
std::vector<std::string> with_verb(std::vector<std::string> arguments) {
    const bool has_verb = !arguments.empty() && !arguments.front().starts_with('-');
    const bool about_program =
        !arguments.empty() && (arguments.front() == "--help" || arguments.front() == "-h" ||
                               arguments.front() == "--version");
    if (!has_verb && !about_program) arguments.insert(arguments.begin(), "chat");
    return arguments;
}

}  // namespace

Environment read_environment() {
    const auto value = [](const char* name) {
        const char* text = std::getenv(name);
        return std::string(text == nullptr ? "" : text);
    };
    const std::string term = value("TERM");
    std::error_code ignored;
    return {.home = value("HOME"),
            .data_home = value("XDG_DATA_HOME"),
            .state_home = value("XDG_STATE_HOME"),
            .display = !value("DISPLAY").empty() || !value("WAYLAND_DISPLAY").empty(),
            .program = std::filesystem::read_symlink("/proc/self/exe", ignored),
            .terminal = {.input_is_tty = ::isatty(0) == 1,
                         .output_is_tty = ::isatty(1) == 1,
                         .errors_are_tty = ::isatty(2) == 1,
                         .dumb = term.empty() || term == "dumb",
                         .no_color = !value("NO_COLOR").empty()}};
}

std::variant<Verb, Shown> parse_command_line(const std::vector<std::string>& given,
                                             const Environment& environment) {
    std::vector<std::string> arguments = with_verb(given);
    if (arguments.front() == "-h") arguments.front() = "--help";
    const std::string first = arguments.front();
    CommandLine line;
    const ManualText* text = manual_of(first);
    if (text == nullptr && !first.starts_with('-')) {
        return usage_error(cat("there is no verb ", quote_text(first)), "");
    }
    // CLI11 throws what it finds, and takes its arguments from the end.
    std::ranges::reverse(arguments);
    try {
        line.app.parse(arguments);
    } catch (const CLI::CallForHelp&) {
        return Shown{text != nullptr ? manual_page(*line.of(first), *text)
                                     : manual_overview(manual_texts())};
    } catch (const CLI::ParseError& error) {
        return usage_error(without_controls(repair_utf8(error.what())),
                           text != nullptr ? first : "");
    }
    if (line.version) return Shown{cat("millrace ", MILLRACE_VERSION, "\n")};
    if (line.app.get_subcommands().empty()) return Shown{manual_overview(manual_texts())};
    std::variant<Verb, Shown> found =
        verb_of(line, *line.app.get_subcommands().front(), environment);
    const bool bare = given.empty() && environment.terminal.input_is_tty;
    const Verb* verb = std::get_if<Verb>(&found);
    if (!bare || verb == nullptr) return found;
    return Verb(DesktopVerbOptions{.chat = *std::get_if<ChatOptions>(verb),
                                   .state_directory = state_directory(environment),
                                   .home = environment.home,
                                   .display = environment.display});
}

}  // namespace millrace
