#pragma once
// How those who write or check a store say how far they are, and are told to stop.

#include <cstdint>

namespace millrace {

struct StoreProgress {
    uint64_t done_bytes = 0, total_bytes = 0;
    uint64_t found_bytes = 0;  // of done_bytes: finished by an earlier run
};

class StoreWatcher {
public:
    virtual ~StoreWatcher() = default;
    // After every piece; never twice at the same time, but from any thread. False: stop, what is done is kept.
    [[nodiscard]] virtual bool progress(const StoreProgress& progress) = 0;
};

}  // namespace millrace
