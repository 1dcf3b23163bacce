#pragma once
// Dates for people and for names of files, in UTC.

#include <cstdint>
#include <string>

namespace millrace {

// "2026-09-21"; what no calendar of four digits has becomes its first or last day.
[[nodiscard]] std::string utc_date(int64_t ms_since_1970);
// "2026-09-21 14:13 UTC"
[[nodiscard]] std::string utc_minute(int64_t ms_since_1970);

}  // namespace millrace
