#pragma once
// CUDA's ops for tests whose tensors lie in the host's memory: every argument is copied to memory of the GPU of exactly its
// size and at the same distance from a multiple of 16, every result back. With the simulator as the GPU, whatever it found
// wrong fails the test.

#include <memory>

#include "kernels/ops.h"
#include "tests/support/cuda_sim/simulator.h"

namespace millrace::test {

// What CUDA does not have yet (kernels/cuda/cuda_ops.h) is the reference's.
[[nodiscard]] std::unique_ptr<Ops> make_staged_cuda_ops(Pool& pool,
                                                        const cuda_sim::Options& options);

// CudaOps::norm_quantise; `staged` is one of the above.
void norm_quantise(Ops& staged, MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                   MatrixView<Bf16> out, Fp8Rows quantised);

}  // namespace millrace::test
