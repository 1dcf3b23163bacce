#include "app/store_options.h"

#include <CLI/CLI.hpp>

#include "app/size.h"

namespace millrace {
namespace {

constexpr const char* kFiles = "INPUT AND OUTPUT";

std::string size_problem(const std::string& text) {
    const Result<uint64_t> size = parse_size(text);
    return size.ok() ? std::string() : size.error().message;
}

}  // namespace

void add_pack_flags(CLI::App& verb, PackVerbOptions& options) {
    verb.add_option("source", options.source)->required()->type_name("SRC");
    verb.add_option("destination", options.destination)->required()->type_name("DST");
    verb.add_option("--experts", options.experts,
                    "How the experts are stored: released (as SRC has them); f4 (4.25 bits a "
                    "weight, as most are released: nothing is lost); q3s (3.25 bits); q2s (2.25 "
                    "bits); q2v (2.25 bits, nearer to the original and slower); auto (the best "
                    "mixture for --size). Default: released.")
        ->type_name("FORMAT")
        ->group(kFiles);
    verb.add_option_function<std::string>(
            "--size",
            [&options](const std::string& text) { options.size_bytes = *parse_size(text); },
            "With --experts auto: the bytes that the store may take, dense weights included: 90G; "
            "K, M, G and T are powers of 1024.")
        ->type_name("SIZE")
        ->check(size_problem)
        ->group(kFiles);
    verb.add_option("--also", options.also,
                    "Another directory, on another drive: the experts are spread over DST and "
                    "these, to be read from all drives at once. May be given several times.")
        ->type_name("DIR")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group(kFiles);
}

void add_verify_flags(CLI::App& verb, VerifyVerbOptions& options) {
    verb.add_option("directory", options.directory)->required()->type_name("DIR");
    verb.add_option_function<std::string>(
            "--repair", [&options](const std::string& text) { options.repair = text; },
            "Makes what is broken again from SRC, the checkpoint or store that DIR was made from, "
            "and nothing else.")
        ->type_name("SRC")
        ->group(kFiles);
}

}  // namespace millrace
