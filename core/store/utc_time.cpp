#include "core/store/utc_time.h"

#include <algorithm>
#include <chrono>

#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr int64_t kLastMs = 253'402'300'799'999;  // of the year 9999

std::string two(unsigned number) { return cat(number < 10 ? "0" : "", number); }

}  // namespace

std::string utc_date(int64_t ms_since_1970) {
    const std::chrono::sys_time<std::chrono::milliseconds> time(
        std::chrono::milliseconds(std::clamp(ms_since_1970, int64_t{0}, kLastMs)));
    const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(time));
    return cat(static_cast<int>(date.year()), "-", two(static_cast<unsigned>(date.month())), "-",
               two(static_cast<unsigned>(date.day())));
}

std::string utc_minute(int64_t ms_since_1970) {
    const int64_t minutes = std::clamp(ms_since_1970, int64_t{0}, kLastMs) / 60'000;
    return cat(utc_date(ms_since_1970), " ", two(static_cast<unsigned>(minutes / 60 % 24)), ":",
               two(static_cast<unsigned>(minutes % 60)), " UTC");
}

}  // namespace millrace
