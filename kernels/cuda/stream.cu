#include "kernels/cuda/stream.h"

#include <cuda_runtime.h>

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/status.cuh"

namespace millrace::cuda {

Result<OwnStream> OwnStream::create(int device) {
    use_device({nullptr, device});
    cudaStream_t handle = nullptr;
    TRY(status_of(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking),
                  "making a stream of the GPU"));
    OwnStream out;
    out.stream_ = {handle, device};
    return Result<OwnStream>(std::move(out));
}

OwnStream::~OwnStream() {
    if (stream_.handle == nullptr) return;
    static_cast<void>(cudaStreamDestroy(static_cast<cudaStream_t>(stream_.handle)));
}

}  // namespace millrace::cuda
