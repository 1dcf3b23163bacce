// Several GPUs in the simulator: each has memory, streams and an end of its own, and what goes to a wrong one is noticed.

#include "tests/support/cuda_sim/card.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>

#include "kernels/cuda/cuda_ops.h"
#include "tests/cuda/watched_gpu.h"
#include "tests/support/cuda_sim/cuda_runtime.h"

namespace millrace::cuda_sim {
namespace {

constexpr size_t kBytes = 64;

// Memory and a stream on each of two GPUs.
struct Pair {
    Pair() {
        set_card({.count = 2});
        for (int gpu = 0; gpu < 2; ++gpu) {
            REQUIRE(cudaSetDevice(gpu) == cudaSuccess);
            const auto i = static_cast<size_t>(gpu);
            REQUIRE(cudaMalloc(&memory[i], kBytes) == cudaSuccess);
            REQUIRE(cudaStreamCreateWithFlags(&stream[i], cudaStreamNonBlocking) == cudaSuccess);
        }
        REQUIRE(cudaSetDevice(0) == cudaSuccess);
    }
    ~Pair() {
        set_card({.count = 2});
        for (size_t i = 0; i < 2; ++i) {
            CHECK(cudaStreamDestroy(stream[i]) == cudaSuccess);
            CHECK(cudaFree(memory[i]) == cudaSuccess);
        }
        static_cast<void>(cudaGetLastError());
    }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;

