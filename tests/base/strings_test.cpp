#include "core/base/strings.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "core/base/random.h"
#include "core/base/utf8.h"

namespace millrace {
namespace {

TEST_CASE("cat joins text and numbers in full") {
    CHECK(cat() == "");
    CHECK(cat("a", 'b', std::string("c"), 1, -2, uint8_t{200}) == "abc1-2200");
    CHECK(cat(std::numeric_limits<int64_t>::min()) == "-9223372036854775808");
    CHECK(cat(std::numeric_limits<uint64_t>::max()) == "18446744073709551615");
    CHECK(cat(0.1, " ", 1.0, " ", 1e300) == "0.1 1 1e+300");
}

TEST_CASE("a double's text reads back as the same double") {
    Random random(1);
    for (int i = 0; i < 20000; ++i) {
        const auto value = std::bit_cast<double>(random.next());
        if (!std::isfinite(value)) continue;
        REQUIRE(std::strtod(cat(value).c_str(), nullptr) == value);
    }
}

TEST_CASE("fixed rounds to the digits asked for, also at the ends of the range") {
    CHECK(fixed(2.0, 0) == "2");
    CHECK(fixed(-1.005, 1) == "-1.0");
    CHECK(fixed(1234.5678, 2) == "1234.57");
    CHECK(fixed(std::numeric_limits<double>::max(), 2).size() == 312);
    CHECK(fixed(std::numeric_limits<double>::denorm_min(), 3) == "0.000");
}

TEST_CASE("human_bytes changes unit before it would print 1024") {
    CHECK(human_bytes(0) == "0 B");
    CHECK(human_bytes(1023) == "1023 B");
    CHECK(human_bytes(1024) == "1.00 KiB");
    CHECK(human_bytes(1536) == "1.50 KiB");
    CHECK(human_bytes((1u << 20) - 1) == "1.00 MiB");
    CHECK(human_bytes((1u << 20) - 6 * 1024) == "1018.00 KiB");
    CHECK(human_bytes(uint64_t{3} << 30) == "3.00 GiB");
    CHECK(human_bytes(std::numeric_limits<uint64_t>::max()) == "16777216.00 TiB");
}

TEST_CASE("quote_text makes one safe line of anything") {
    CHECK(quote_text("plain é 漢 😀") == "\"plain é 漢 😀\"");
    CHECK(quote_text("a\nb\tc\x1b[31m") == "\"a?b?c?[31m\"");
    CHECK(quote_text("\xC2\x9B") == "\"?\"");  // a C1 control, which terminals obey
    CHECK(quote_text("\x7F") == "\"?\"");
    CHECK(quote_text("\xFF\xED\xA0\x80z") == "\"????z\"");
    CHECK(quote_text("") == "\"\"");
}

TEST_CASE("quote_text keeps at most the bytes allowed and whole characters") {
    CHECK(quote_text("abcdef", 6) == "\"abcdef\"");
    CHECK(quote_text("abcdef", 5) == "\"abcde\"…");
    CHECK(quote_text("ab漢", 4) == "\"ab\"…");
    CHECK(quote_text("ab漢", 5) == "\"ab漢\"");
    CHECK(quote_text("x", 0) == "\"\"…");
}

TEST_CASE("quote_text of random bytes is valid UTF-8 without controls") {
    Random random(2);
    for (int round = 0; round < 2000; ++round) {
        std::string bytes(random.below(40), '\0');
        for (char& c : bytes) c = static_cast<char>(random.below(256));
        const std::string quoted = quote_text(bytes, 30);
        REQUIRE(first_invalid_utf8(quoted) == quoted.size());
        for (const char c : quoted) REQUIRE(static_cast<unsigned char>(c) >= 0x20);
        REQUIRE(quoted.size() <= 30 + 2 + 3);
    }
}

}  // namespace
}  // namespace millrace
