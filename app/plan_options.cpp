#include "app/plan_options.h"

#include <CLI/CLI.hpp>

#include "app/size.h"

namespace millrace {
namespace {

// A flag whose text one of our own parsers reads; what that refuses is checked, and so said, first.
template <class Value, class Parse>
CLI::Option* add_parsed(CLI::App& verb, const char* name, std::optional<Value>& value,
                        const Parse& parse, const char* type, const char* text) {
    const auto problem = [parse](const std::string& written) {
        const auto parsed = parse(written);
        return parsed.ok() ? std::string() : parsed.error().message;
    };
    const auto read = [&value, parse](const std::string& written) { value = *parse(written); };
    return verb.add_option_function<std::string>(name, read, text)->type_name(type)->check(problem);
}

}  // namespace

void add_plan_flags(CLI::App& verb, PlanOptions& options) {
    const std::string machine = "MACHINE", use = "USE";
    verb.add_option("model", options.model)->type_name("DIR|RELEASE")->required();
    add_parsed(verb, "--ram", options.ram_bytes, parse_size, "SIZE",
               "Memory of the machine. Default: this one's.")
        ->group(machine);
    add_parsed(verb, "--drive", options.drive_rate, parse_rate, "RATE",
               "What the drive reads a second, such as 7GB/s; G is 10⁹ bytes here, as on the box.")
        ->group(machine);
    add_parsed(verb, "--memory", options.memory_rate, parse_rate, "RATE",
               "What all threads together read from memory a second.")
        ->group(machine);
    add_parsed(verb, "--macs", options.mac_rate, parse_rate, "RATE",
               "Multiply-adds of bf16 dot products a second, such as 500G.")
        ->group(machine);
    add_parsed(verb, "--vram", options.vram_bytes, parse_size, "SIZE",
               "Memory of a GPU. Default: of the one that is here; 0 plans without it.")
        ->group(machine);
    add_parsed(verb, "--vram-bandwidth", options.vram_rate, parse_rate, "RATE",
               "What the GPU reads from its memory a second, as its maker says.")
        ->group(machine);
    add_parsed(verb, "--pcie", options.pcie_rate, parse_rate, "RATE",
               "What is copied to the GPU a second, such as 25GB/s.")
        ->group(machine);
    add_parsed(verb, "--gpu-macs", options.gpu_mac_rate, parse_rate, "RATE",
               "Multiply-adds of bf16 products on the GPU a second: half of its FLOPS.")
        ->group(machine);
    verb.add_option("--threads", options.threads,
                    "Threads that compute, where something is measured. Default: all.")
        ->type_name("N")
        ->check(CLI::Range(1, 1024))
        ->group(machine);
    verb.add_option("--context", options.context,
                    "Length of the conversation, in tokens. Default: 32768.")
        ->type_name("TOKENS")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
        ->group(use);
    verb.add_option("--prompt", options.prompt, "Length of the prompt, in tokens. Default: 2048.")
        ->type_name("TOKENS")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
        ->group(use);
    verb.add_option("--prefill-chunk", options.prefill_chunk,
                    "Tokens of a prompt computed together. Default: 512.")
        ->type_name("TOKENS")
        ->check(CLI::Range(1, 65536))
        ->group(use);
    verb.add_option(
            "--hits", options.hit_rate,
            "Share of experts found in memory, 0 to 1. Default: by --trace, or what is usual.")
        ->type_name("SHARE")
        ->check(CLI::Range(0.0, 1.0))
        ->group(use);
    verb.add_option("--trace", options.trace,
                    "A trace of the model (millrace trace): the share is what our cache would have "
                    "found on it.")
        ->type_name("FILE")
        ->group(use);
    verb.add_option("--experts", options.experts,
                    "Format of the experts: f4, q3s, q2s or q2v. Default: as they are.")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"f4", "q3s", "q2s", "q2v"}))
        ->group(use);
    verb.add_flag("--json", options.json, "One line of JSON.")->group(use);
}

}  // namespace millrace
