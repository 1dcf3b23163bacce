#include "app/bench_options.h"

#include <CLI/CLI.hpp>

namespace millrace {

void add_bench_flags(CLI::App& verb, BenchOptions& options) {
    const std::string group = "BENCHMARK";
    verb.add_option("what", options.what)
        ->type_name("WHAT")
        ->required()
        ->check(CLI::IsMember({"machine", "ops", "model", "archive", "io", "stream", "desktop"}));
    verb.add_option("--repeat", options.repeat,
                    "Runs of each figure; their median is shown. Default: 5.")
        ->type_name("N")
        ->check(CLI::Range(1, 1000))
        ->group(group);
    verb.add_option("--only", options.only,
                    "Only figures whose name begins so: gemv, peak.int8. Default: all.")
        ->type_name("NAME")
        ->group(group);
    verb.add_option("--file", options.file,
                    "What drive.read reads. Default: the shards of the model.")
        ->type_name("FILE")
        ->group(group);
    verb.add_option("--contexts", options.contexts,
                    "Lengths of the conversation at which a token is timed; what the model does "
                    "not allow is left out. Default: 1024,65536,262144.")
        ->type_name("TOKENS,…")
        ->delimiter(',')
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
        ->group(group);
    verb.add_option("--prefill", options.prefill,
                    "Tokens of the prompt that is timed; 0 for none. Default: 2048.")
        ->type_name("TOKENS")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
        ->group(group);
    verb.add_flag("--tiny", options.tiny,
                  "Sizes that prove that everything runs, and say nothing about speed.")
        ->group(group);
    verb.add_flag("--json", options.json, "One line of JSON for every figure.")->group(group);
}

}  // namespace millrace
