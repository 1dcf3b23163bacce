#pragma once
// Amounts and rates as people write them: 64M, 2G, 1.5GiB; 7GB/s.

#include <cstdint>
#include <string_view>

#include "core/base/result.h"

namespace millrace {

// A number, whole or decimal, and a unit: none or B (bytes), K, M, G, T (powers of 1024), also spelled KB or KiB, in
// either case. Nothing else: no sign, no spaces, no exponent. At most 2⁶² bytes. The error says what was found.
[[nodiscard]] Result<uint64_t> parse_size(std::string_view text);

// The same with units of powers of 1000, as drives are sold, and "/s" or nothing behind: 7GB/s, 900MB/s, 52G. At least 1.
[[nodiscard]] Result<double> parse_rate(std::string_view text);

}  // namespace millrace
