#include "core/base/utf8.h"

#include <doctest/doctest.h>

#include <array>
#include <set>
#include <string>
#include <vector>

namespace millrace {
namespace {

// The bytes where the table of valid sequences changes, and their neighbours.
constexpr std::array<unsigned char, 38> kEdges = {
    0x00, 0x01, 0x7E, 0x7F, 0x80, 0x81, 0x8E, 0x8F, 0x90, 0x91, 0x9E, 0x9F, 0xA0,
    0xA1, 0xBE, 0xBF, 0xC0, 0xC1, 0xC2, 0xC3, 0xDE, 0xDF, 0xE0, 0xE1, 0xEC, 0xED,
    0xEE, 0xEF, 0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF8, 0xFE, 0xFF};

std::string encoded(char32_t code) {
    std::string out;
    append_utf8(out, code);
    return out;
}

// All valid characters, and all their true beginnings: the definition, against which the decoder is held.
struct Alphabet {
    std::set<std::string> characters, beginnings;
    Alphabet() {
        for (char32_t code = 0; code <= 0x10FFFF; ++code) {
            if (code >= 0xD800 && code < 0xE000) continue;
            std::string text = encoded(code);
            for (size_t n = 1; n < text.size(); ++n) beginnings.insert(text.substr(0, n));
            if (text.size() <= 2 || code % 7 == 0 || code < 0x1100)
                characters.insert(std::move(text));
        }
    }
};

TEST_CASE("every character is written and read back") {
    for (char32_t code = 0; code <= 0x10FFFF; ++code) {
        if (code >= 0xD800 && code < 0xE000) continue;
        const std::string text = encoded(code);
        const Utf8Char c = decode_utf8(text + "\x80");
        REQUIRE(c.valid);
        REQUIRE(c.code == code);
        REQUIRE(c.bytes == text.size());
    }
}

TEST_CASE("the bytes of known characters") {
    CHECK(encoded(U'A') == "A");
    CHECK(encoded(U'é') == "\xC3\xA9");
    CHECK(encoded(U'€') == "\xE2\x82\xAC");
    CHECK(encoded(U'😀') == "\xF0\x9F\x98\x80");
}

// Valid is what the encoder writes; else the longest beginning of a character is taken, at least one byte.
void compare_with_definition(const Alphabet& alphabet, const std::string& text) {
    const Utf8Char c = decode_utf8(text);
    size_t longest = 1;
    for (size_t n = 2; n <= text.size(); ++n) {
        if (alphabet.beginnings.contains(text.substr(0, n))) longest = n;
    }
    if (c.valid) {
        REQUIRE(encoded(c.code) == text.substr(0, c.bytes));
        REQUIRE((c.code < 0xD800 || (c.code >= 0xE000 && c.code <= 0x10FFFF)));
    } else {
        REQUIRE(c.code == 0xFFFD);
        REQUIRE(c.bytes == longest);
        for (size_t n = 1; n <= text.size(); ++n) {
            REQUIRE(!alphabet.characters.contains(text.substr(0, n)));
        }
    }
}

TEST_CASE("every sequence of up to four edge bytes is judged by the definition") {
    const Alphabet alphabet;
    std::string text;
    for (const unsigned char a : kEdges) {
        text = {static_cast<char>(a)};
        compare_with_definition(alphabet, text);
        for (const unsigned char b : kEdges) {
            text = {static_cast<char>(a), static_cast<char>(b)};
            compare_with_definition(alphabet, text);
            if (a < 0xE0) continue;
            for (const unsigned char c : kEdges) {
                text = {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)};
                compare_with_definition(alphabet, text);
                if (a < 0xF0 || b < 0x7F || b > 0xC0) continue;
                for (const int d : {0x7F, 0x80, 0xBF, 0xC0}) {
                    compare_with_definition(alphabet, text + static_cast<char>(d));
                }
            }
        }
    }
}

TEST_CASE("the first invalid byte is found") {
    CHECK(first_invalid_utf8("") == 0);
    CHECK(first_invalid_utf8("aé漢😀") == 10);
    CHECK(first_invalid_utf8("aé\xC3") == 3);
    CHECK(first_invalid_utf8("\xED\xA0\x80") == 0);      // a surrogate
    CHECK(first_invalid_utf8("ab\xC0\x80") == 2);        // an overlong NUL
    CHECK(first_invalid_utf8("\xF4\x90\x80\x80") == 0);  // past U+10FFFF
}

TEST_CASE("an incomplete tail is exactly the beginning of a character") {
    const Alphabet alphabet;
    for (const std::string& beginning : alphabet.beginnings) {
        REQUIRE(incomplete_utf8_tail(beginning) == beginning.size());
        REQUIRE(incomplete_utf8_tail("x" + beginning) == beginning.size());
        REQUIRE(incomplete_utf8_tail("é" + beginning) == beginning.size());
        REQUIRE(incomplete_utf8_tail(beginning + "x") == 0);
    }
    for (const char32_t code : {U'a', U'é', U'€', U'😀'}) {
        CHECK(incomplete_utf8_tail(encoded(code)) == 0);
    }
    for (const char* broken :
         {"", "\x80", "\xE0\x80", "\xED\xA0", "\xF4\x90", "\xC0", "\xF5", "\xBF\xBF\xBF\xBF"}) {
        CHECK(incomplete_utf8_tail(broken) == 0);
    }
}

TEST_CASE("repair puts one U+FFFD for every maximal invalid part") {
    CHECK(repair_utf8("aé漢😀") == "aé漢😀");
    CHECK(repair_utf8("") == "");
    // The example of the Unicode standard, table 3-8 and its neighbours.
    CHECK(repair_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                      "b\x80"
                      "c\x80\xBF"
                      "d") == "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
    CHECK(repair_utf8("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");
    CHECK(repair_utf8("\xF0\x9F\x98") == "\uFFFD");
}

}  // namespace
}  // namespace millrace
