#pragma once
// XXH3 over the bytes of an expert in its slot, to be compared with ExpertPlace::checksum. Allocates at construction only.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "offload/expert_layout.h"

namespace millrace {

class RecordChecksum {
public:
    RecordChecksum();
    ~RecordChecksum();
    RecordChecksum(const RecordChecksum&) = delete;
    RecordChecksum& operator=(const RecordChecksum&) = delete;

    // Of the ranges' bytes one after the other, without what else their blocks hold.
    [[nodiscard]] uint64_t of(const ExpertPlace& place, const std::byte* slot);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace millrace
