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

// A place in a stream's order that other streams and the host can wait for. Failures of calls that return nothing are the
// GPU's last error, which Ops::read tells.
class Event {
public:
    Event() = default;
    [[nodiscard]] static Result<Event> create(int device);
    ~Event();
    Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Event& operator=(Event&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }

    // Behind what the stream was told so far.
    void record(Stream stream) const;
    // Whether the GPU has come there; of what was never recorded it has. Never waits.
    [[nodiscard]] Result<bool> passed() const;
    // Waits until it has. Tells, too, what earlier calls that return nothing did wrong.
    [[nodiscard]] Status wait() const;
    // What the stream is told from now on happens behind it.
    void hold(Stream stream) const;

private:
    void* handle_ = nullptr;
};

}  // namespace millrace::cuda
