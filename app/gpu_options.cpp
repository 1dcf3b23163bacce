#include "app/gpu_options.h"

#include "app/size.h"
#include "core/base/strings.h"

namespace millrace {

void add_gpu_options(CLI::App& app, const std::string& group, GpuOptions& gpu, RawGpuOptions& raw) {
    app.add_option("--gpu", gpu.number,
                   "With --ops cuda: which GPU, counted from 0 as nvidia-smi does. Default: 0.")
        ->type_name("N")
        ->group(group);
    app.add_option("--vram-budget", raw.budget,
                   "With --ops cuda: how much of the GPU's memory may be taken (20G). What the "
                   "model's dense weights, KV state and activations leave of it holds experts. "
                   "Default: what is free, but for 512 MiB.")
        ->type_name("SIZE")
        ->group(group);
    app.add_option("--gpu-misses", raw.misses,
                   "With --ops cuda: who computes experts that are not in the GPU's memory: cpu, "
                   "copy (the GPU, after they were copied: answers then never depend on what lies "
                   "where, to the last bit) or auto (as measured when the model is opened). "
                   "Default: auto.")
        ->type_name("NAME")
        ->check(CLI::IsMember({"auto", "cpu", "copy"}))
        ->group(group);
}

Status finish_gpu_options(const CLI::App& app, const RawGpuOptions& raw, RuntimeOptions& runtime) {
    for (const char* flag : {"--gpu", "--vram-budget", "--gpu-misses"}) {
        if (runtime.ops == "cuda" || app.count(flag) == 0) continue;
        return Error{ErrorCode::kInvalid, cat(flag, " belongs to --ops cuda")};
    }
    if (app.count("--vram-budget") > 0) {
        const Result<uint64_t> budget = parse_size(raw.budget);
        if (!budget.ok()) return budget.error().in("--vram-budget");
        runtime.gpu.budget_bytes = *budget;
    }
    runtime.gpu.misses = raw.misses == "cpu"    ? GpuMisses::kCpu
                         : raw.misses == "copy" ? GpuMisses::kCopy
                                                : GpuMisses::kAuto;
    return {};
}

}  // namespace millrace
