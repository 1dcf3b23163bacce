#pragma once
// SHA-256 (FIPS 180-4), to compare with the digests beside golden data. Not for secrets.

#include <cstddef>
#include <span>
#include <string>

namespace millrace::test {

// 64 lower-case hexadecimal digits.
[[nodiscard]] std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace millrace::test
