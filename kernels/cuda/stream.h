#pragma once
// The order in which a GPU does things, without a type of CUDA's.

namespace millrace::cuda {

// A cudaStream_t; null is the default stream. Owns nothing.
struct Stream {
    void* handle = nullptr;
};

}  // namespace millrace::cuda
