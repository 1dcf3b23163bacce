#pragma once
// "packing: 12.4 of 142.1 GB, 1.02 GB/s, 2 min left", once it takes longer than a second.

#include <cstdint>
#include <string>
#include <utility>

#include "app/terminal.h"
#include "core/base/clock.h"

namespace millrace {

class WorkProgress {
public:
    WorkProgress(Terminal& terminal, std::string doing)
        : terminal_(terminal), doing_(std::move(doing)), mark_{clock_.now_ns(), 0} {}
    ~WorkProgress() { terminal_.clear_progress(); }
    WorkProgress(const WorkProgress&) = delete;
    WorkProgress& operator=(const WorkProgress&) = delete;

    // `found` of `done` were there before: they say nothing about the speed.
    void show(uint64_t done, uint64_t total, uint64_t found);
    // Bytes a second over the whole time so far.
    [[nodiscard]] double rate(uint64_t worked) const;
    [[nodiscard]] double seconds() const;

private:
    struct Mark {
        int64_t ns;
        uint64_t worked;
    };

    Terminal& terminal_;
    std::string doing_;
    mutable SystemClock clock_;
    Mark mark_;  // the rate shown is since this one
    const Mark begin_ = mark_;
    int64_t shown_ns_ = 0;
};

// "45 s", "2 min", "1 h 5 min"
[[nodiscard]] std::string duration_words(double seconds);

}  // namespace millrace
