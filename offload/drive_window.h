#pragma once
// How many bytes to keep in flight on one drive, found by trying: what is enough for a drive depends on its queues, its
// kernel and its neighbours, and labels lie. A drive that is kept busy is measured with each of a few windows in turn;
// the smallest that comes within 3 % of the best is used from then on, because whatever is in flight stands in front of
// the next demand. Measured again now and then, as drives grow hot and neighbours come and go.

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace {

class DriveWindow {
public:
    // Windows of 1, 1/2 and 1/4 of `bytes_max`, none below `bytes_min`.
    DriveWindow(uint64_t bytes_max, uint64_t bytes_min);

    [[nodiscard]] uint64_t bytes() const { return windows_[current_]; }
    [[nodiscard]] bool measuring() const { return rounds_left_ > 0; }
    // So many bytes have arrived by `now_ns`. `busy`: something was waiting for room all the time since the last call;
    // otherwise the time since then says nothing about the drive.
    void arrived(uint64_t bytes, int64_t now_ns, bool busy);

    // A window is measured over so many bytes each time, so many times in turn.
    static constexpr uint64_t kSampleBytes = uint64_t{48} << 20;
    static constexpr int32_t kRounds = 3;
    static constexpr uint64_t kAgainBytes = uint64_t{64} << 30;

private:
    static constexpr size_t kWindows = 3;
    void start();
    void settle();

    std::array<uint64_t, kWindows> windows_{};
    std::array<double, kWindows> seconds_{};  // of all samples, equally many bytes each
    size_t current_ = 0;
    int32_t rounds_left_ = kRounds;
    uint64_t sample_bytes_ = 0;
    double sample_seconds_ = 0;
    int64_t last_ns_ = 0;
    uint64_t since_settled_ = 0;
};

}  // namespace millrace
