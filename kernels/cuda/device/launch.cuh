#pragma once
// Starting a kernel: kernels take one argument, their task.

#include <cuda_runtime.h>

#include "core/base/check.h"
#include "kernels/cuda/config.h"
#include "kernels/cuda/stream.h"

namespace millrace::cuda {

// Every thread begins with GPU 0 as its own, and has another one since its last call for that.
inline void use_device(Stream stream) { static_cast<void>(cudaSetDevice(stream.device)); }

// A launch that fails leaves its error behind as the last one; whoever waits for results asks for that (CudaOps::read).
template <auto kKernel, class Task>
void launch(const LaunchConfig& config, Stream stream, const Task& task) {
    const dim3 blocks(config.blocks.x, config.blocks.y, config.blocks.z);
    if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
    use_device(stream);
#if defined(__CUDACC__)
    // Beyond this a kernel has to be allowed its shared memory.
    if (config.shared_bytes > 48 * 1024) {
        static_cast<void>(cudaFuncSetAttribute(reinterpret_cast<const void*>(kKernel),
                                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                                               static_cast<int>(config.shared_bytes)));
    }
    void* arguments[] = {const_cast<Task*>(&task)};
    static_cast<void>(cudaLaunchKernel(reinterpret_cast<const void*>(kKernel), blocks,
                                       dim3(config.threads), arguments, config.shared_bytes,
                                       static_cast<cudaStream_t>(stream.handle)));
#else
    cuda_sim::launch<kKernel>(blocks, dim3(config.threads), config.shared_bytes,
                              static_cast<cudaStream_t>(stream.handle), task);
#endif
}

// The dynamic shared memory of the block.
template <class T>
__device__ inline T* dynamic_shared() {
#if defined(__CUDACC__)
    extern __shared__ uint4 shared_bytes[];
    return reinterpret_cast<T*>(shared_bytes);
#else
    return static_cast<T*>(cuda_sim::dynamic_shared());
#endif
}

}  // namespace millrace::cuda
