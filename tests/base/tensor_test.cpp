#include "core/base/tensor.h"

#include <doctest/doctest.h>

#include <array>
#include <vector>

namespace millrace {
namespace {

TEST_CASE("dtypes have the sizes and names of safetensors") {
    struct Row {
        DType dtype;
        size_t bytes;
        std::string_view name;
    };
    for (const Row& row : std::array<Row, 10>{{{DType::kF64, 8, "F64"},
                                               {DType::kI64, 8, "I64"},
                                               {DType::kF32, 4, "F32"},
                                               {DType::kI32, 4, "I32"},
                                               {DType::kF16, 2, "F16"},
                                               {DType::kBf16, 2, "BF16"},
                                               {DType::kF8E4m3, 1, "F8_E4M3"},
                                               {DType::kF8E8m0, 1, "F8_E8M0"},
                                               {DType::kI8, 1, "I8"},
                                               {DType::kU8, 1, "U8"}}}) {
        CHECK(dtype_bytes(row.dtype) == row.bytes);
        CHECK(dtype_name(row.dtype) == row.name);
    }
}

TEST_CASE("shapes count their elements and print as lists") {
    CHECK(Shape{}.count() == 1);
    CHECK(Shape{}.text() == "[]");
    CHECK(Shape{4096, 2048}.count() == 4096 * 2048);
    CHECK(Shape{4096, 2048}.text() == "[4096, 2048]");
    CHECK(Shape{3, 0, 5}.count() == 0);
    CHECK(Shape{2, 3} == Shape{2, 3});
    CHECK(!(Shape{2, 3} == Shape{2, 3, 1}));
}

TEST_CASE("a tensor view knows its bytes") {
    const std::array<std::byte, 24> bytes{};
    const TensorView view{bytes.data(), DType::kBf16, {3, 4}};
    CHECK(view.present());
    CHECK(view.bytes() == 24);
    CHECK(!TensorView{}.present());
}

TEST_CASE("a matrix view walks rows by its stride") {
    std::vector<int> data = {0, 1, 2, 9, 10, 11, 12, 9, 20, 21, 22, 9};
    const MatrixView<int> view(data.data(), 3, 3, 4);
    CHECK(view.row(2)[1] == 21);
    CHECK(view.row(1).size() == 3);
    const MatrixView<int> lower = view.slice_rows(1, 2);
    CHECK(lower.rows == 2);
    CHECK(lower.row(0)[0] == 10);
    const MatrixView<const int> reading = view;
    CHECK(reading.row(0)[2] == 2);
    lower.row(1)[0] = 5;
    CHECK(data[8] == 5);
}

}  // namespace
}  // namespace millrace
