// The machine that is planned for: what was given, and what is measured here.

#include <algorithm>

#include "app/bench.h"
#include "app/bench_gpu.h"
#include "app/plan.h"
#include "core/base/machine.h"
#include "core/base/strings.h"
#include "kernels/gpu.h"

namespace millrace {
namespace {

constexpr double kAssumedDrive = 3e9;
// Of a GPU that is described and not here: the link and the memory of common cards; and the products of the Ampere
// generation, which has the fewest for its bandwidth.
constexpr double kAssumedPcie = 25e9, kAssumedVram = 500e9, kAssumedMacsAByte = 35;

// The GPU that was described, or that is here; absent: neither.
Result<std::optional<PlanGpu>> plan_gpu(const PlanOptions& options, const BenchSetting& setting) {
    if (options.vram_bytes && *options.vram_bytes == 0) return std::optional<PlanGpu>();
    const Result<std::vector<Gpu>> here = list_gpus();
    const bool none = !here.ok() || here->empty();
    if (none && !options.vram_bytes) {
        if (!options.pcie_rate && !options.vram_rate && !options.gpu_mac_rate)
            return std::optional<PlanGpu>();
        return Error{ErrorCode::kInvalid,
                     cat("there is no GPU here to plan with; say --vram for another machine's (",
                         here.ok() ? "none is listed" : here.error().message, ")")};
    }
    PlanGpu gpu;
    if (!none) gpu.name = here->front().name;
    gpu.memory_bytes = options.vram_bytes ? *options.vram_bytes : here->front().memory_bytes;
    gpu.memory_source = options.vram_bytes ? "given" : "this machine's";
    const bool measures = !none && !(options.vram_rate && options.pcie_rate);
    GpuRates rates;
    if (measures) rates = TRY(gpu_rates(setting));
    const auto sourced = [&](const std::optional<double>& given, double measured, double assumed,
                             std::string_view why) {
        if (given) return Sourced{*given, "given"};
        if (measures) return Sourced{measured, "measured"};
        return Sourced{assumed, cat("assumed: ", why)};
    };
    gpu.vram = sourced(options.vram_rate, rates.vram_copy, kAssumedVram, "say --vram-bandwidth");
    gpu.pcie = sourced(options.pcie_rate, rates.to_gpu, kAssumedPcie, "that of PCIe 4 x16");
    gpu.macs = options.gpu_mac_rate
                   ? Sourced{*options.gpu_mac_rate, "given"}
                   : Sourced{gpu.vram.value * kAssumedMacsAByte,
                             cat("assumed: ", fixed(kAssumedMacsAByte, 0),
                                 " for a byte of its memory's bandwidth; say --gpu-macs")};
    return std::optional<PlanGpu>(std::move(gpu));
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

Result<PlanMachine> plan_machine(const PlanOptions& options, const Path& model_directory) {
    SystemClock clock;
    BenchSizes sizes;
    sizes.dram_bytes = std::min(uint64_t{512} << 20, machine_memory().available_bytes / 4);
    sizes.drive_bytes = uint64_t{1} << 30;
    sizes.vram_bytes = uint64_t{256} << 20;
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
    machine.gpu = TRY(plan_gpu(options, setting));
    return machine;
}

}  // namespace millrace
