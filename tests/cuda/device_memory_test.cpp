// Memory of the GPU: what is asked for too much, of no GPU, or of one that is lost, fails with words.

#include "kernels/cuda/device_memory.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/support/cuda_sim/card.h"

namespace millrace::cuda {

TEST_CASE("memory comes and goes with its owner, and holds what was copied there") {
    Result<DeviceMemory> nothing = DeviceMemory::allocate(0);
    REQUIRE(nothing.ok());
    CHECK(nothing->bytes() == 0);
    CHECK(nothing->as<std::byte>() == nullptr);
    DeviceMemory memory = *DeviceMemory::allocate(300);
    CHECK(memory.bytes() == 300);
    const std::vector<std::byte> given(100, std::byte{7});
    std::vector<std::byte> back(100);
    CHECK(memory.upload(given, 200, {}).ok());
    DeviceMemory other = std::move(memory);
    CHECK(other.download(back, 200, {}).ok());
    CHECK(finish({}).ok());
    CHECK(back == given);
}

TEST_CASE("too much, no GPU, a lost one") {
    const auto huge = DeviceMemory::allocate(size_t{1} << 62);
    REQUIRE(!huge.ok());
    CHECK(huge.error().code == ErrorCode::kCapacity);
    CHECK(huge.error().message.find("4398046511104 MiB more are needed") != std::string::npos);

    cuda_sim::set_card({.count = 0});
    const auto nowhere = DeviceMemory::allocate(1);
    REQUIRE(!nowhere.ok());
    CHECK(nowhere.error().code == ErrorCode::kIo);

    cuda_sim::set_card({});
    DeviceMemory memory = *DeviceMemory::allocate(8);
    cuda_sim::set_card({.calls_left = 0});
    std::vector<std::byte> bytes(8);
    CHECK(memory.upload(bytes, 0, {}).error().message.starts_with("copying to the GPU: "));
    CHECK(memory.download(bytes, 0, {}).error().message.starts_with("copying from the GPU: "));
    CHECK(finish({}).error().code == ErrorCode::kIo);
    cuda_sim::set_card({});
}

}  // namespace millrace::cuda
