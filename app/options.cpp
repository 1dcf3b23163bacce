#include "app/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "app/bench_options.h"
#include "app/manual.h"
#include "app/size.h"
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

constexpr std::array<ManualText, 10> kManual = {{
    {"chat", "talks with a model in the terminal", "[FLAGS]",
     "Opens a conversation. The answer appears while it is made; the model's thinking is shown "
     "less "
     "prominently. Type /help there for the commands. Ctrl-C stops an answer, Ctrl-D leaves.\n"
     "\n"
     "Where standard input is no terminal every line is a message, and only the answers are "
     "written. What was typed is kept in ~/.local/share/millrace/history.",
     "millrace\n"
     "millrace chat --model /models/DeepSeek-V4-Flash --ram-budget 24G --think high\n"
     "echo 'What can you do?' | millrace chat"},
    {"run", "answers one prompt", "[FLAGS] [PROMPT]",
     "Takes the prompt from the argument or, without one, from standard input, and writes the "
     "answer "
     "to standard output as it is made. Thinking and tool calls go to standard error.\n"
     "\n"
     "With --json each event is one line of JSON: {\"type\": \"prefill\", \"done\", \"total\"}, "
     "{\"type\": \"reasoning\" or \"answer\", \"text\"}, {\"type\": \"tool_call\", \"id\", "
     "\"name\", "
     "\"arguments\"}; the last line is {\"type\": \"finished\", \"reason\", \"answer\", "
     "\"reasoning\", \"tool_calls\", \"prompt_ids\", \"ids\", \"seed\", \"stats\"} or {\"type\": "
     "\"failed\", \"error\"}. Reasons: stop, tool_calls, length, context.",
     "millrace run 'Who are you?'\n"
     "millrace run --temperature 0 --json < question.txt\n"
     "millrace run --messages conversation.json --think high"},
    {"inspect", "says what a checkpoint is", "DIR",
     "Reads config.json, the index and the headers of the shards, and prints the release, the "
     "layers by type, the experts, the bytes by class and what one token reads. Reads no weights: "
     "works on a download that is not complete and on copies that hold headers only.",
     "millrace inspect /models/DeepSeek-V4-Flash"},
    {"tokens", "turns text into token ids and back", "[FLAGS]",
     "Reads JSON lines from standard input and writes one for each: {\"text\": …} becomes "
     "{\"ids\": […]}, {\"ids\": […]} becomes {\"text\": …}. Special tokens spelled in a text are "
     "recognised, as the reference library does. Bytes that are no UTF-8 become U+FFFD in the "
     "text. "
     "Needs tokenizer.json only.",
     "echo '{\"text\": \"Hello\"}' | millrace tokens\n"
     "echo '{\"ids\": [0, 1]}' | millrace tokens --model /models/DeepSeek-V4-Flash"},
    {"prompt", "renders conversations as the model is shown them", "[FLAGS]",
     "Reads JSON lines {\"messages\", \"tools\", \"thinking_mode\": \"chat\" or \"thinking\", "
     "\"reasoning_effort\", \"drop_thinking\"} from standard input and writes {\"prompt\", "
     "\"ids\"} "
     "for each. Text inside messages never becomes a special token. Needs tokenizer.json only.",
     "echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}' | millrace prompt"},
    {"logits", "computes the logits of a list of tokens", "--tokens FILE --out FILE [FLAGS]",
     "Computes the first --prefill tokens in chunks and the others one by one, and writes a "
     "safetensors file with the tensor `logits`, F32 [tokens, vocabulary]: a row for every "
     "position. FILE of --tokens is JSON: [1, 2, 3] or {\"ids\": [1, 2, 3]}. The output appears "
     "whole or not at all. Needs no tokenizer.",
     "echo '[0, 17, 4]' > ids.json\n"
     "millrace logits --tokens ids.json --prefill 2 --out logits.safetensors"},
    {"bench", "measures the machine, the operations, a model", "WHAT [FLAGS]",
     "WHAT is machine (memory, caches, dot products, drive), ops (each operation at the real "
     "model's shapes, with weights from memory), model (prefill and decode, and where the time "
     "of a token goes), io (experts through the reader, against a plain reader of the same files) "
     "or stream (tokens whose experts are read from the drive: hardly any in memory, most of them, "
     "a prompt of --prefill tokens). Every figure is shown beside its limit, measured in the same run: bytes "
     "against the read bandwidth of all threads, multiply-adds against the dot products they are "
     "made of. Unlike elsewhere all experts stay in memory unless --ram-budget says otherwise.\n"
     "\n"
     "With --json each figure is one line: {\"row\", \"value\", \"unit\", \"limit\", \"share\", "
     "\"hash\"}; hash is of what was computed and stays the same on the same instruction set.",
     "millrace bench machine\n"
     "millrace bench ops --only gemv --threads 1\n"
     "millrace bench model --model /models/DeepSeek-V4-Flash --contexts 1024,65536 --json"},
    {"eval", "says how far an arithmetic is from the reference", "[FLAGS]",
     "Scores texts with the chosen arithmetic (--ops) and with the reference side by side: every "
     "token from those before it. Prints for each file the perplexity of both, the logarithm of "
     "their ratio, the mean divergence of the predictions (KL, in nats), how often both find the "
     "same token most probable, and the largest difference of a logit.\n"
     "\n"
     "A file NAME.jsonl holds one text a line: {\"messages\", \"thinking_mode\", \"expected\"}, a "
     "conversation as the chat renders it with the expected answer behind it, or {\"text\"}. Any "
     "other file is one plain text. A text longer than --context is cut. The two share the memory "
     "of --ram-budget. The reference is slow.\n"
     "\n"
     "With --json each row is one line of JSON: {\"class\", \"arithmetic\", \"texts\", "
     "\"tokens\", \"perplexity\", \"reference_perplexity\", \"log_ratio\", \"mean_divergence\", "
     "\"top1_equal\", \"largest_difference\", \"mean_difference\", \"reference_deviation\"}.",
     "millrace eval --texts 5\n"
     "millrace eval --model /models/DeepSeek-V4-Flash --files book.txt --json"},
    kTraceManual,
    kReplayManual,
}};

