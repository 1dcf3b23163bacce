#include "core/base/json.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/base/random.h"
#include "core/base/utf8.h"

namespace millrace {
namespace {

Json parsed(std::string_view text) {
    auto json = Json::parse(text);
    REQUIRE_MESSAGE(json.ok(), text);
    return *std::move(json);
}

std::string problem(std::string_view text) {
    const auto json = Json::parse(text);
    REQUIRE_MESSAGE(!json.ok(), text);
    CHECK(json.error().code == ErrorCode::kCorrupt);
    return json.error().message;
}

TEST_CASE("values keep their kind, order and spelling") {
    const Json json = parsed(R"({"z":1.50,"a":[true,false,null],"m":{"x":"y"},"":-3e2})");
    CHECK(json.dump() == R"({"z":1.50,"a":[true,false,null],"m":{"x":"y"},"":-3e2})");
    CHECK(json.members().size() == 4);
    CHECK(json.members()[0].first == "z");
    CHECK(json.find("z")->spelling() == "1.50");
    CHECK(json.find("a")->items().size() == 3);
    CHECK(json.find("a")->items()[2].is_null());
    CHECK(*json.find("m")->find("x")->as_string() == "y");
    CHECK(json.find("none") == nullptr);
    CHECK(json.find("z")->find("x") == nullptr);
    CHECK(parsed("[[],{}]").dump() == "[[],{}]");
    CHECK(parsed(" \n\t\r 7 ").dump() == "7");
}

TEST_CASE("numbers are integers, doubles or neither") {
    CHECK(*parsed("9223372036854775807").as_int() == std::numeric_limits<int64_t>::max());
    CHECK(*parsed("-9223372036854775808").as_int() == std::numeric_limits<int64_t>::min());
    CHECK(!parsed("9223372036854775808").as_int());
    CHECK(!parsed("123456789012345678901234567890").as_int());
    CHECK(parsed("123456789012345678901234567890").spelling() == "123456789012345678901234567890");
    CHECK(!parsed("1.0").as_int());
    CHECK(!parsed("1e2").as_int());
    CHECK(*parsed("1e2").as_double() == 100);
    CHECK(*parsed("0.1").as_double() == 0.1);
    CHECK(*parsed("18446744073709551615").as_double() == 0x1p64);
    CHECK(!parsed("\"1\"").as_int());
    CHECK(!parsed("true").as_double());
    CHECK(!parsed("0").as_bool());
    CHECK(Json::parse("1e999").ok() == false);
    CHECK(*parsed("1e-999").as_double() == 0);
}

// The right column is what Python 3.11 prints for json.dumps(json.loads(left)).
TEST_CASE("Python's spelling of numbers") {
    const std::pair<const char*, const char*> rows[] = {
        {"0", "0"},
        {"-0", "0"},
        {"1", "1"},
        {"1.0", "1.0"},
        {"-1.50", "-1.5"},
        {"1e5", "100000.0"},
        {"1E5", "100000.0"},
        {"1e15", "1000000000000000.0"},
        {"1e16", "1e+16"},
        {"123456789012345680.0", "1.2345678901234568e+17"},
        {"9007199254740993.0", "9007199254740992.0"},
        {"0.0001", "0.0001"},
        {"0.00001", "1e-05"},
        {"1e-7", "1e-07"},
        {"-1e-5", "-1e-05"},
        {"1e100", "1e+100"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"5e-324", "5e-324"},
        {"1e-400", "0.0"},
        {"0.1", "0.1"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"100000000000000000000", "100000000000000000000"},
        {"-12345678901234567890123", "-12345678901234567890123"},
        {"-0.0", "-0.0"},
        {"0e5", "0.0"},
        {"2.5e-10", "2.5e-10"},
        {"1234567.125", "1234567.125"},
    };
    for (const auto& [text, python] : rows) CHECK(parsed(text).dump_python() == python);
}

TEST_CASE("Python's spelling of the rest") {
    const Json json = parsed(
        "{\"a\":[1,true,null,\"é\u2028\x7f\\\"\\\\/"
        "\\n\\r\\t\\b\\f\\u0001\\u001F\"],\"b\":{},\"c\":[]}");
    CHECK(json.dump_python() ==
          "{\"a\": [1, true, null, \"é\u2028\x7f\\\"\\\\/\\n\\r\\t\\b\\f\\u0001\\u001f\"], \"b\": "
          "{}, \"c\": []}");
}

TEST_CASE("escapes become characters") {
    CHECK(*parsed(R"("\u00e9\u6f22\ud83d\ude00\u0000\/")").as_string() ==
          std::string("é漢😀\0/", 11));
    CHECK(*parsed(R"("\"\\\b\f\n\r\t")").as_string() == "\"\\\b\f\n\r\t");
}

TEST_CASE("what is not JSON is refused with the place") {
    for (const char* text :
         {"",        " ",        "{",         "[1,", "[1,]", "{\"a\":1,}", "{a:1}",
          "{'a':1}", "01",       "+1",        "1.",  ".5",   "1e",         "0x10",
          "NaN",     "Infinity", "-Infinity", "nul", "True", "\"a",        "\"\n\"",
          "\"\t\"",  "\"\\x\"",  "\"\\u12\"", "1 2", "[1]]", "// x\n1",    "{\"a\" 1}",
          "{1:2}",   "[1 2]",    "-"}) {
        CHECK(problem(text).find("not valid JSON at byte") == 0);
    }
}

TEST_CASE("lone surrogates and invalid UTF-8 are refused") {
    for (const char* text : {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\ud800")",
                             R"("\udc00\ud800")", "\"\xFF\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"",
                             "\"\xF4\x90\x80\x80\"", "\"\xE2\x82\"", "{\"\xFF\":1}", "\xFF"}) {
        const std::string message = problem(text);
        CHECK(first_invalid_utf8(message) == message.size());
    }
}

TEST_CASE("the message stays short when the text is long") {
    CHECK(problem("\"" + std::string(1 << 20, 'x')).size() < 400);
    CHECK(problem("[" + std::string(1 << 20, '9') + "x").size() < 400);
}

TEST_CASE("nesting is bounded, width is not") {
    const auto nested = [](size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    CHECK(parsed(nested(256)).dump() == nested(256));
    CHECK(problem(nested(257)) == "nested deeper than 256 levels");
    CHECK(!Json::parse(std::string(1 << 20, '[')).ok());
    std::string objects;
    for (int i = 0; i < 300; ++i) objects += "{\"a\":";
    CHECK(problem(objects) == "nested deeper than 256 levels");
    std::string wide = "[0";
    for (int i = 1; i < 100'000; ++i) wide += ",0";
    CHECK(parsed(wide + "]").items().size() == 100'000);
}

TEST_CASE("a duplicate member: the last value at the first place, or an error") {
    const std::string text = R"({"a":1,"b":2,"a":{"c":3}})";
    CHECK(parsed(text).dump() == R"({"a":{"c":3},"b":2})");
    const auto unique = Json::parse_unique(text);
    REQUIRE(!unique.ok());
    CHECK(unique.error().message == "the name \"a\" stands twice in one object");
    CHECK(Json::parse_unique(R"({"a":{"a":1},"b":{"a":1}})").ok());
    CHECK(!Json::parse_unique(R"({"\u0061":1,"a":2})").ok());
    std::string many = "{\"k0\":0";
    for (int i = 1; i < 50'000; ++i) many += ",\"k" + std::to_string(i) + "\":0";
    CHECK(Json::parse_unique(many + "}")->members().size() == 50'000);
}

TEST_CASE("trees are built by hand") {
    Json json;
    json.set("n", 3);
    json.set("s", "text");
    json.set("d", 0.5);
    json.set("list", Json::Array{1, "two", nullptr == nullptr, Json()});
    json.set("n", 4);
    CHECK(json.dump() == R"({"n":4,"s":"text","d":0.5,"list":[1,"two",true,null]})");
    Json list;
    list.push(uint64_t{18446744073709551615u});
    list.push(std::nan(""));
    list.push(Json::number("1e3"));
    CHECK(list.dump() == "[18446744073709551615,null,1e3]");
    CHECK(list.kind_name() == "an array");
    CHECK(json.kind_name() == "an object");
    CHECK(Json().kind_name() == "null");
    CHECK(Json("x").kind_name() == "a string");
    CHECK(Json(1).kind_name() == "a number");
    CHECK(Json(true).kind_name() == "a boolean");
}

Json random_json(Random& random, int depth) {
    switch (random.below(depth > 0 ? 6 : 4)) {
        case 0: return random.below(2) == 0 ? Json() : Json(random.below(2) == 0);
        case 1: return static_cast<int64_t>(random.next());
        case 2: return random.unit() * 1e6;
        case 3: {
            std::string text;
            for (uint64_t n = random.below(8); n > 0; --n) {
                append_utf8(text, static_cast<char32_t>(
                                      random.below(random.below(2) == 0 ? 0x80 : 0xD800)));
            }
            return text;
        }
        case 4: {
            Json list = Json::Array{};
            for (uint64_t n = random.below(5); n > 0; --n)
                list.push(random_json(random, depth - 1));
            return list;
        }
        default: {
            Json object = Json::Object{};
            for (uint64_t n = random.below(5); n > 0; --n) {
                object.set("k" + std::to_string(random.below(9)), random_json(random, depth - 1));
            }
            return object;
        }
    }
}

TEST_CASE("random trees survive writing and reading in both styles") {
    Random random(5);
    for (int i = 0; i < 3000; ++i) {
        const std::string text = random_json(random, 5).dump();
        const auto again = Json::parse_unique(text);
        REQUIRE(again.ok());
        REQUIRE(again->dump() == text);
        REQUIRE(parsed(again->dump_python()).dump_python() == again->dump_python());
    }
}

TEST_CASE("cut or damaged texts never crash the reader") {
    Random random(6);
    for (int i = 0; i < 3000; ++i) {
        std::string text = random_json(random, 4).dump();
        if (random.below(2) == 0) text.resize(random.below(text.size() + 1));
        for (uint64_t n = random.below(3); n > 0 && !text.empty(); --n) {
            text[random.below(text.size())] = static_cast<char>(random.below(256));
        }
        const auto json = Json::parse(text);
        if (json.ok()) {
            REQUIRE(Json::parse(json->dump()).ok());
        } else {
            REQUIRE(!json.error().message.empty());
        }
    }
}

}  // namespace
}  // namespace millrace
