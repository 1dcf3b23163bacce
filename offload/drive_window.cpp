#include "offload/drive_window.h"

#include <algorithm>

namespace millrace {

DriveWindow::DriveWindow(uint64_t bytes_max, uint64_t bytes_min) {
    for (size_t i = 0; i < kWindows; ++i) {
        windows_[i] = std::max(bytes_max >> i, std::min(bytes_min, bytes_max));
    }
}

void DriveWindow::arrived(uint64_t bytes, int64_t now_ns, bool busy) {
    const double seconds = static_cast<double>(now_ns - last_ns_) * 1e-9;
    const bool first = last_ns_ == 0;
    last_ns_ = now_ns;
    if (!measuring()) {
        since_settled_ += bytes;
        if (since_settled_ >= kAgainBytes) start();
        return;
    }
    if (!busy || first) return;
    sample_bytes_ += bytes;
    sample_seconds_ += seconds;
    if (sample_bytes_ < kSampleBytes) return;
    // Seconds of the same number of bytes, whatever the last read brought beyond it.
    seconds_[current_] +=
        sample_seconds_ * static_cast<double>(kSampleBytes) / static_cast<double>(sample_bytes_);
    sample_bytes_ = 0;
    sample_seconds_ = 0;
    current_ = (current_ + 1) % kWindows;
    if (current_ == 0 && --rounds_left_ == 0) settle();
}

void DriveWindow::start() {
    rounds_left_ = kRounds;
    seconds_ = {};
    current_ = 0;
    sample_bytes_ = 0;
    sample_seconds_ = 0;
}

void DriveWindow::settle() {
    constexpr double kGoodEnough = 1.03;
    const double best = *std::ranges::min_element(seconds_);
    since_settled_ = 0;
    for (size_t i = kWindows; i > 0; --i) {
        current_ = i - 1;
        if (seconds_[current_] <= best * kGoodEnough) return;
    }
}

}  // namespace millrace
