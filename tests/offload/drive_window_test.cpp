#include "offload/drive_window.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "core/base/random.h"

namespace millrace::test {
namespace {

constexpr uint64_t kMebi = uint64_t{1} << 20;

// Reads until the window is chosen, from a drive that gives `rate(window)` bytes a nanosecond.
template <class Rate>
uint64_t chosen(DriveWindow& window, int64_t& now, const Rate& rate) {
    window.arrived(0, now += 1000, true);
    for (int i = 0; i < 100'000 && window.measuring(); ++i) {
        now += static_cast<int64_t>(static_cast<double>(kMebi) / rate(window.bytes()));
        window.arrived(kMebi, now, true);
    }
    REQUIRE_FALSE(window.measuring());
    return window.bytes();
}

TEST_CASE("the smallest window that keeps the drive busy is chosen") {
    int64_t now = 0;
    DriveWindow flat(16 * kMebi, 2 * kMebi), deep(16 * kMebi, 2 * kMebi), middle(16 * kMebi, kMebi);
    CHECK(chosen(flat, now, [](uint64_t) { return 1.0; }) == 4 * kMebi);
    CHECK(chosen(deep, now, [](uint64_t w) { return static_cast<double>(w) * 1e-7; }) ==
          16 * kMebi);
    CHECK(chosen(middle, now, [](uint64_t w) {
              return static_cast<double>(std::min(w, 8 * kMebi)) * 1e-7;
          }) == 8 * kMebi);
}

TEST_CASE("a drive that slows down while it is measured is judged by all windows in turn") {
    int64_t now = 0;
    double speed = 2;
    DriveWindow window(16 * kMebi, 2 * kMebi);
    // A bucket of tokens runs dry; without turns the first window would look best.
    CHECK(chosen(window, now, [&](uint64_t) { return speed = std::max(speed * 0.9999, 1.0); }) <
          16 * kMebi);
}

TEST_CASE("time in which nobody waited is no measurement") {
    DriveWindow window(16 * kMebi, 2 * kMebi);
    for (int i = 1; i < 10'000; ++i) window.arrived(kMebi, i * 1'000'000'000ll, false);
    CHECK(window.measuring());
    CHECK(window.bytes() == 16 * kMebi);
}

TEST_CASE("it is measured again after a while") {
    int64_t now = 0;
    DriveWindow window(16 * kMebi, 2 * kMebi);
    CHECK(chosen(window, now, [](uint64_t) { return 1.0; }) == 4 * kMebi);
    window.arrived(DriveWindow::kAgainBytes, now, true);
    CHECK(window.measuring());
    CHECK(chosen(window, now, [](uint64_t w) { return static_cast<double>(w) * 1e-7; }) ==
          16 * kMebi);
}

TEST_CASE("small windows do not fall below a few chunks") {
    int64_t now = 0;
    DriveWindow window(16 * kMebi, 10 * kMebi), tiny(1000, 5000);
    CHECK(chosen(window, now, [](uint64_t) { return 1.0; }) == 10 * kMebi);
    CHECK(tiny.bytes() == 1000);  // what was asked for is the most in any case
}

}  // namespace
}  // namespace millrace::test
