#pragma once
// XXH3, 64 bits: finds what a drive, a copy or a torn write has changed. No protection against somebody who wants to
// deceive.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

[[nodiscard]] uint64_t checksum_of(std::span<const std::byte> bytes, uint64_t seed = 0);
[[nodiscard]] uint64_t checksum_of(std::string_view text, uint64_t seed = 0);

// As files hold it: 16 lower-case hexadecimal digits, nothing else.
[[nodiscard]] std::string hex16(uint64_t value);
[[nodiscard]] std::optional<uint64_t> parse_hex16(std::string_view text);

}  // namespace millrace
