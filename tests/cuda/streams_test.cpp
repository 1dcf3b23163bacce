// The simulated GPU's streams, events and pinned memory: what is not ordered happens in either order, for some seed, and
// what is ordered never does.

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "tests/cuda/simulator_kernels.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/support/cuda_sim/cuda_runtime.h"

namespace millrace::cuda_sim {
namespace {

constexpr size_t kCount = 64;  // numbers
using Numbers = std::vector<uint32_t>;

Numbers numbers(uint32_t first) {
    Numbers out(kCount);
    std::iota(out.begin(), out.end(), first);
    return out;
}

// Two streams, an event, and memory for three times 64 numbers.
struct Work {
    explicit Work(uint64_t seed) : watched(seed) {
        for (cudaStream_t* stream : {&first, &second})
            REQUIRE(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking) == cudaSuccess);
        REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
        void* at = nullptr;
        REQUIRE(cudaMalloc(&at, 3 * kBytes) == cudaSuccess);
        in = static_cast<uint32_t*>(at);
        out = in + kCount;
        other = out + kCount;
        REQUIRE(write(in, old, nullptr) == cudaSuccess);
        REQUIRE(write(out, Numbers(kCount), nullptr) == cudaSuccess);
    }
    ~Work() {
        CHECK(cudaFree(in) == cudaSuccess);
        CHECK(cudaEventDestroy(event) == cudaSuccess);
        for (cudaStream_t stream : {first, second}) CHECK(cudaStreamDestroy(stream) == cudaSuccess);
    }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

    static cudaError_t write(uint32_t* to, const Numbers& from, cudaStream_t stream) {
        return cudaMemcpyAsync(to, from.data(), kBytes, cudaMemcpyHostToDevice, stream);
    }
    // As it is now, whatever is under way.
    static Numbers now(const uint32_t* from) {
        Numbers values(kCount);
        REQUIRE(cudaMemcpyAsync(values.data(), from, kBytes, cudaMemcpyDeviceToHost, nullptr) ==
                cudaSuccess);
        return values;
    }
    // out = in, the last number first.
    void turn(cudaStream_t stream) const {
        for (const KernelCase& one : kernel_cases())
            if (std::string_view(one.name) == "a barrier") one.launch({out, in, 64, stream});
    }
    [[nodiscard]] Numbers turned() const {
        REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
        Numbers values = now(out);
        std::ranges::reverse(values);
        return values;
    }

    static constexpr size_t kBytes = kCount * sizeof(uint32_t);
    test::WatchedGpu watched;
    cudaStream_t first = nullptr, second = nullptr;
    cudaEvent_t event = nullptr;
    uint32_t *in = nullptr, *out = nullptr, *other = nullptr;
    const Numbers old = numbers(0), fresh = numbers(1000);
};

constexpr uint64_t kSeeds = 12;

}  // namespace

TEST_CASE("work on a stream is done when somebody waits, in its order") {
    Work w(0);
    REQUIRE(Work::write(w.in, w.fresh, w.first) == cudaSuccess);
    w.turn(w.first);
    CHECK(Work::now(w.in) == w.old);
    CHECK(cudaStreamSynchronize(w.second) == cudaSuccess);
    CHECK(Work::now(w.out) == Numbers(kCount));
    CHECK(cudaStreamSynchronize(w.first) == cudaSuccess);
    CHECK(w.turned() == w.fresh);
}

TEST_CASE("a kernel that does not wait for a copy may read what was there before") {
    std::set<Numbers> seen;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        Work w(seed);
        REQUIRE(Work::write(w.in, w.fresh, w.second) == cudaSuccess);
        w.turn(w.first);
        seen.insert(w.turned());
    }
    CHECK(seen == std::set<Numbers>{numbers(0), numbers(1000)});
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        Work w(seed);
        REQUIRE(Work::write(w.in, w.fresh, w.second) == cudaSuccess);
        REQUIRE(cudaEventRecord(w.event, w.second) == cudaSuccess);
        REQUIRE(cudaStreamWaitEvent(w.first, w.event) == cudaSuccess);
        w.turn(w.first);
        CHECK(w.turned() == w.fresh);
    }
}

