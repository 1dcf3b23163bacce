#pragma once
// "reading the prompt: 512 of 2048 tokens", once it takes longer than a second.

#include "app/terminal.h"
#include "core/base/clock.h"
#include "core/base/strings.h"
#include "core/engine/request.h"

namespace millrace {

class PrefillProgress {
public:
    explicit PrefillProgress(Terminal& terminal)
        : terminal_(terminal), begin_ns_(clock_.now_ns()) {}
    ~PrefillProgress() { terminal_.clear_progress(); }
    PrefillProgress(const PrefillProgress&) = delete;
    PrefillProgress& operator=(const PrefillProgress&) = delete;

    void show(const Event& event) {
        constexpr int64_t kPatienceNs = 1'000'000'000;
        if (event.prefill_done == event.prefill_total) return terminal_.clear_progress();
        if (clock_.now_ns() - begin_ns_ < kPatienceNs) return;
        terminal_.progress(cat("reading the prompt: ", event.prefill_done, " of ",
                               event.prefill_total, " tokens"));
    }

private:
    Terminal& terminal_;
    SystemClock clock_;
    int64_t begin_ns_;
};

}  // namespace millrace
