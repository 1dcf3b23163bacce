#include "tests/support/cuda_sim/streams.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "tests/support/cuda_sim/calls.h"
#include "tests/support/cuda_sim/card.h"
#include "tests/support/cuda_sim/graph.h"
#include "tests/support/cuda_sim/machine.h"

namespace millrace::cuda_sim {
namespace {

// Of the default stream the thread's own.
int device_or_own(cudaStream_t stream) {
    const int* device = streams().device_of(stream);
    return device != nullptr && *device >= 0 ? *device : own_device();
}

// A handle is the stream's number.
uint64_t number_of(cudaStream_t stream) { return reinterpret_cast<uintptr_t>(stream); }

}  // namespace

Streams& streams() {
    static Streams only;
    return only;
}

cudaStream_t Streams::create(int device) {
    created_ += 1;
    queues_[created_].device = device;
    return reinterpret_cast<cudaStream_t>(static_cast<uintptr_t>(created_));
}

bool Streams::destroy(cudaStream_t stream) {
    if (!queues_.contains(number_of(stream))) return false;
    finish(stream);
    queues_.erase(number_of(stream));
    return true;
}

const int* Streams::device_of(cudaStream_t stream) const {
    static constexpr int kAny = -1;
    if (stream == nullptr) return &kAny;
    const auto i = queues_.find(number_of(stream));
    return i == queues_.end() ? nullptr : &i->second.device;
}

void Streams::add(cudaStream_t stream, Work work) {
    if (captures(stream)) return capture(std::move(work));
    if (stream == nullptr) {
        run(work, own_device());
        return;
    }
    queues_.at(number_of(stream)).work.push_back(std::move(work));
    tempt(number_of(stream));
}

std::shared_ptr<Point> Streams::point(cudaStream_t stream) {
    auto out = std::make_shared<Point>();
    if (stream == nullptr) return out;
    const Queue& queue = queues_.at(number_of(stream));
    *out = {number_of(stream), queue.done + queue.work.size(), seed_ == 0 ? 1 : dice_.below(4)};
    return out;
}

// Of a stream that was destroyed everything was done.
bool Streams::reached(const Point& point) const {
    const auto i = queues_.find(point.stream);
    return i == queues_.end() || i->second.done >= point.position;
}

bool Streams::poll(Point& point) {
    if (reached(point)) return true;
    if (point.polls_left > 0) {
        --point.polls_left;
        return false;
    }
    reach(point);
    return true;
}

void Streams::reach(const Point& point) {
    if (!reached(point)) run_until(point.stream, point.position);
}

void Streams::finish(cudaStream_t stream) {
    if (stream == nullptr) return;
    const Queue& queue = queues_.at(number_of(stream));
    run_until(number_of(stream), queue.done + queue.work.size());
}

void Streams::finish() {
    std::vector<uint64_t> order;
    for (const auto& [stream, queue] : queues_) {
        if (!queue.work.empty()) order.push_back(stream);
    }
    // The newest first for seed 1, as ever.
    if (seed_ == 1) std::ranges::reverse(order);
    if (seed_ > 1) {
        for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[dice_.below(i)]);
    }
    for (const uint64_t stream : order) {
        const Queue& queue = queues_.at(stream);
        run_until(stream, queue.done + queue.work.size());
    }
}

void Streams::lose(int device) {
    losing_ = device;
    finish();
    losing_.reset();
}

void Streams::reseed(uint64_t seed) {
    seed_ = seed;
    dice_ = Random(seed);
}

void Streams::run_until(uint64_t stream, uint64_t position) {
    Queue& queue = queues_.at(stream);
    while (queue.done < position) {
        const Work work = std::move(queue.work.front());
        queue.work.pop_front();
        run(work, queue.device);
        queue.done += 1;
    }
}

