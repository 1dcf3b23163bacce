#include "kernels/cuda/device_memory.h"

#include <cuda_runtime.h>

#include <string>

namespace millrace::cuda {
namespace {

Status status_of(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return {};
    return Error{ErrorCode::kIo, std::string(what) + ": " + cudaGetErrorString(error)};
}

cudaStream_t stream_of(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

}  // namespace

Result<DeviceMemory> DeviceMemory::allocate(size_t bytes) {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        return Error{ErrorCode::kUnsupported, "there is no GPU that CUDA can use"};
    }
    DeviceMemory memory;
    if (bytes == 0) return Result<DeviceMemory>(std::move(memory));
    const cudaError_t error = cudaMalloc(&memory.at_, bytes);
    if (error != cudaSuccess) {
        memory.at_ = nullptr;
        return Error{ErrorCode::kCapacity, "the GPU has no " + std::to_string(bytes) +
                                               " bytes left: " + cudaGetErrorString(error)};
    }
    memory.bytes_ = bytes;
    return Result<DeviceMemory>(std::move(memory));
}

DeviceMemory::~DeviceMemory() {
    if (at_ != nullptr) static_cast<void>(cudaFree(at_));
}

Status DeviceMemory::upload(std::span<const std::byte> from, size_t offset, Stream stream) {
    ENSURE(offset + from.size() <= bytes_);
    return status_of(cudaMemcpyAsync(as<std::byte>() + offset, from.data(), from.size(),
                                     cudaMemcpyHostToDevice, stream_of(stream)),
                     "copying to the GPU");
}

Status DeviceMemory::download(std::span<std::byte> to, size_t offset, Stream stream) const {
    ENSURE(offset + to.size() <= bytes_);
    return status_of(cudaMemcpyAsync(to.data(), as<std::byte>() + offset, to.size(),
                                     cudaMemcpyDeviceToHost, stream_of(stream)),
                     "copying from the GPU");
}

Status finish(Stream stream) {
    return status_of(cudaStreamSynchronize(stream_of(stream)), "waiting for the GPU");
}

}  // namespace millrace::cuda
