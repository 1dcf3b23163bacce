#pragma once
// Views of tensors. A view owns nothing and is valid as long as what it was made from.

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "core/base/check.h"

namespace millrace {

// The element types of safetensors files that a checkpoint may hold. F8_E8M0 also stands for scales stored as U8.
enum class DType : uint8_t { kF32, kF16, kBf16, kF8E4m3, kF8E8m0, kI8, kU8, kI32, kI64, kF64 };

[[nodiscard]] constexpr size_t dtype_bytes(DType t) {
    switch (t) {
        case DType::kF64:
        case DType::kI64: return 8;
        case DType::kF32:
        case DType::kI32: return 4;
        case DType::kF16:
        case DType::kBf16: return 2;
        default: return 1;
    }
}

// The safetensors spelling: "BF16", "F8_E4M3", …
[[nodiscard]] std::string_view dtype_name(DType t);

inline constexpr size_t kMaxRank = 4;

// Row-major; unused dimensions are 1. Every dimension is ≥ 0 and the product fits an int64 (checked where files are read).
struct Shape {
    std::array<int64_t, kMaxRank> dims{1, 1, 1, 1};
    int32_t rank = 0;

    Shape() = default;
    Shape(std::initializer_list<int64_t> d) : rank(static_cast<int32_t>(d.size())) {
        ENSURE(d.size() <= kMaxRank);
        size_t i = 0;
        for (const int64_t v : d) dims[i++] = v;
    }
    [[nodiscard]] int64_t count() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
    [[nodiscard]] std::string text() const;  // "[4096, 2048]"
    friend bool operator==(const Shape&, const Shape&) = default;
};

// A stored tensor, read-only and packed. The bytes need not be aligned to the element: files do not promise it.
struct TensorView {
    const std::byte* data = nullptr;
    DType dtype = DType::kU8;
    Shape shape;

    [[nodiscard]] bool present() const { return data != nullptr; }
    [[nodiscard]] size_t bytes() const {
        return static_cast<size_t>(shape.count()) * dtype_bytes(dtype);
    }
};

// Activations: `rows` vectors of `cols` elements, row r at data + r·stride.
template <class T>
struct MatrixView {
    T* data = nullptr;
    int64_t rows = 0;
    int64_t cols = 0;
    int64_t stride = 0;  // elements between rows, ≥ cols

    MatrixView() = default;
    MatrixView(T* d, int64_t r, int64_t c) : MatrixView(d, r, c, c) {}
    MatrixView(T* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}
    // A view that may write converts to one that may not.
    template <class U>
    requires(std::same_as<const U, T> && !std::same_as<U, T>) MatrixView(MatrixView<U> m)
        : data(m.data), rows(m.rows), cols(m.cols), stride(m.stride) {}

    [[nodiscard]] std::span<T> row(int64_t r) const {
        DENSURE(r >= 0 && r < rows);
        return {data + r * stride, static_cast<size_t>(cols)};
    }
    [[nodiscard]] MatrixView slice_rows(int64_t first, int64_t count) const {
        DENSURE(first >= 0 && first + count <= rows);
        return {data + first * stride, count, cols, stride};
    }
};

}  // namespace millrace
