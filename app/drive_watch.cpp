#include "app/drive_watch.h"

#include <algorithm>

#include "core/base/strings.h"

namespace millrace {

std::optional<std::string> DriveWatch::add(uint64_t bytes, int64_t busy_ns) {
    constexpr uint64_t kTellingBytes = uint64_t{1} << 20;
    constexpr int64_t kNoticed = 100'000'000;  // nobody minds what takes less
    constexpr double kSlow = 0.25;
    if (busy_ns <= 0 || bytes < kTellingBytes) return std::nullopt;
    const double rate = static_cast<double>(bytes) / (static_cast<double>(busy_ns) * 1e-9);
    best_ = std::max(best_, rate);
    if (busy_ns < kNoticed || rate >= kSlow * best_) return std::nullopt;
    return cat("the drive gave ", human_bytes(static_cast<uint64_t>(rate)), "/s; it has given ",
               human_bytes(static_cast<uint64_t>(best_)),
               "/s before. Does another program use it?");
}

}  // namespace millrace
