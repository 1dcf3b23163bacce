// The CUDA ops in the simulator, in two orders of execution: in row, and shuffled. They have one arithmetic for activations.

#include "tests/cuda/staged_cuda_ops.h"
#include "tests/kernels/fast_ops.h"

namespace millrace {

std::vector<FastOps> fast_ops(Activations activations) {
    std::vector<FastOps> out;
    if (activations != Activations::kFp8) return out;
    for (const uint64_t seed : {uint64_t{0}, uint64_t{2}}) {
        FastOps one{"cuda, order " + std::to_string(seed),
                    [seed](Pool& pool) { return test::make_staged_cuda_ops(pool, {.seed = seed}); },
                    {}};
        // Threads of the host change nothing; of company, one order is enough.
        if (seed == 2) one.threads = {1};
        out.push_back(std::move(one));
    }
    return out;
}

}  // namespace millrace