void Streams::run(const Work& work, int device) {
    // What it waits for was recorded before, so this ends.
    if (work.awaited) return reach(*work.awaited);
    const GpuMemory::Reached reached(machine().gpu_memory());
    if (work.kernel.call != nullptr) {
        machine().launch(work.kernel, work.grid, work.block, work.shared_bytes, work.bytes.data(),
                         device);
        return;
    }
    if (losing_ && work.to_host && (*losing_ == Card::kEach || *losing_ == device)) return;
    if (!work.to_host) static_cast<void>(machine().host_access(work.to, work.copied, true));
    const void* from = work.bytes.empty() ? work.from : work.bytes.data();
    if (work.copied > 0) std::memcpy(work.to, from, work.copied);
}

// The GPU goes on by itself, or it does not.
void Streams::tempt(uint64_t stream) {
    if (seed_ == 0) return;
    if (seed_ == 1) {
        Queue& queue = queues_.at(stream);
        if (stream != queues_.begin()->first) run_until(stream, queue.done + queue.work.size());
        return;
    }
    if (dice_.below(2) == 0) return;
    const auto chosen =
        std::next(queues_.begin(), static_cast<std::ptrdiff_t>(dice_.below(queues_.size())));
    const Queue& queue = chosen->second;
    if (queue.work.empty()) return;
    run_until(chosen->first, queue.done + 1 + dice_.below(queue.work.size()));
}

bool Streams::pin(const void* memory, size_t bytes, int device) {
    if (bytes == 0 || pinned(memory, bytes, Card::kEach) != Pinned::kNone) return false;
    pinned_[reinterpret_cast<uintptr_t>(memory)] = {bytes, device};
    return true;
}

bool Streams::unpin(const void* memory) {
    const auto at = pinned_.find(reinterpret_cast<uintptr_t>(memory));
    if (at == pinned_.end()) return false;
    const ByteRange range{at->first, at->first + at->second.bytes};
    for (const auto& [number, queue] : queues_) {
        const bool used = std::ranges::any_of(queue.work, [&](const Work& work) {
            return (work.from_host && work.bytes.empty() &&
                    range.begins(reinterpret_cast<uintptr_t>(work.from))) ||
                   (work.to_host && range.begins(reinterpret_cast<uintptr_t>(work.to)));
        });
        if (used) {
            machine().report(Fault::kHostMemory, "it is not pinned any more before it was copied");
            break;
        }
    }
    pinned_.erase(at);
    return true;
}

uint64_t Streams::pinned_bytes() const {
    uint64_t sum = 0;
    for (const auto& [begin, pin] : pinned_) sum += pin.bytes;
    return sum;
}

// Card::kEach as `device`: whoever it is pinned for.
Streams::Pinned Streams::pinned(const void* memory, size_t bytes, int device) const {
    const auto begin = reinterpret_cast<uintptr_t>(memory);
    // The last range that begins before the end.
    const auto behind = pinned_.lower_bound(begin + bytes);
    if (behind == pinned_.begin()) return Pinned::kNone;
    const auto& [first, pin] = *std::prev(behind);
    const bool others = device != Card::kEach && pin.device != Card::kEach && pin.device != device;
    if (others || first + pin.bytes <= begin) return Pinned::kNone;
    return first <= begin && begin + bytes <= first + pin.bytes ? Pinned::kAll : Pinned::kPart;
}

void launch_registered(const KernelEntry& entry, dim3 grid, dim3 block, size_t shared_bytes,
                       cudaStream_t stream, const void* task) {
    if (lost(own_device())) return set_last(cudaErrorIllegalState);
    const int* device = streams().device_of(stream);
    if (device == nullptr || (*device >= 0 && *device != own_device()))
        return set_last(cudaErrorInvalidResourceHandle);
    Work work;
    work.kernel = entry;
    work.grid = grid;
    work.block = block;
    work.shared_bytes = shared_bytes;
    const auto* bytes = static_cast<const std::byte*>(task);
    work.bytes.assign(bytes, bytes + entry.task_bytes);
    streams().add(stream, std::move(work));
}

}  // namespace millrace::cuda_sim

using namespace millrace::cuda_sim;

