#pragma once
// The flags that say which GPUs are used, and how.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/engine/runtime.h"

namespace millrace {

// As they were written.
struct RawGpuOptions {
    std::string numbers, budget, misses = "auto";
};

// `raw` must live as long as the app parses. `group` is where help shows them.
void add_gpu_options(CLI::App& app, const std::string& group, RawGpuOptions& raw);

// "1", or several with commas between: "0,1". kInvalid, with a sentence, for anything else, and for a number twice.
[[nodiscard]] Result<std::vector<int>> parse_gpus(const std::string& text);

// What was written into `runtime`; kInvalid for a size or a list that is none, and for flags of a GPU without one.
[[nodiscard]] Status finish_gpu_options(const CLI::App& app, const RawGpuOptions& raw,
                                        RuntimeOptions& runtime);

}  // namespace millrace
