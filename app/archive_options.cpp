#include "app/archive_options.h"

#include <CLI/CLI.hpp>

#include "app/size.h"

namespace millrace {
namespace {

constexpr const char* kGroup = "KV ARCHIVE";

void add_budget(CLI::App& verb, ArchiveFlags& flags, const char* text) {
    const auto problem = [](const std::string& written) {
        const Result<uint64_t> parsed = parse_size(written);
        return parsed.ok() ? std::string() : parsed.error().message;
    };
    verb.add_option_function<std::string>(
            "--kv-budget",
            [&flags](const std::string& written) { flags.budget_bytes = *parse_size(written); },
            text)
        ->type_name("SIZE")
        ->check(problem)
        ->group(kGroup);
}

}  // namespace

void add_archive_flags(CLI::App& verb, ArchiveFlags& flags) {
    verb.add_option("--kv-archive", flags.directory,
                    "Where computed prompts are kept, encrypted, so that the same beginning is "
                    "not computed again; off keeps nothing. Default: kv in the state directory "
                    "(~/.local/state/millrace), which also has the key. See millrace cache.")
        ->type_name("DIR|off")
        ->group(kGroup);
    add_budget(verb, flags,
               "What the archive may take on the drive; the longest unused goes first. Default: "
               "20G, at most a tenth of the free space.");
}

void add_cache_flags(CLI::App& verb, CacheOptions& options, ArchiveFlags& flags) {
    verb.add_option("what", options.what)
        ->type_name("WHAT")
        ->required()
        ->check(CLI::IsMember({"list", "prune", "erase"}));
    verb.add_option("--kv-archive", flags.directory,
                    "Which archive. Default: kv in the state directory (~/.local/state/millrace).")
        ->type_name("DIR")
        ->group(kGroup);
    add_budget(verb, flags,
               "What prune leaves at most. Default: 20G, at most a tenth of the free "
               "space.");
}

ArchiveOptions archive_options(const ArchiveFlags& flags, const Path& state_directory) {
    ArchiveOptions options;
    options.state_directory = state_directory;
    options.budget_bytes = flags.budget_bytes;
    if (flags.directory == "off") {
        options.use = ArchiveOptions::Use::kOff;
    } else if (!flags.directory.empty()) {
        options.use = ArchiveOptions::Use::kChosen;
        options.directory = flags.directory;
    } else if (!state_directory.empty()) {
        options.directory = state_directory / "kv";
    }
    return options;
}

}  // namespace millrace
