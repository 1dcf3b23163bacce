// Headers of safetensors files, sound and hostile.

#include "core/model/safetensors.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "core/base/strings.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

// Complete files; the data is zeros.
std::string file_of(std::string_view header, size_t data_bytes) {
    std::string file(8, '\0');
    for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
    file += header;
    file.append(data_bytes, '\0');
    return file;
}

Result<SafetensorsHeader> read(std::string_view bytes, FileLength length = FileLength::kExact) {
    const TempDirectory directory;
    const Path path = directory.path() / "x.safetensors";
    REQUIRE(write_file(path, bytes).ok());
    auto file = File::open(path);
    REQUIRE(file.ok());
    return read_safetensors_header(*file, length);
}

std::string error_of(const Result<SafetensorsHeader>& result) {
    REQUIRE(!result.ok());
    return result.error().message;
}

void check_names(const std::string& message, std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts) {
        INFO(message);
        CHECK(message.find(part) != std::string::npos);
    }
}

constexpr std::string_view kTwo = R"({"__metadata__":{"format":"pt"},)"
                                  R"("b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},)"
                                  R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

}  // namespace

TEST_CASE("a sound header gives types, shapes and positions in the file") {
    const auto header = read(file_of(kTwo, 20));
    REQUIRE(header.ok());
    REQUIRE(header->tensors.size() == 2);
    CHECK(header->tensors[0].name == "a");
    CHECK(header->tensors[0].dtype == DType::kF32);
    CHECK(header->tensors[0].shape == Shape{2});
    CHECK(header->tensors[0].offset == 8 + kTwo.size());
    CHECK(header->tensors[1].name == "b");
    CHECK(header->tensors[1].shape == Shape{2, 3});
    CHECK(header->tensors[1].offset == 8 + kTwo.size() + 8);
    CHECK(header->tensors[1].bytes == 12);
    CHECK(header->file_bytes == 8 + kTwo.size() + 20);
    REQUIRE(header->metadata.size() == 1);
    CHECK(header->metadata[0].second == "pt");
}

TEST_CASE("spaces behind the header, scalars and empty tensors are sound") {
    CHECK(read(file_of(std::string(kTwo) + "   ", 20)).ok());
    const auto scalar = read(file_of(R"({"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                                     R"("e":{"dtype":"F32","shape":[0,7],"data_offsets":[8,8]}})",
                                     8));
    REQUIRE(scalar.ok());
    CHECK(scalar->tensors[0].bytes == 8);
    CHECK(scalar->tensors[1].bytes == 0);
    CHECK(read(file_of("{}", 0)).ok());
}

TEST_CASE("a truncated or overlong file is refused, unless headers alone are wanted") {
    check_names(error_of(read(file_of(kTwo, 19))),
                {"x.safetensors", cat("has ", 8 + kTwo.size() + 19, " bytes"),
                 cat("header says ", 8 + kTwo.size() + 20), "truncated", "download"});
    check_names(error_of(read(file_of(kTwo, 21))), {"x.safetensors", "too long", "download"});
    CHECK(read(file_of(kTwo, 0), FileLength::kAny).ok());
    CHECK(read(file_of(kTwo, 400), FileLength::kAny).ok());
    check_names(error_of(read("abc")), {"x.safetensors", "has 3 bytes", "too few"});
    std::string cut = file_of(kTwo, 0);
    cut.resize(40);
    for (const FileLength length : {FileLength::kExact, FileLength::kAny}) {
        check_names(error_of(read(cut, length)),
                    {"x.safetensors", "has 40 bytes", cat("needs ", 8 + kTwo.size()), "truncated"});
    }
}

TEST_CASE("header lengths up to 2^64 - 1 are only numbers") {
    for (const uint64_t length : {uint64_t{100'000'001}, uint64_t{1} << 32, uint64_t{1} << 63,
                                  (uint64_t{1} << 63) - 1, ~uint64_t{0}, ~uint64_t{0} - 7}) {
        std::string file(64, '{');
        for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(length >> (8 * i));
        check_names(error_of(read(file)),
                    {"x.safetensors", cat("a header of ", length), "100000000"});
    }
}

TEST_CASE("headers that lie are refused, naming the tensor") {
    struct Lie {
        std::string_view header, tensor, problem;
    };
    const std::array lies = {
        Lie{R"({"t":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "\"t\"", "8 bytes"},
        Lie{R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", "\"t\"", "a hole"},
        Lie{R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "\"t\"", "[8,0]"},
        Lie{R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", "\"t\"", "[-8,0]"},
        Lie{R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "\"t\"", "[begin, end]"},
        Lie{R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775808]}})", "\"t\"",
            "2^63"},
        Lie{R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8.0]}})", "\"t\"", "2^63"},
        Lie{R"({"t":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "\"t\"", "\"-2\""},
        Lie{R"({"t":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})",
            "\"t\"", "2^63"},
        Lie{R"({"t":{"dtype":"I64","shape":[4611686018427387904],"data_offsets":[0,8]}})", "\"t\"",
            "times 8"},
        Lie{R"({"t":{"dtype":"I64","shape":[1152921504606846977],"data_offsets":[0,8]}})", "\"t\"",
            "times 8"},
        Lie{R"({"t":{"dtype":"U8","shape":[1,1,1,2,4],"data_offsets":[0,8]}})", "\"t\"",
            "5 dimensions"},
        Lie{R"({"t":{"dtype":"F4X","shape":[8],"data_offsets":[0,8]}})", "\"t\"", "\"F4X\""},
        Lie{R"({"t":{"dtype":7,"shape":[8],"data_offsets":[0,8]}})", "\"t\"", "a number as dtype"},
        Lie{R"({"t":{"dtype":"U8","shape":8,"data_offsets":[0,8]}})", "\"t\"", "a number as shape"},
        Lie{R"({"t":{"dtype":"U8","data_offsets":[0,8]}})", "\"t\"", "without shape"},
        Lie{R"({"t":[1,2]})", "\"t\"", "an array without dtype"},
        Lie{R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
            R"("t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
            "\"t\"", "overlap"},
        Lie{R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
            R"("t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
            "\"t\"", "overlap"},
        Lie{R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
            R"("t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
            "\"t\"", "twice"},
        Lie{R"({"__metadata__":{"k":1}})", "\"k\"", "wanted a string"},
        Lie{R"([])", "header", "'{'"},
        Lie{R"( {})", "header", "'{'"},
        Lie{R"({"t":)", "header", "JSON"},
        Lie{"{\"t\xFF\":{}}", "header", "JSON"},
    };
    for (const Lie& lie : lies) {
        INFO(std::string(lie.header));
        check_names(error_of(read(file_of(lie.header, 8))),
                    {"x.safetensors", lie.tensor, lie.problem});
    }
}

}  // namespace millrace::test
