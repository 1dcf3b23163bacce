#include "app/gpu_options.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "app/size.h"
#include "core/base/strings.h"

namespace millrace {

namespace {

Error no_list(const std::string& text) {
    return {ErrorCode::kInvalid,
            cat("--gpu takes the number of a GPU, or several with commas between, as in 0,1; this "
                "is ",
                quote_text(text))};
}

// As it is written without sign or zeros in front.
std::optional<int> number_of(std::string_view text) {
    int out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc() || end != text.data() + text.size() || out < 0) return std::nullopt;
    return out;
}

}  // namespace

void add_gpu_options(CLI::App& app, const std::string& group, RawGpuOptions& raw) {
    app.add_option("--gpu", raw.numbers,
                   "With --ops cuda: which GPU, counted from 0 as nvidia-smi does, or several "
                   "(0,1): then the model's layers are split over them in this order, each GPU "
                   "with the experts of its own. Default: 0.")
        ->type_name("N[,N]")
        ->group(group);
    app.add_option("--vram-budget", raw.budget,
                   "With --ops cuda: how much of the GPU's memory may be taken (20G), of several "
                   "of each one's. What the model's dense weights, KV state and activations leave "
                   "of it holds experts. Default: what is free, but for 512 MiB.")
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

Result<std::vector<int>> parse_gpus(const std::string& text) {
    std::vector<int> out;
    std::string_view rest = text;
    while (true) {
        const size_t comma = rest.find(',');
        const std::optional<int> number = number_of(rest.substr(0, comma));
        if (!number) return no_list(text);
        if (std::ranges::find(out, *number) != out.end()) {
            return Error{ErrorCode::kInvalid, cat("--gpu names GPU ", *number,
                                                  " twice; each holds other layers of the model")};
        }
        out.push_back(*number);
        if (comma == std::string_view::npos) return out;
        rest.remove_prefix(comma + 1);
    }
}

Status finish_gpu_options(const CLI::App& app, const RawGpuOptions& raw, RuntimeOptions& runtime) {
    for (const char* flag : {"--gpu", "--vram-budget", "--gpu-misses"}) {
        if (runtime.ops == "cuda" || app.count(flag) == 0) continue;
        return Error{ErrorCode::kInvalid, cat(flag, " belongs to --ops cuda")};
    }
    if (app.count("--gpu") > 0) runtime.gpu.numbers = TRY(parse_gpus(raw.numbers));
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