// An event: the point that was recorded last.
struct CUevent_st {
    int device = 0;
    std::shared_ptr<Point> point;
};

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    const cudaError_t result = done(cudaSuccess, device_or_own(stream));
    if (result != cudaSuccess) return result;
    if (streams().device_of(stream) == nullptr) return done(cudaErrorInvalidResourceHandle);
    const int device = device_or_own(stream);
    Work work;
    work.to = to;
    work.from = from;
    work.copied = bytes;
    work.from_host = kind == cudaMemcpyHostToDevice;
    work.to_host = kind == cudaMemcpyDeviceToHost;
    const auto reachable = [&](const void* at, size_t count) {
        return !foreign(at, device) && machine().host_access(at, count, false);
    };
    if (!work.from_host && !reachable(from, bytes)) return done(cudaErrorInvalidValue);
    if (!work.to_host && !reachable(to, bytes)) return done(cudaErrorInvalidValue);
    const void* host = work.from_host ? from : to;
    if ((work.from_host || work.to_host) && bytes > 0) {
        const Streams::Pinned pinned = streams().pinned(host, bytes, device);
        if (pinned == Streams::Pinned::kPart) return done(cudaErrorInvalidValue);
        if (work.from_host && pinned == Streams::Pinned::kNone && stream != nullptr) {
            const auto* first = static_cast<const std::byte*>(from);
            work.bytes.assign(first, first + bytes);
        }
    }
    streams().add(stream, std::move(work));
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    *stream = nullptr;
    if (flags != cudaStreamNonBlocking) return done(cudaErrorInvalidValue);
    const cudaError_t result = done(cudaSuccess);
    if (result == cudaSuccess) *stream = streams().create(own_device());
    return result;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    if (!streams().destroy(stream)) return done(cudaErrorInvalidResourceHandle);
    return done(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    const cudaError_t result = done(cudaSuccess, device_or_own(stream));
    if (result != cudaSuccess) return result;
    if (streams().device_of(stream) == nullptr) return done(cudaErrorInvalidResourceHandle);
    if (captures(stream)) return done(spoil_capture());
    streams().finish(stream);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    const cudaError_t result = done(cudaSuccess);
    if (result == cudaSuccess) streams().finish();
    return result;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
    *event = nullptr;
    if (flags != cudaEventDisableTiming) return done(cudaErrorInvalidValue);
    const cudaError_t result = done(cudaSuccess);
    if (result == cudaSuccess) *event = new CUevent_st{own_device(), nullptr};
    return result;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return done(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    const cudaError_t result = done(cudaSuccess);
    if (result != cudaSuccess) return result;
    const int* device = streams().device_of(stream);
    if (device == nullptr || (*device >= 0 && *device != event->device))
        return done(cudaErrorInvalidResourceHandle);
    event->point = streams().point(stream);
    return cudaSuccess;
}

// An event that was never recorded is one that has passed.
cudaError_t cudaEventQuery(cudaEvent_t event) {
    const cudaError_t result = done(cudaSuccess, event->device);
    if (result != cudaSuccess || event->point == nullptr) return result;
    if (streams().poll(*event->point)) return cudaSuccess;
    set_last(cudaErrorNotReady);
    return cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    const cudaError_t result = done(cudaSuccess, event->device);
    if (result == cudaSuccess && event->point != nullptr) streams().reach(*event->point);
    return result;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    const cudaError_t result = done(cudaSuccess);
    if (result != cudaSuccess || event->point == nullptr) return result;
    if (streams().device_of(stream) == nullptr) return done(cudaErrorInvalidResourceHandle);
    Work work;
    work.awaited = event->point;
    streams().add(stream, std::move(work));
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void* memory, size_t bytes, unsigned flags) {
    const cudaError_t result = done(cudaSuccess);
    if (result != cudaSuccess) return result;
    if (flags > cudaHostRegisterPortable || bytes == 0) return done(cudaErrorInvalidValue);
    if (streams().pinned_bytes() + bytes > pinned_limit()) return done(cudaErrorMemoryAllocation);
    const int device = flags == cudaHostRegisterPortable ? Card::kEach : own_device();
    if (!streams().pin(memory, bytes, device)) return done(cudaErrorHostMemoryAlreadyRegistered);
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void* memory) {
    if (!streams().unpin(memory)) return done(cudaErrorHostMemoryNotRegistered);
    return done(cudaSuccess);
}
