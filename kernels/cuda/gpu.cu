// kernels/gpu.h with CUDA: what the driver says, in sentences.

#include <cuda_runtime.h>

#include "core/base/strings.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device/status.cuh"
#include "kernels/gpu.h"

namespace millrace {
namespace {

constexpr int kCapabilityMin = 8;

std::string version_text(int version) {
    return cat(version / 1000, ".", version % 1000 / 10);
}

Status check_driver() {
    int driver = 0, runtime = 0;
    static_cast<void>(cudaDriverGetVersion(&driver));
    static_cast<void>(cudaRuntimeGetVersion(&runtime));
    if (driver == 0) {
        return Error{ErrorCode::kUnsupported,
                     "there is no NVIDIA driver on this machine; install one for CUDA " +
                         version_text(runtime) + " or newer, or take --ops cpu"};
    }
    // Drivers run programs of every minor version of their own CUDA and of older ones.
    if (driver / 1000 < runtime / 1000) {
        return Error{ErrorCode::kUnsupported,
                     cat("the NVIDIA driver is for CUDA ", version_text(driver),
                         " and this program needs ", version_text(runtime),
                         "; update the driver, or take --ops cpu")};
    }
    return {};
}

cuda::CudaOptions options_of(const OpsSizes& sizes, cuda::Stream stream) {
    return {.stream = stream,
            .rows_max = sizes.rows,
            .hidden_max = sizes.hidden,
            .inner_max = sizes.inner,
            .heads_max = sizes.heads,
            .keys_max = sizes.keys,
            .entries_max = sizes.entries,
            .picks_max = sizes.picks,
            .vocabulary_max = sizes.vocabulary};
}

}  // namespace

Result<std::vector<Gpu>> list_gpus() {
    TRY(check_driver());
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) {
        return Error{ErrorCode::kUnsupported,
                     cat("the NVIDIA driver shows no GPU (",
                         error == cudaSuccess ? "it counts none" : cudaGetErrorString(error),
                         "); see whether nvidia-smi lists one and CUDA_VISIBLE_DEVICES hides it, "
                         "or take --ops cpu")};
    }
    int own = 0;
    TRY(cuda::status_of(cudaGetDevice(&own), "asking for the GPU"));
    std::vector<Gpu> out;
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp properties{};
        TRY(cuda::status_of(cudaGetDeviceProperties(&properties, i), "asking for the GPU"));
        TRY(cuda::status_of(cudaSetDevice(i), "choosing the GPU"));
        size_t left = 0, all = 0;
        TRY(cuda::status_of(cudaMemGetInfo(&left, &all), "asking for the GPU's memory"));
        int clock_khz = 0;  // 0 if the driver does not say
        static_cast<void>(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, i));
        out.push_back({properties.name, properties.major, properties.minor, all, left,
                       properties.multiProcessorCount, clock_khz * 1e3});
    }
    TRY(cuda::status_of(cudaSetDevice(own), "choosing the GPU"));
    return out;
}

Result<Gpu> find_gpu(int gpu) {
    const std::vector<Gpu> gpus = TRY(list_gpus());
    if (gpu < 0 || gpu >= static_cast<int>(gpus.size())) {
        return Error{ErrorCode::kInvalid, cat("there is no GPU number ", gpu, "; this machine has ",
                                              gpus.size(), ", counted from 0")};
    }
    const Gpu& chosen = gpus[static_cast<size_t>(gpu)];
    if (chosen.major < kCapabilityMin) {
        return Error{ErrorCode::kUnsupported,
                     cat("GPU ", gpu, ", ", chosen.name, ", has compute capability ", chosen.major,
                         ".", chosen.minor, "; ", kCapabilityMin,
                         ".0 or newer is needed (Ampere of 2020); take --ops cpu")};
    }
    return chosen;
}

Result<std::unique_ptr<GpuOps>> make_cuda_ops(int gpu, const OpsSizes& sizes) {
    TRY(find_gpu(gpu));
    // A stream of its own: copies for experts go on beside it, which they would not beside the default one.
    cuda::OwnStream stream = TRY(cuda::OwnStream::create(gpu));
    const cuda::CudaOptions options = options_of(sizes, stream.get());
    auto ops = TRY(cuda::CudaOps::create(options, std::move(stream)));
    return std::unique_ptr<GpuOps>(std::make_unique<cuda::CudaOps>(std::move(ops)));
}

uint64_t gpu_ops_bytes(const OpsSizes& sizes) {
    return cuda::CudaOps::bytes_of(options_of(sizes, {}));
}

}  // namespace millrace
