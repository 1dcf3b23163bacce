#include "core/base/memory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

namespace millrace {
namespace {

TEST_CASE("sizes are rounded to multiples") {
    CHECK(round_up(0, 4096) == 0);
    CHECK(round_up(1, 4096) == 4096);
    CHECK(round_up(4096, 4096) == 4096);
    CHECK(round_up(10, 3) == 12);
    CHECK(round_down(4097, 4096) == 4096);
    CHECK(round_down(11, 3) == 9);
}

TEST_CASE("a buffer is whole pages, aligned, zero and writable to its end") {
    for (const uint64_t bytes : {0u, 1u, 4095u, 4096u, 4097u, 3'000'000u}) {
        for (const HugePages huge : {HugePages::kNo, HugePages::kIfGranted}) {
            const size_t align = huge == HugePages::kNo ? kPageBytes : kHugePageBytes;
            auto buffer = PageBuffer::create(bytes, huge);
            REQUIRE(buffer.ok());
            const auto span = buffer->bytes();
            CHECK(span.size() == round_up(std::max<uint64_t>(bytes, 1), kPageBytes));
            CHECK(reinterpret_cast<uintptr_t>(span.data()) % align == 0);
            CHECK(std::all_of(span.begin(), span.end(),
                              [](std::byte b) { return b == std::byte{0}; }));
            std::fill(span.begin(), span.end(), std::byte{7});
            CHECK(buffer->as<uint8_t>()[span.size() - 1] == 7);
        }
    }
}

TEST_CASE("a buffer moves with its bytes") {
    auto made = PageBuffer::create(4096, HugePages::kNo);
    REQUIRE(made.ok());
    PageBuffer first = *std::move(made);
    first.as<int>()[0] = 42;
    PageBuffer second = std::move(first);
    CHECK(second.as<int>()[0] == 42);
    PageBuffer third;
    CHECK(third.bytes().empty());
    third = std::move(second);
    CHECK(third.as<int>()[0] == 42);
}

TEST_CASE("memory is taken when touched: a terabyte may be reserved") {
    auto buffer = PageBuffer::create(uint64_t{1} << 40, HugePages::kNo);
    REQUIRE(buffer.ok());
    buffer->as<char>()[(uint64_t{1} << 40) - 1] = 1;
    CHECK(buffer->as<char>()[0] == 0);
}

TEST_CASE("sizes that no machine has are refused, also where rounding would overflow") {
    const uint64_t most = std::numeric_limits<uint64_t>::max();
    for (const uint64_t bytes :
         {most, most - 4095, most - kHugePageBytes, uint64_t{1} << 63, uint64_t{1} << 47}) {
        for (const HugePages huge : {HugePages::kNo, HugePages::kIfGranted}) {
            const auto buffer = PageBuffer::create(bytes, huge);
            REQUIRE(!buffer.ok());
            CHECK(buffer.error().code == ErrorCode::kCapacity);
        }
    }
}

}  // namespace
}  // namespace millrace
