#pragma once
// Notices when the drive gives much less than it has given before: another program reads too, it is hot, or it is failing.

#include <cstdint>
#include <optional>
#include <string>

namespace millrace {

class DriveWatch {
public:
    // What was read for one answer, and for how long at least one read was in flight. A sentence when it went at less than
    // a quarter of the best that this drive has given since the start; answers that read too little to tell are left out.
    [[nodiscard]] std::optional<std::string> add(uint64_t bytes, int64_t busy_ns);

private:
    double best_ = 0;  // bytes a second
};

}  // namespace millrace
