// kernels/gpu.h in a build without CUDA.

#include "kernels/gpu.h"

namespace millrace {
namespace {

Error no_cuda() {
    return {ErrorCode::kUnsupported,
            "this build has no CUDA kernels: nvcc of CUDA 13 was not there when it was made; "
            "install the toolkit and build again, or take --ops cpu"};
}

}  // namespace

Result<std::vector<Gpu>> list_gpus() { return no_cuda(); }
Result<Gpu> find_gpu(int /*gpu*/) { return no_cuda(); }
uint64_t gpu_ops_bytes(const OpsSizes& /*sizes*/) { return 0; }
Result<std::unique_ptr<GpuOps>> make_cuda_ops(int /*gpu*/, const OpsSizes& /*sizes*/) {
    return no_cuda();
}

}  // namespace millrace
