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

}  // namespace millrace::cuda
