#pragma once
// The order in which a GPU does things, without a type of CUDA's.

#include <utility>

#include "core/base/result.h"

namespace millrace::cuda {

// A cudaStream_t of GPU number `device`; null is the default stream. Owns nothing.
struct Stream {
    void* handle = nullptr;
    int device = 0;
};

// A stream that waits for no other, given back by the destructor. One made without create() is the default stream.
class OwnStream {
public:
    OwnStream() = default;
    [[nodiscard]] static Result<OwnStream> create(int device);
    ~OwnStream();
    OwnStream(OwnStream&& other) noexcept : stream_(std::exchange(other.stream_, {})) {}
    OwnStream& operator=(OwnStream&& other) noexcept {
        std::swap(stream_, other.stream_);
        return *this;
    }
    [[nodiscard]] Stream get() const { return stream_; }

private:
    Stream stream_;
};

}  // namespace millrace::cuda