TEST_CASE("a copy that does not wait for a kernel may take away what that was to read") {
    std::set<Numbers> seen;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        Work w(seed);
        w.turn(w.first);
        REQUIRE(Work::write(w.in, w.fresh, w.second) == cudaSuccess);
        seen.insert(w.turned());
    }
    CHECK(seen == std::set<Numbers>{numbers(0), numbers(1000)});
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        Work w(seed);
        w.turn(w.first);
        REQUIRE(cudaEventRecord(w.event, w.first) == cudaSuccess);
        REQUIRE(cudaStreamWaitEvent(w.second, w.event) == cudaSuccess);
        REQUIRE(Work::write(w.in, w.fresh, w.second) == cudaSuccess);
        CHECK(w.turned() == w.old);
    }
}

TEST_CASE("an event is of the moment when it was recorded last") {
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        Work w(seed);
        CHECK(cudaEventQuery(w.event) == cudaSuccess);  // never recorded
        CHECK(cudaEventSynchronize(w.event) == cudaSuccess);
        w.turn(w.first);
        REQUIRE(cudaEventRecord(w.event, w.first) == cudaSuccess);
        REQUIRE(cudaStreamWaitEvent(w.second, w.event) == cudaSuccess);
        // That wait is for the kernel alone, whatever the event means from now on.
        REQUIRE(Work::write(w.in, w.fresh, w.first) == cudaSuccess);
        REQUIRE(cudaEventRecord(w.event, w.first) == cudaSuccess);
        REQUIRE(cudaStreamSynchronize(w.second) == cudaSuccess);
        Numbers values = Work::now(w.out);
        std::ranges::reverse(values);
        CHECK(values == w.old);
        if (seed == 0) CHECK(Work::now(w.in) == w.old);
        REQUIRE(cudaEventSynchronize(w.event) == cudaSuccess);
        CHECK(Work::now(w.in) == w.fresh);
        CHECK(cudaEventQuery(w.event) == cudaSuccess);
    }
}

TEST_CASE("queries say for a while that an event is not there yet, which is the last error too") {
    std::set<int> polls;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        Work w(seed);
        w.turn(w.first);
        REQUIRE(cudaEventRecord(w.event, w.first) == cudaSuccess);
        int count = 0;
        while (cudaEventQuery(w.event) == cudaErrorNotReady) {
            CHECK(cudaPeekAtLastError() == cudaErrorNotReady);
            CHECK(cudaGetLastError() == cudaErrorNotReady);
            count += 1;
        }
        CHECK(cudaGetLastError() == cudaSuccess);
        polls.insert(count);
        Numbers values = Work::now(w.out);
        std::ranges::reverse(values);
        CHECK(values == w.old);
    }
    CHECK(polls.size() > 1);
    CHECK(*polls.rbegin() <= 3);
}

TEST_CASE("a copy has taken the bytes when the call returns, from pinned memory when it is done") {
    Work w(0);
    Numbers plain = w.fresh, pinned = w.fresh;
    REQUIRE(cudaHostRegister(pinned.data(), Work::kBytes, cudaHostRegisterDefault) == cudaSuccess);
    REQUIRE(Work::write(w.in, plain, w.first) == cudaSuccess);
    REQUIRE(Work::write(w.out, pinned, w.first) == cudaSuccess);
    plain[0] = pinned[0] = 7;
    REQUIRE(cudaStreamSynchronize(w.first) == cudaSuccess);
    CHECK(Work::now(w.in)[0] == w.fresh[0]);
    CHECK(Work::now(w.out)[0] == 7);

    // What is not pinned any more while a copy from it is under way.
    REQUIRE(Work::write(w.out, pinned, w.first) == cudaSuccess);
    CHECK(cudaHostUnregister(pinned.data()) == cudaSuccess);
    const auto violations = take_violations();
    REQUIRE(violations.size() == 1);
    CHECK(violations[0].fault == Fault::kHostMemory);
}

