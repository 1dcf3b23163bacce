#pragma once
// The ops that a program of tests holds against the reference: it links fast_ops_cpu.cpp, or tests/cuda/fast_ops_cuda.cpp.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace millrace {

struct FastOps {
    std::string name;
    std::function<std::unique_ptr<Ops>(Pool& pool)> make;
    // With how many threads a row's company is worth a test.
    std::vector<int> threads = {1, 2, 3};
};
[[nodiscard]] std::vector<FastOps> fast_ops(Activations activations);

}  // namespace millrace
