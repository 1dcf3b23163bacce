#pragma once
// Memory of the GPU: allocated once, given back by the destructor. Moves only.

#include <cstddef>
#include <span>
#include <utility>

#include "core/base/result.h"
#include "kernels/cuda/stream.h"

namespace millrace::cuda {

class DeviceMemory {
public:
    DeviceMemory() = default;
    // kCapacity when the GPU has no such amount left. Zero bytes are nothing.
    [[nodiscard]] static Result<DeviceMemory> allocate(size_t bytes);
    ~DeviceMemory();
    DeviceMemory(DeviceMemory&& other) noexcept
        : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    DeviceMemory& operator=(DeviceMemory&& other) noexcept {
        std::swap(at_, other.at_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }

    [[nodiscard]] size_t bytes() const { return bytes_; }
    template <class T>
    [[nodiscard]] T* as() const {
        return static_cast<T*>(at_);
    }

    // Copies to and from `offset`, behind what the stream does already; the host's memory must stay until the stream has
    // come to it.
    [[nodiscard]] Status upload(std::span<const std::byte> from, size_t offset, Stream stream);
    [[nodiscard]] Status download(std::span<std::byte> to, size_t offset, Stream stream) const;

private:
    void* at_ = nullptr;
    size_t bytes_ = 0;
};

// Waits until the stream has done everything.
[[nodiscard]] Status finish(Stream stream);

}  // namespace millrace::cuda
