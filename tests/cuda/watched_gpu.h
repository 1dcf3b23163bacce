#pragma once
// The simulated GPU as one test wants it, and as all others expect it afterwards.

#include <doctest/doctest.h>

#include "tests/support/cuda_sim/card.h"
#include "tests/support/cuda_sim/simulator.h"

namespace millrace::test {

// Whatever kernels did wrong since the last call fails the test.
inline void expect_no_violations() {
    for (const cuda_sim::Violation& violation : cuda_sim::take_violations())
        FAIL_CHECK(violation.text());
}

struct WatchedGpu {
    explicit WatchedGpu(uint64_t seed) { cuda_sim::set_options({.seed = seed}); }
    ~WatchedGpu() {
        expect_no_violations();
        cuda_sim::set_card({});
        cuda_sim::change_thread();
        cuda_sim::set_options({});
    }
    WatchedGpu(const WatchedGpu&) = delete;
    WatchedGpu& operator=(const WatchedGpu&) = delete;
};

}  // namespace millrace::test
