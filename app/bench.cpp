#include "app/bench.h"

#include <unistd.h>

#include <algorithm>

#include "app/bench_archive.h"
#include "app/bench_desktop.h"
#include "app/bench_gpu.h"
#include "app/bench_model.h"
#include "app/bench_stream.h"
#include "app/verbs.h"
#include "core/base/machine.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

uint64_t memory_bytes() {
    const long pages = ::sysconf(_SC_PHYS_PAGES);
    const long page_bytes = ::sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page_bytes <= 0) return 0;
    return static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes);
}

Error no_home(std::string_view what) {
    return {ErrorCode::kInvalid, cat("there is no home directory for ", what,
                                     " that is measured; set HOME or XDG_STATE_HOME")};
}

Status run_bench(const BenchOptions& options, BenchReport& report) {
    SystemClock clock;
    const int threads =
        options.model.runtime.threads > 0 ? options.model.runtime.threads : usable_threads();
    const BenchSetting setting{
        .timing = {.clock = clock,
                   .repeat = options.repeat,
                   .least_ns = options.tiny ? 0 : BenchTiming{clock}.least_ns},
        .sizes = options.tiny ? BenchSizes::tiny() : BenchSizes::full(memory_bytes()),
        .isa = options.model.runtime.cpu.isa,
        .threads = threads,
        .gpu = options.model.runtime.gpu.numbers.front()};
    if (options.what == "ops") {
        return options.model.runtime.ops == "cuda" ? bench_gpu_ops(setting, report)
                                                   : bench_ops(setting, report);
    }
    if (options.what == "model") {
        return bench_model(
            setting,
            {.model = options.model, .contexts = options.contexts, .prefill = options.prefill},
            report);
    }
    if (options.what == "archive") {
        if (options.state_directory.empty()) {
            return no_home("the archive");
        }
        return bench_archive(
            setting,
            {.model = options.model,
             .tokens = options.tiny ? 256 : options.prefill,
             .directory = options.state_directory / cat("bench-archive-", ::getpid())},
            report);
    }
    if (options.what == "desktop") {
        if (options.state_directory.empty()) return no_home("the chats of the window");
        return bench_desktop(
            {.model = options.model,
             .directory = options.state_directory / cat("bench-desktop-", ::getpid()),
             .busy_s = options.tiny ? 0.2 : 10,
             .idle_s = options.tiny ? 0.2 : 6},
            report);
    }
    if (options.what == "io") return bench_io(setting, options.model, report);
    if (options.what == "stream") {
        constexpr int64_t kPromptMax = 512;
        return bench_stream(setting, options.model, std::min(options.prefill, kPromptMax), report);
    }
    std::vector<Path> files;
    if (!options.file.empty()) {
        files.emplace_back(options.file);
    } else {
        files = TRY(weight_files(options.model.directory));
    }
    return bench_machine(setting, files, report);
}

}  // namespace

Result<std::vector<Path>> weight_files(const Path& directory) {
    std::vector<Path> files;
    std::error_code failed;
    // A name that is no directory holds none.
    if (!std::filesystem::is_directory(directory, failed)) return files;
    for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
        const Path kind = entry.path().extension();
        if (kind == ".safetensors" || kind == ".bin")
            files.push_back(entry.path());  // .bin: of a store
    }
    if (failed) return io_error("listing", directory, failed.value());
    std::ranges::sort(files);
    return files;
}

int bench_verb(const BenchOptions& options, Terminal& terminal) {
    BenchReport report(&terminal, options.json ? BenchFormat::kJson : BenchFormat::kTable,
                       options.only);
    Status status = run_bench(options, report);
    const Status written = terminal.flush();
    if (status.ok()) status = written;
    if (!status.ok()) terminal.error(status.error().message);
    return status.ok() ? 0 : kExitFailed;
}

}  // namespace millrace
