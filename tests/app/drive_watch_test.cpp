#include "app/drive_watch.h"

#include <doctest/doctest.h>

namespace millrace {

TEST_CASE("a drive that gives less than a quarter of its best is named, with both rates") {
    constexpr uint64_t kMiB = uint64_t{1} << 20;
    constexpr int64_t kSecond = 1'000'000'000;
    DriveWatch watch;
    CHECK_FALSE(watch.add(100 * kMiB, kSecond));  // nothing to compare with
    CHECK_FALSE(watch.add(800 * kMiB, kSecond));
    CHECK_FALSE(watch.add(210 * kMiB, kSecond));
    const auto slow = watch.add(190 * kMiB, kSecond);
    REQUIRE(slow);
    CHECK(slow->find("190.00 MiB/s") != std::string::npos);
    CHECK(slow->find("800.00 MiB/s") != std::string::npos);
    // Too little to tell: a few reads, or a short time.
    CHECK_FALSE(watch.add(kMiB / 2, kSecond));
    CHECK_FALSE(watch.add(2 * kMiB, kSecond / 20));
    CHECK_FALSE(watch.add(0, 0));
}

}  // namespace millrace