const ManualText& manual_of(std::string_view verb) {
    return *std::ranges::find(kManual, verb, &ManualText::name);
}

std::string group(std::string_view name) { return std::string(name); }

// Flags that are text first: what CLI11 cannot check with a sentence of ours.
struct Raw {
    std::string model, ram_budget, isa, activations = "fp8", io = "auto", direct = "auto", history;
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
                   "Which arithmetic: cpu (vector instructions, sums in single precision) or "
                   "reference (scalar, sums in double precision, very slow). Default: cpu.")
        ->type_name("NAME")
        ->check(CLI::IsMember({"cpu", "reference"}))
        ->group(g);
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
    if (model.runtime.ops == "reference" &&
        (app.count("--isa") > 0 || app.count("--activations") > 0)) {
        return usage_error("--isa and --activations belong to --ops cpu", app.get_name());
    }
    model.runtime.io = raw.io == "uring"   ? IoBackend::kUring
                       : raw.io == "pread" ? IoBackend::kPread
                                           : IoBackend::kAuto;
    model.runtime.direct_io = raw.direct == "off" ? DirectIo::kOff : DirectIo::kAuto;
    return std::nullopt;
}

// The demo model says its fixed answers best when nothing is left to chance.
void finish_answer(AnswerOptions& answer, const ModelOptions& model, const CLI::App& app) {
    if (model.demo && app.count("--temperature") == 0) answer.sampling.temperature = 0;
}

Path history_file(const Environment& environment) {
    // A relative XDG_DATA_HOME is invalid by its own standard.
    if (environment.data_home.starts_with('/')) {
        return Path(environment.data_home) / "millrace" / "history";
    }
    if (!environment.home.starts_with('/')) return {};
    return Path(environment.home) / ".local" / "share" / "millrace" / "history";
}

