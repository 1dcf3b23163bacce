#include "core/base/result.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace millrace {
namespace {

Result<int> half(int x) {
    if (x % 2 != 0) return Error{ErrorCode::kInvalid, "odd"};
    return x / 2;
}

Result<int> quarter(int x) {
    const int h = TRY(half(x));
    return TRY(half(h));
}

Status only_even(int x) {
    TRY(half(x));
    return {};
}

TEST_CASE("a Result holds a value or an error") {
    CHECK(half(8).ok());
    CHECK(*half(8) == 4);
    CHECK(!half(7));
    CHECK(half(7).error().code == ErrorCode::kInvalid);
    CHECK(half(7).error().message == "odd");
}

TEST_CASE("TRY continues with the value or returns the error") {
    CHECK(*quarter(12) == 3);
    CHECK(quarter(6).error().message == "odd");
    CHECK(quarter(7).error().message == "odd");
    CHECK(only_even(2).ok());
    CHECK(only_even(3).error().message == "odd");
}

Result<std::unique_ptr<int>> boxed(int x) { return std::make_unique<int>(x); }

Result<int> unboxed(int x) {
    const std::unique_ptr<int> box = TRY(boxed(x));
    return *box;
}

TEST_CASE("values that can only be moved pass through TRY") {
    CHECK(*unboxed(5) == 5);
    Result<std::unique_ptr<int>> box = boxed(6);
    const std::unique_ptr<int> taken = *std::move(box);
    CHECK(*taken == 6);
}

TEST_CASE("an error says once where it happened") {
    const Error error{ErrorCode::kIo, "no such file"};
    CHECK(error.in("reading x").message == "reading x: no such file");
    CHECK(error.in("reading x").code == ErrorCode::kIo);
}

TEST_CASE("the arrow reaches into the value") {
    Result<std::string> text = std::string("abc");
    CHECK(text->size() == 3);
    text->push_back('d');
    CHECK(*text == "abcd");
}

}  // namespace
}  // namespace millrace
