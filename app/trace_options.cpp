#include "app/trace_options.h"

#include <CLI/CLI.hpp>

#include "core/base/strings.h"

namespace millrace {
namespace {

const char* const kFiles = "INPUT AND OUTPUT";

}  // namespace

void add_trace_flags(CLI::App& verb, TraceOptions& options) {
    verb.add_option("prompts", options.prompts)->type_name("PROMPT");
    verb.add_option("--out", options.out, "The trace to write. Needed.")
        ->type_name("FILE")
        ->required()
        ->group(kFiles);
    verb.add_option("--files", options.files,
                    "Texts to read, as eval takes them; may be given several times.")
        ->allow_extra_args(false)
        ->type_name("FILE")
        ->group(kFiles);
    verb.add_option("--texts", options.texts, "Reads the first N texts of a file. Default: all.")
        ->type_name("N")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
        ->group(kFiles);
    verb.add_option("--prefill", options.prefill,
                    "Tokens of a text that are read together, as a prompt. Default: 0.")
        ->type_name("N")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
        ->group(kFiles);
    verb.add_option("--max-tokens", options.answer_max,
                    cat("Of an answer to a PROMPT. Default: ", options.answer_max, "."))
        ->type_name("TOKENS")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
        ->group(kFiles);
}

void add_replay_flags(CLI::App& verb, ReplayOptions& options) {
    verb.add_option("traces", options.traces)->type_name("TRACE");
    verb.add_option("--slots", options.slots,
                    "Sizes of the cache: a number of experts, or a share of all. Default: "
                    "6%,12%,25%,50%.")
        ->type_name("N,…")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->group(kFiles);
    verb.add_option("--synthetic", options.synthetic,
                    "Instead of a TRACE: a made-up one with topics that drift, from this seed; "
                    "43 layers of 256 experts.")
        ->type_name("SEED")
        ->group(kFiles);
    verb.add_option("--tokens", options.tokens,
                    cat("Of the made-up trace. Default: ", options.tokens, "."))
        ->type_name("TOKENS")
        ->check(CLI::Range(int64_t{1}, int64_t{100'000}))
        ->group(kFiles);
    verb.add_flag("--json", options.json, "One line of JSON for every row.")->group(kFiles);
}

}  // namespace millrace