    test::WatchedGpu watched{0};
    std::array<void*, 2> memory{};
    std::array<cudaStream_t, 2> stream{};
};

uint64_t free_bytes(int gpu) {
    size_t left = 0, all = 0;
    REQUIRE(cudaSetDevice(gpu) == cudaSuccess);
    REQUIRE(cudaMemGetInfo(&left, &all) == cudaSuccess);
    return left;
}

}  // namespace

TEST_CASE("each GPU has memory of its own, and as much as it has") {
    const test::WatchedGpu watched(0);
    set_card({.count = 2, .each_memory_bytes = {1000, 5000}});
    void *first = nullptr, *second = nullptr, *third = nullptr;
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    REQUIRE(cudaMalloc(&second, 4000) == cudaSuccess);
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
    REQUIRE(cudaMalloc(&first, 900) == cudaSuccess);
    CHECK(cudaMalloc(&third, 900) == cudaErrorMemoryAllocation);
    CHECK(free_bytes(0) == 100);
    CHECK(free_bytes(1) == 1000);
    // From any thread.
    REQUIRE(cudaFree(first) == cudaSuccess);
    CHECK(free_bytes(0) == 1000);
    CHECK(free_bytes(1) == 1000);
    REQUIRE(cudaFree(second) == cudaSuccess);
    CHECK(used_bytes(1) == 0);
    static_cast<void>(cudaGetLastError());
}

TEST_CASE("a stream copies nothing of another GPU's memory, whichever GPU is the thread's") {
    const Pair two;
    std::array<std::byte, kBytes> host{};
    for (int own = 0; own < 2; ++own) {
        REQUIRE(cudaSetDevice(own) == cudaSuccess);
        for (size_t i = 0; i < 2; ++i) {
            const size_t other = 1 - i;
            CHECK(cudaMemcpyAsync(two.memory[i], host.data(), kBytes, cudaMemcpyHostToDevice,
                                  two.stream[i]) == cudaSuccess);
            CHECK(cudaMemcpyAsync(two.memory[i], host.data(), kBytes, cudaMemcpyHostToDevice,
                                  two.stream[other]) == cudaErrorInvalidValue);
            CHECK(cudaMemcpyAsync(host.data(), two.memory[i], kBytes, cudaMemcpyDeviceToHost,
                                  two.stream[other]) == cudaErrorInvalidValue);
            CHECK(cudaMemcpyAsync(two.memory[i], two.memory[other], kBytes,
                                  cudaMemcpyDeviceToDevice,
                                  two.stream[i]) == cudaErrorInvalidValue);
        }
    }
}

TEST_CASE("a kernel that touches another GPU's memory is noticed, also right behind one that may") {
    const Pair two;
    auto first = *cuda::CudaOps::create({.stream = {two.stream[0], 0}});
    auto second = *cuda::CudaOps::create({.stream = {two.stream[1], 1}});
    const std::span<int32_t> numbers(static_cast<int32_t*>(two.memory[0]), 4);
    first.count(numbers, 0, 1, 1);
    CHECK(take_violations().empty());
    second.count(numbers, 0, 1, 1);
    const auto found = take_violations();
    REQUIRE(found.size() == 1);
    CHECK(found.front().fault == Fault::kForeignGpu);
    CHECK(found.front().what == "memory of GPU 0 in a kernel of GPU 1");
}

TEST_CASE("ops of two GPUs in turn, whichever one the thread had before") {
    const Pair two;
    auto first = *cuda::CudaOps::create({.stream = {two.stream[0], 0}});
    auto second = *cuda::CudaOps::create({.stream = {two.stream[1], 1}});
    const uint64_t before = used_bytes(0);
    for (cuda::CudaOps* ops : {&second, &first, &second}) {
        const auto memory = *ops->allocate(16, HugePages::kNo);
        const std::span<int32_t> numbers(memory.as<int32_t>(), 4);
        ops->count(numbers, 5, 1, 1);
        std::array<int32_t, 4> seen{};
        REQUIRE(ops->read(seen.data(), numbers.data(), sizeof(seen)).ok());
        CHECK(seen == std::array<int32_t, 4>{5, 6, 7, 8});
        CHECK(used_bytes(0) == before + (ops == &first ? 16 : 0));
    }
}

TEST_CASE("one of two GPUs is lost: its calls fail, the other's do not") {
    const Pair two;
    std::array<std::byte, kBytes> host{};
    const auto write = [&](size_t i) {
        return cudaMemcpyAsync(two.memory[i], host.data(), kBytes, cudaMemcpyHostToDevice,
                               two.stream[i]);
    };
    set_card({.count = 2, .calls_left = 1, .loses = 1});
    CHECK(write(0) == cudaSuccess);
    CHECK(write(1) == cudaSuccess);
    CHECK(write(0) == cudaSuccess);
    CHECK(write(1) == cudaErrorIllegalState);
    CHECK(write(0) == cudaSuccess);
    CHECK(cudaStreamSynchronize(two.stream[1]) == cudaErrorIllegalState);
    CHECK(cudaStreamSynchronize(two.stream[0]) == cudaSuccess);
}

TEST_CASE("memory that ops pin is pinned for every GPU: copies to each take it where it lies") {
    const Pair two;
    auto first = *cuda::CudaOps::create({.stream = {two.stream[0], 0}});
    std::array<std::byte, kBytes> host{}, seen{};
    const auto pinned = first.pin(host);
    REQUIRE(pinned.ok());
    // As late as possible: what is copied is what is there then.
    REQUIRE(cudaMemcpyAsync(two.memory[1], host.data(), kBytes, cudaMemcpyHostToDevice,
                            two.stream[1]) == cudaSuccess);
    host.fill(std::byte{7});
    REQUIRE(cudaMemcpyAsync(seen.data(), two.memory[1], kBytes, cudaMemcpyDeviceToHost,
                            two.stream[1]) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(two.stream[1]) == cudaSuccess);
    CHECK(seen == host);
}

TEST_CASE("the host cannot reach a GPU's memory but by copies") {
    const test::WatchedGpu watched{0};
    auto memory = cuda::DeviceMemory::allocate(4096);
    REQUIRE(memory.ok());
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(static_cast<int>(*static_cast<volatile std::byte*>(memory->as<std::byte>())));
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGSEGV);
}

}  // namespace millrace::cuda_sim
