#pragma once
// The GPUs of this machine and ops on one of them. A build without CUDA has neither, and says so.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "kernels/gpu_experts.h"
#include "kernels/ops.h"

namespace millrace {

struct Gpu {
    std::string name;
    int major = 0, minor = 0;  // compute capability
    uint64_t memory_bytes = 0;
    uint64_t free_bytes = 0;  // just now; other programs use it too
    int multiprocessors = 0;  // these two: 0 where the driver does not say
    double clock_hz = 0;      // of multiprocessors, at most
};
// By index. kUnsupported, with one sentence that says what to do, where the build, the driver or a GPU is missing, or the
// driver is older than the toolkit. Starts the runtime: the first call takes a second or so.
[[nodiscard]] Result<std::vector<Gpu>> list_gpus();

// GPU number `gpu`. Fails as list_gpus does, with kInvalid where there is no such number, with kUnsupported where its
// compute capability is below 8.0.
[[nodiscard]] Result<Gpu> find_gpu(int gpu);

// The largest shapes that ops will be asked for: they allocate scratch for them.
struct OpsSizes {
    int64_t rows = 1;
    int64_t hidden = 0;
    int64_t inner = 0;  // of an expert
    int64_t heads = 0;
    int64_t keys = 0;        // of a row's attention
    int64_t entries = 0;     // that the indexer scores
    int64_t picks = 0;       // of a row
    int64_t vocabulary = 0;  // of logits that a token is chosen from
};
// What ops of these sizes allocate on the GPU by themselves. 0 in builds without CUDA.
[[nodiscard]] uint64_t gpu_ops_bytes(const OpsSizes& sizes);

class GpuOps : public Ops {
public:
    // Experts in this GPU's memory, with no slots at first. The ops must outlive them.
    [[nodiscard]] virtual Result<std::unique_ptr<GpuExperts>> make_experts(
        const GpuExpertSizes& sizes) = 0;
};
// Ops on GPU number `gpu`. Fails as find_gpu does; kCapacity where the scratch does not fit.
[[nodiscard]] Result<std::unique_ptr<GpuOps>> make_cuda_ops(int gpu, const OpsSizes& sizes);

}  // namespace millrace
