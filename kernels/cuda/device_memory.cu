#include "kernels/cuda/device_memory.h"

#include <cuda_runtime.h>

#include <array>
#include <cstdio>
#include <string>

#include "kernels/cuda/device/status.cuh"

namespace millrace::cuda {
namespace {

// What was wanted, and what there is: other programs use the card too.
Error out_of_memory(size_t bytes, cudaError_t error) {
    if (error != cudaErrorMemoryAllocation) {
        return status_of(error, "allocating on the GPU").error();
    }
    size_t left = 0, all = 0;
    static_cast<void>(cudaMemGetInfo(&left, &all));
    constexpr double kMiB = 1024.0 * 1024;
    std::array<char, 160> text{};
    std::snprintf(text.data(), text.size(),
                  "the GPU has %.0f MiB of its %.0f free and %.0f MiB more are needed",
                  static_cast<double>(left) / kMiB, static_cast<double>(all) / kMiB,
                  static_cast<double>(bytes) / kMiB);
    return {ErrorCode::kCapacity, text.data()};
}

cudaStream_t stream_of(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

}  // namespace

Result<DeviceMemory> DeviceMemory::allocate(size_t bytes) {
    DeviceMemory memory;
    if (bytes == 0) return Result<DeviceMemory>(std::move(memory));
    const cudaError_t error = cudaMalloc(&memory.at_, bytes);
    if (error != cudaSuccess) {
        memory.at_ = nullptr;
        static_cast<void>(cudaGetLastError());  // whoever asked has been told
        return out_of_memory(bytes, error);
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
