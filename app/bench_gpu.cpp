#include "app/bench_gpu.h"

#include <algorithm>
#include <array>

#include "core/base/strings.h"

namespace millrace {
namespace {

// A quarter of what is free, at most, for each of the two pieces that are copied.
BenchSetting fitted(const BenchSetting& setting, const Gpu& gpu) {
    BenchSetting out = setting;
    out.sizes.vram_bytes = std::min(setting.sizes.vram_bytes, gpu.free_bytes / 4);
    out.sizes.link_bytes = std::min(setting.sizes.link_bytes, out.sizes.vram_bytes);
    out.sizes.weight_bytes = std::min(setting.sizes.weight_bytes, gpu.free_bytes / 4);
    return out;
}

// With pinned memory, on ops that are there.
Result<GpuRates> rates_of(const BenchSetting& setting, Ops& ops) {
    const PageBuffer host =
        TRY(PageBuffer::create(setting.sizes.link_bytes, HugePages::kIfGranted));
    const std::shared_ptr<void> pinned = TRY(ops.pin(host.bytes()));
    return measure_rates(setting, ops, host.bytes());
}

}  // namespace

Result<GpuRates> measure_rates(const BenchSetting& setting, Ops& ops, std::span<std::byte> host) {
    const uint64_t bytes = setting.sizes.vram_bytes, link = setting.sizes.link_bytes;
    const OpsMemory from = TRY(ops.allocate(std::max(bytes, link), HugePages::kNo));
    const OpsMemory to = TRY(ops.allocate(bytes, HugePages::kNo));
    Status failed;
    const auto note = [&](Status status) {
        if (failed.ok()) failed = std::move(status);
    };
    std::array<std::byte, 4> last{};
    const auto finish = [&] { note(ops.read(last.data(), from.bytes.data(), last.size())); };
    const auto rate = [&](uint64_t moved, const auto& body) {
        return static_cast<double>(moved) / seconds_a_call(setting.timing, body);
    };
    GpuRates rates;
    rates.to_gpu = rate(link, [&] {
        note(ops.write(from.bytes.data(), host.data(), link));
        finish();  // the host's memory is free before the last of it is there
    });
    rates.from_gpu = rate(link, [&] { note(ops.read(host.data(), from.bytes.data(), link)); });
    rates.vram_copy = rate(2 * bytes, [&] {
        ops.copy(to.bytes.data(), from.bytes.data(), bytes);
        finish();
    });
    TRY(std::move(failed));
    return rates;
}

Result<GpuRates> gpu_rates(const BenchSetting& setting) {
    const Gpu gpu = TRY(find_gpu(setting.gpu));
    const auto ops = TRY(make_cuda_ops(setting.gpu, {}));
    return rates_of(fitted(setting, gpu), *ops);
}

Status bench_gpu(const BenchSetting& setting, BenchReport& report) {
    constexpr std::array kRows = {"vram.copy", "pcie.to", "pcie.from"};
    if (std::ranges::none_of(kRows, [&](const char* row) { return report.wants(row); })) return {};
    const Result<Gpu> gpu = find_gpu(setting.gpu);
    if (!gpu.ok()) {
        report.note(cat("No GPU is measured: ", gpu.error().message));
        return {};
    }
    const GpuRates rates = TRY(gpu_rates(setting));
    const std::array values = {rates.vram_copy, rates.to_gpu, rates.from_gpu};
    for (size_t i = 0; i < kRows.size(); ++i) {
        if (report.wants(kRows[i])) report.add_rate(kRows[i], values[i] * 1e-9, "GB/s", {});
    }
    return {};
}

std::optional<double> bf16_macs(const Gpu& gpu) {
    struct Generation {
        int major, minor;
        double macs;  // a multiprocessor and cycle
    };
    // By NVIDIA's tables of peak rates with fp32 sums, dense: A100 312 TFLOPS, RTX 3090 71, RTX 4090 165, H200 989,
    // B200 2250, RTX 5090 209.
    constexpr std::array kGenerations = {Generation{8, 0, 1024},  Generation{8, 6, 256},
                                         Generation{8, 9, 256},   Generation{9, 0, 2048},
                                         Generation{10, 0, 4096}, Generation{12, 0, 256}};
    for (const Generation& one : kGenerations) {
        if (one.major != gpu.major || one.minor != gpu.minor) continue;
        if (gpu.multiprocessors <= 0 || gpu.clock_hz <= 0) return std::nullopt;
        return one.macs * gpu.multiprocessors * gpu.clock_hz;
    }
    return std::nullopt;
}

Status bench_gpu_ops(const BenchSetting& setting, BenchReport& report) {
    const Gpu gpu = TRY(find_gpu(setting.gpu));
    const BenchSetting here = fitted(setting, gpu);
    const auto ops = TRY(make_cuda_ops(setting.gpu, bench_ops_sizes(setting.sizes)));
    const GpuRates rates = TRY(rates_of(here, *ops));
    const GpuLimits limits{.bytes = rates.vram_copy, .macs = bf16_macs(gpu)};
    report.add_rate("vram.copy", limits.bytes * 1e-9, "GB/s", {});
    if (limits.macs) report.add_rate("peak.bf16", *limits.macs * 1e-9, "GMAC/s", {});
    return bench_ops_on(here, *ops, limits, report);
}

}  // namespace millrace
