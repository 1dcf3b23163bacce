#pragma once
// What a call of the runtime said, as a sentence.

#include <cuda_runtime.h>

#include <string>

#include "core/base/result.h"

namespace millrace::cuda {

[[nodiscard]] inline Status status_of(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return {};
    return Error{ErrorCode::kIo, std::string(what) + ": " + cudaGetErrorString(error)};
}

// Of work that was asked for: when that fails, so does everything after it.
[[nodiscard]] inline Status status_of_gpu(cudaError_t error) {
    const Status status = status_of(error, "the GPU stopped working");
    if (status.ok()) return {};
    return Error{ErrorCode::kDeviceLost, status.error().message};
}
// What a launch said that failed comes before what a call behind it says.
[[nodiscard]] inline Status status_after(cudaError_t error) {
    const cudaError_t earlier = cudaGetLastError();
    return status_of_gpu(earlier != cudaSuccess ? earlier : error);
}

}  // namespace millrace::cuda
