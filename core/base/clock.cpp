#include "core/base/clock.h"

#include <chrono>

namespace millrace {

int64_t SystemClock::now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

int64_t SystemCalendar::now_s() { return now_ms() / 1000; }

int64_t SystemCalendar::now_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

}  // namespace millrace
