// Writes a synthetic checkpoint of any shape: every byte follows from (seed, tensor name, index), see
// tests/golden/model/README.md. Configs of Flash's true dimensions lie beside this file.
//
//     synth CONFIG.json OUT_DIR [--shards N] [--threads N] [--tokenizer DIR]

#include <charconv>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/base/strings.h"
#include "tests/support/synthetic_writer.h"

namespace millrace::test {
namespace {

constexpr const char* kUsage =
    "usage: synth CONFIG.json OUT_DIR [--shards N] [--threads N] [--tokenizer DIR]\n";

struct Arguments {
    std::vector<Path> paths;  // the config, the directory to write
    SyntheticOrder order;
    Path tokenizer;  // empty: none is copied
};

std::optional<Arguments> read_arguments(int count, char** words) {
    Arguments out;
    for (int i = 1; i < count; ++i) {
        const std::string_view word = words[i];
        if (!word.starts_with("--")) {
            out.paths.emplace_back(word);
            continue;
        }
        if (++i == count) return std::nullopt;
        const std::string_view value = words[i];
        if (word == "--tokenizer") {
            out.tokenizer = value;
        } else if (word == "--shards" || word == "--threads") {
            int& number = word == "--shards" ? out.order.shards : out.order.threads;
            const auto read = std::from_chars(value.data(), value.data() + value.size(), number);
            if (read.ec != std::errc() || read.ptr != value.data() + value.size()) return {};
        } else {
            return std::nullopt;
        }
    }
    if (out.paths.size() != 2) return std::nullopt;
    return out;
}

Status copy_tokenizer(const Path& from, const Path& to) {
    for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
        std::error_code failed;
        std::filesystem::copy_file(from / name, to / name,
                                   std::filesystem::copy_options::overwrite_existing, failed);
        if (failed) return io_error("copying", from / name, failed.value());
    }
    return {};
}

Result<SyntheticTotals> write(const Arguments& arguments) {
    const std::string text = TRY(read_text_file(arguments.paths[0], 1 << 20));
    const auto config = Json::parse_unique(text);
    if (!config.ok()) return config.error().in(arguments.paths[0].string());
    const SyntheticTotals totals =
        TRY(write_synthetic_stream(*config, arguments.paths[1], arguments.order));
    if (!arguments.tokenizer.empty()) {
        TRY(copy_tokenizer(arguments.tokenizer, arguments.paths[1]));
    }
    return totals;
}

int run(int count, char** words) {
    const auto arguments = read_arguments(count, words);
    if (!arguments) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    SystemClock clock;
    const int64_t begun_ns = clock.now_ns();
    const auto totals = write(*arguments);
    if (!totals.ok()) {
        std::fprintf(stderr, "synth: %s\n", totals.error().message.c_str());
        return 1;
    }
    const double seconds = static_cast<double>(clock.now_ns() - begun_ns) * 1e-9;
    std::printf("%s: %zu tensors, %llu bytes in %.1f s\n", arguments->paths[1].c_str(),
                totals->tensors, static_cast<unsigned long long>(totals->bytes), seconds);
    return 0;
}

}  // namespace
}  // namespace millrace::test

int main(int count, char** words) { return millrace::test::run(count, words); }
