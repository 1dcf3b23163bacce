#pragma once
// Whether guessing pays. A guess that nobody wanted has used the drive, and perhaps held up a demand; after too many of them
// guessing stops, but for a try now and then, because texts change.

#include <cstdint>

namespace millrace {

class GuessGate {
public:
    // Asked once for every guess that could be made; a closed gate lets one of 32 through.
    [[nodiscard]] bool open() { return pays() || ++refused_ % kTryEvery == 0; }
    void used() { add(used_); }
    void wasted() { add(wasted_); }

    // At least two of three were wanted, of those that count: the last few hundred. With fewer a drive that is the limit
    // loses: at two of five, which a made-up router gives, tokens took up to twice as long (0.9 GB/s, four fifths resident).
    [[nodiscard]] bool pays() const { return 2 * wasted_ <= used_ + kCredit; }

private:
    static constexpr uint64_t kTryEvery = 32, kKept = 256, kCredit = 24;

    void add(uint64_t& outcome) {
        ++outcome;
        if (used_ + wasted_ < kKept) return;
        used_ /= 2;
        wasted_ /= 2;
    }
    uint64_t used_ = 0, wasted_ = 0, refused_ = 0;
};

}  // namespace millrace
