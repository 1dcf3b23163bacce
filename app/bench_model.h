#pragma once
// Whole tokens: how fast a model prefills and decodes, against what its bytes and multiply-adds cost at least.

#include <cstdint>
#include <vector>

#include "app/bench.h"
#include "app/options.h"

namespace millrace {

struct ModelBench {
    ModelOptions model;
    std::vector<int64_t> contexts;  // lengths at which a token is timed
    int64_t prefill = 0;            // tokens of the prompt; 0: none
};

[[nodiscard]] Status bench_model(const BenchSetting& setting, const ModelBench& bench,
                                 BenchReport& report);

}  // namespace millrace
