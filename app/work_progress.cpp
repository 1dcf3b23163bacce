#include "app/work_progress.h"

#include <cmath>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr double kSecondNs = 1e9;
constexpr double kGigabyte = 1e9;

}  // namespace

void WorkProgress::show(uint64_t done, uint64_t total, uint64_t found) {
    constexpr int64_t kPatienceNs = 1'000'000'000;
    constexpr int64_t kRefreshNs = 250'000'000;
    constexpr int64_t kWindowNs = 20'000'000'000;
    const int64_t now = clock_.now_ns();
    if (now - begin_.ns < kPatienceNs || now - shown_ns_ < kRefreshNs) return;
    shown_ns_ = now;
    const uint64_t worked = done - found;
    const double elapsed = static_cast<double>(now - mark_.ns) / kSecondNs;
    const double speed = static_cast<double>(worked - mark_.worked) / elapsed;
    std::string line = cat(doing_, ": ", fixed(static_cast<double>(done) / kGigabyte, 1), " of ",
                           fixed(static_cast<double>(total) / kGigabyte, 1), " GB, ",
                           fixed(speed / kGigabyte, 2), " GB/s");
    if (speed > 0) {
        line += cat(", ", duration_words(static_cast<double>(total - done) / speed), " left");
    }
    terminal_.progress(line);
    // What happened long ago says little about now; half a window is always left to judge by.
    if (now - mark_.ns > kWindowNs)
        mark_ = {now - kWindowNs / 2, worked - static_cast<uint64_t>(speed * 10)};
}

double WorkProgress::seconds() const {
    return static_cast<double>(clock_.now_ns() - begin_.ns) / kSecondNs;
}

double WorkProgress::rate(uint64_t worked) const {
    return static_cast<double>(worked) / std::max(seconds(), 1e-9);
}

std::string duration_words(double seconds) {
    const auto whole = static_cast<int64_t>(std::ceil(seconds));
    if (whole < 100) return cat(whole, " s");
    const int64_t minutes = (whole + 59) / 60;
    if (minutes < 100) return cat(minutes, " min");
    return cat(minutes / 60, " h ", minutes % 60, " min");
}

}  // namespace millrace
