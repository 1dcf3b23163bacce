#pragma once
// The order in which a GPU does things, without a type of CUDA's.

namespace millrace::cuda {

// A cudaStream_t of GPU number `device`; null is the default stream. Owns nothing.
struct Stream {
    void* handle = nullptr;
    int device = 0;
};

}  // namespace millrace::cuda
