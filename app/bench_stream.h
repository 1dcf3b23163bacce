#pragma once
// Experts from the drive: how near the reader comes to what the drive gives (bench io), and how near whole tokens do whose
// experts are not in memory (bench stream).

#include "app/bench.h"
#include "app/options.h"

namespace millrace {

[[nodiscard]] Status bench_io(const BenchSetting& setting, const ModelOptions& model,
                              BenchReport& report);
// `prefill`: tokens of the prompt.
[[nodiscard]] Status bench_stream(const BenchSetting& setting, const ModelOptions& model,
                                  int64_t prefill, BenchReport& report);

}  // namespace millrace
