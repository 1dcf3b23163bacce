#pragma once
// The flags that say how a GPU is used.

#include <CLI/CLI.hpp>
#include <string>

#include "core/base/result.h"
#include "core/engine/runtime.h"

namespace millrace {

// As they were written.
struct RawGpuOptions {
    std::string budget, misses = "auto";
};

// Both must live as long as the app parses. `group` is where help shows them.
void add_gpu_options(CLI::App& app, const std::string& group, GpuOptions& gpu, RawGpuOptions& raw);

// What was written into `runtime`; kInvalid for a size that is none, and for flags of a GPU without one.
[[nodiscard]] Status finish_gpu_options(const CLI::App& app, const RawGpuOptions& raw,
                                        RuntimeOptions& runtime);

}  // namespace millrace