TEST_CASE("memory is pinned once, and not more than the system allows") {
    const Work w(0);
    std::vector<std::byte> memory(8192);
    const auto pin = [&](size_t first, size_t bytes) {
        return cudaHostRegister(memory.data() + first, bytes, cudaHostRegisterDefault);
    };
    set_card({.pinned_bytes = 6000});
    CHECK(pin(0, 8192) == cudaErrorMemoryAllocation);
    CHECK(pin(0, 4096) == cudaSuccess);
    CHECK(pin(4095, 10) == cudaErrorHostMemoryAlreadyRegistered);
    CHECK(pin(4096, 4096) == cudaErrorMemoryAllocation);
    CHECK(pin(4096, 100) == cudaSuccess);
    CHECK(cudaHostUnregister(memory.data() + 1) == cudaErrorHostMemoryNotRegistered);
    // A copy from half pinned memory is none.
    CHECK(cudaMemcpyAsync(w.in, memory.data() + 4196 - 8, 16, cudaMemcpyHostToDevice, w.first) ==
          cudaErrorInvalidValue);
    CHECK(cudaHostUnregister(memory.data()) == cudaSuccess);
    CHECK(pin(4196, 4096 - 100) == cudaSuccess);
    CHECK(cudaHostUnregister(memory.data() + 4096) == cudaSuccess);
    CHECK(cudaHostUnregister(memory.data() + 4196) == cudaSuccess);
}

TEST_CASE("when the GPU is lost every call says so, and what was to come from it does not") {
    Work w(0);
    Numbers values(kCount);
    w.turn(w.first);
    REQUIRE(cudaMemcpyAsync(values.data(), w.out, Work::kBytes, cudaMemcpyDeviceToHost, w.first) ==
            cudaSuccess);
    set_card({.calls_left = 0});
    cudaStream_t stream = nullptr;
    cudaEvent_t event = nullptr;
    for (const cudaError_t error :
         {cudaStreamSynchronize(w.first), cudaDeviceSynchronize(), cudaEventSynchronize(w.event),
          cudaEventQuery(w.event), cudaEventRecord(w.event, w.first),
          cudaStreamWaitEvent(w.first, w.event), Work::write(w.in, w.fresh, w.first),
          cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
          cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
          cudaHostRegister(values.data(), Work::kBytes, cudaHostRegisterDefault)}) {
        CHECK(error == cudaErrorIllegalState);
    }
    static_cast<void>(cudaGetLastError());
    w.turn(w.first);
    CHECK(cudaGetLastError() == cudaErrorIllegalState);
    set_card({});
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(values == Numbers(kCount));
}

TEST_CASE("streams and events belong to a GPU") {
    const test::WatchedGpu watched(0);
    set_card({.count = 2});
    Work w(0);
    set_card({.count = 2});
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    w.turn(w.first);
    CHECK(cudaGetLastError() == cudaErrorInvalidResourceHandle);
    cudaEvent_t event = nullptr;
    REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
    CHECK(cudaEventRecord(event, w.first) == cudaErrorInvalidResourceHandle);
    CHECK(cudaEventDestroy(event) == cudaSuccess);
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
    static_cast<void>(cudaGetLastError());
    cudaStream_t stream = nullptr;
    CHECK(cudaStreamCreateWithFlags(&stream, 0) == cudaErrorInvalidValue);
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaStreamDestroy(stream) == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
    CHECK(Work::write(w.in, w.fresh, stream) == cudaErrorInvalidResourceHandle);
    CHECK(cudaStreamDestroy(stream) == cudaErrorInvalidResourceHandle);
}

TEST_CASE("memory is given back, and a stream ends, when the work with it is done") {
    Work w(0);
    void* at = nullptr;
    REQUIRE(cudaMalloc(&at, Work::kBytes) == cudaSuccess);
    cudaStream_t stream = nullptr;
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaMemcpyAsync(at, w.in, Work::kBytes, cudaMemcpyDeviceToDevice, stream) ==
            cudaSuccess);
    REQUIRE(cudaMemcpyAsync(w.other, at, Work::kBytes, cudaMemcpyDeviceToDevice, stream) ==
            cudaSuccess);
    REQUIRE(cudaFree(at) == cudaSuccess);
    CHECK(Work::now(w.other) == w.old);
    REQUIRE(Work::write(w.other, w.fresh, stream) == cudaSuccess);
    REQUIRE(cudaStreamDestroy(stream) == cudaSuccess);
    CHECK(Work::now(w.other) == w.fresh);
}

}  // namespace millrace::cuda_sim
