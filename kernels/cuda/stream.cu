#include "kernels/cuda/stream.h"

#include <cuda_runtime.h>

#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/device/status.cuh"

namespace millrace::cuda {
namespace {

cudaEvent_t event_of(void* handle) { return static_cast<cudaEvent_t>(handle); }

}  // namespace

Result<OwnStream> OwnStream::create(int device) {
    use_device({nullptr, device});
    cudaStream_t handle = nullptr;
    TRY(status_of(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking),
                  "making a stream of the GPU"));
    OwnStream out;
    out.stream_ = {handle, device};
    return Result<OwnStream>(std::move(out));
}

OwnStream::~OwnStream() {
    if (stream_.handle == nullptr) return;
    static_cast<void>(cudaStreamDestroy(static_cast<cudaStream_t>(stream_.handle)));
}

Result<Event> Event::create(int device) {
    use_device({nullptr, device});
    cudaEvent_t handle = nullptr;
    TRY(status_of(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming),
                  "making an event of the GPU"));
    Event out;
    out.handle_ = handle;
    return Result<Event>(std::move(out));
}

Event::~Event() {
    if (handle_ != nullptr) static_cast<void>(cudaEventDestroy(event_of(handle_)));
}

void Event::record(Stream stream) const {
    use_device(stream);
    static_cast<void>(cudaEventRecord(event_of(handle_), static_cast<cudaStream_t>(stream.handle)));
}

Result<bool> Event::passed() const {
    // "Not ready" becomes the last error, too, and must not take the place of a real one.
    const cudaError_t earlier = cudaPeekAtLastError();
    const cudaError_t error = earlier == cudaSuccess ? cudaEventQuery(event_of(handle_)) : earlier;
    if (error == cudaErrorNotReady) {
        static_cast<void>(cudaGetLastError());
        return false;
    }
    TRY(status_of_gpu(error));
    return true;
}

Status Event::wait() const { return status_after(cudaEventSynchronize(event_of(handle_))); }

void Event::hold(Stream stream) const {
    use_device(stream);
    static_cast<void>(
        cudaStreamWaitEvent(static_cast<cudaStream_t>(stream.handle), event_of(handle_), 0));
}

}  // namespace millrace::cuda
