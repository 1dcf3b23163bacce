#pragma once
// A GPU's limits, and how near each operation comes to them: what `bench machine` and `bench ops --ops cuda` add where
// there is one. What is measured goes through kernels/ops.h alone, so that tests can put any ops in the GPU's place.

#include <optional>
#include <span>

#include "app/bench.h"
#include "kernels/gpu.h"

namespace millrace {

// Bytes a second.
struct GpuRates {
    double vram_copy = 0;             // read and written, within the GPU's memory
    double to_gpu = 0, from_gpu = 0;  // from and to the host's memory that was given
};
// `host` holds sizes.link_bytes at least; pinned, it is what PCIe allows.
[[nodiscard]] Result<GpuRates> measure_rates(const BenchSetting& setting, Ops& ops,
                                             std::span<std::byte> host);
// Of GPU number setting.gpu, with pinned memory. kUnsupported where there is none (list_gpus).
[[nodiscard]] Result<GpuRates> gpu_rates(const BenchSetting& setting);

// Rows vram.copy, pcie.to and pcie.from; where there is no GPU a note that says why.
[[nodiscard]] Status bench_gpu(const BenchSetting& setting, BenchReport& report);

// Multiply-adds a second of bf16 products on tensor cores with fp32 sums, by compute capability, multiprocessors and clock;
// absent where one of them is not known.
[[nodiscard]] std::optional<double> bf16_macs(const Gpu& gpu);

// What operations are held against: bytes and multiply-adds a second.
struct GpuLimits {
    double bytes = 0;
    std::optional<double> macs;
};
// The operations of a token and of a prompt at the shapes of the real model, through any ops.
[[nodiscard]] Status bench_ops_on(const BenchSetting& setting, Ops& ops, const GpuLimits& limits,
                                  BenchReport& report);
// The largest shapes of those.
[[nodiscard]] OpsSizes bench_ops_sizes(const BenchSizes& sizes);
// On GPU number setting.gpu. kUnsupported where there is none.
[[nodiscard]] Status bench_gpu_ops(const BenchSetting& setting, BenchReport& report);

}  // namespace millrace