// All flags of all verbs, and where they go.
struct CommandLine {
    CommandLine() {
        for (const ManualText& text : kManual) {
            CLI::App* verb = app.add_subcommand(std::string(text.name));
            verb->set_help_flag("--help", "This text.")->group(group(kOtherGroup));
        }
        app.set_help_flag("--help");
        app.add_flag("--version", version);
        app.require_subcommand(0, 1);

        add_model(*of("chat"), chat.model, raw);
        add_effort_table(*of("chat"), chat.model.effort_table);
        add_answer(*of("chat"), chat.answer);
        add_run();
        of("inspect")->add_option("directory", inspect)->required()->type_name("DIR");
        add_model_directory(*of("tokens"), raw);
        add_model_directory(*of("prompt"), raw);
        add_effort_table(*of("prompt"), prompt.effort_table);
        add_logits();
        add_bench();
        add_eval();
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
        verb.add_option("--files", eval_files,
                        "Texts to score. Default: eval/*.jsonl in the model's directory.")
            ->type_name("FILE")
            ->group(group(kFilesGroup));
        verb.add_option("--texts", eval.texts, "Scores the first N texts of a file. Default: all.")
            ->type_name("N")
            ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
            ->group(group(kFilesGroup));
        verb.add_flag("--json", eval.json, "One line of JSON for every row.")
            ->group(group(kFilesGroup));
        add_model(verb, eval.model, raw);
        add_effort_table(verb, eval.model.effort_table);
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
    std::vector<std::string> eval_files;
    TraceOptions trace;
    ReplayOptions replay;
};

std::variant<Verb, Shown> verb_of(CommandLine& line, const CLI::App& verb,
                                  const Environment& environment) {
    const std::string& name = verb.get_name();
    const Path directory = line.raw.model.empty() ? Path(MILLRACE_DEMO_DIR) : Path(line.raw.model);
    if (name == "inspect") return Verb(InspectOptions{line.inspect});
    if (name == "tokens") return Verb(TokensOptions{directory});
    if (name == "prompt") {
        line.prompt.directory = directory;
        return Verb(line.prompt);
    }
    if (name == "logits") {
        if (auto shown = finish_model(line.logits.model, line.raw, verb)) return *shown;
        line.logits.tokens = line.logits_tokens;
        line.logits.out = line.logits_out;
        return Verb(line.logits);
    }
    if (name == "bench") {
        if (auto shown = finish_model(line.bench.model, line.raw, verb)) return *shown;
        return Verb(line.bench);
    }
    if (name == "eval") {
        if (auto shown = finish_model(line.eval.model, line.raw, verb)) return *shown;
        line.eval.files.assign(line.eval_files.begin(), line.eval_files.end());
        return Verb(line.eval);
    }
    if (name == "trace") {
        if (auto shown = finish_model(line.trace.model, line.raw, verb)) return *shown;
        return Verb(line.trace);
    }
    if (name == "replay") return Verb(line.replay);
    if (name == "run") {
        if (auto shown = finish_model(line.run.model, line.raw, verb)) return *shown;
        finish_answer(line.run.answer, line.run.model, verb);
        if (verb.count("--messages") > 0) line.run.messages = line.messages;
        if (verb.count("prompt") > 0) line.run.prompt = line.run_prompt;
        if (line.run.messages && (line.run.prompt || !line.run.answer.system.empty())) {
            return usage_error(
                "--messages is a whole conversation: no PROMPT or --system beside it", name);
        }
        return Verb(line.run);
    }
    if (auto shown = finish_model(line.chat.model, line.raw, verb)) return *shown;
    finish_answer(line.chat.answer, line.chat.model, verb);
    line.chat.history = history_file(environment);
    return Verb(line.chat);
}

// Without a verb the flags are those of chat: `millrace --think high`.
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
    return {.home = value("HOME"),
            .data_home = value("XDG_DATA_HOME"),
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
    const bool known =
        std::ranges::find(kManual, std::string_view(first), &ManualText::name) != kManual.end();
    if (!known && !first.starts_with('-')) {
        return usage_error(cat("there is no verb ", quote_text(first)), "");
    }
    // CLI11 throws what it finds, and takes its arguments from the end.
    std::ranges::reverse(arguments);
    try {
        line.app.parse(arguments);
    } catch (const CLI::CallForHelp&) {
        return Shown{known ? manual_page(*line.of(first), manual_of(first))
                           : manual_overview(kManual)};
    } catch (const CLI::ParseError& error) {
        return usage_error(without_controls(repair_utf8(error.what())), known ? first : "");
    }
    if (line.version) return Shown{cat("millrace ", MILLRACE_VERSION, "\n")};
    if (line.app.get_subcommands().empty()) return Shown{manual_overview(kManual)};
    return verb_of(line, *line.app.get_subcommands().front(), environment);
}

}  // namespace millrace
