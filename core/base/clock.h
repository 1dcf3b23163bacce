#pragma once
// Time as a dependency, so that a simulation can own it.

#include <cstdint>

namespace millrace {

class Clock {
public:
    virtual ~Clock() = default;
    // Nanoseconds since some fixed moment; never goes back. Any thread may call.
    [[nodiscard]] virtual int64_t now_ns() = 0;
};

// CLOCK_MONOTONIC.
class SystemClock final : public Clock {
public:
    [[nodiscard]] int64_t now_ns() override;
};

// The date, for what outlives a process. People set it, so it may go back.
class Calendar {
public:
    virtual ~Calendar() = default;
    // Seconds since 1970. Any thread may call.
    [[nodiscard]] virtual int64_t now_s() = 0;
    // The same in milliseconds, as fine as the clock is.
    [[nodiscard]] virtual int64_t now_ms() { return now_s() * 1000; }
};

// CLOCK_REALTIME.
class SystemCalendar final : public Calendar {
public:
    [[nodiscard]] int64_t now_s() override;
    [[nodiscard]] int64_t now_ms() override;
};

}  // namespace millrace
