#pragma once
// The arguments of one op on their way to the GPU and back.

#include <cstring>
#include <span>
#include <vector>

#include "core/base/tensor.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/ops.h"
#include "quant/linear_weight.h"

namespace millrace::test {

class Stage {
public:
    // Copies of what an op reads. The gaps between rows stay unwritten: reading them is a mistake.
    template <class T>
    [[nodiscard]] MatrixView<const T> in(MatrixView<const T> m) {
        if (m.data == nullptr || m.rows == 0) return m;
        std::vector<Part> rows;
        for (int64_t r = 0; r < m.rows; ++r)
            rows.push_back({r * m.stride * kSize<T>, m.cols * kSize<T>});
        return {static_cast<const T*>(place(m.data, bytes_of(m), rows)), m.rows, m.cols, m.stride};
    }
    template <class T>
    [[nodiscard]] std::span<const T> in(std::span<const T> values) {
        const auto* from = static_cast<const void*>(values.data());
        return {static_cast<const T*>(bytes(from, values.size_bytes())), values.size()};
    }
    [[nodiscard]] LinearWeight in(LinearWeight weight) {
        weight.codes = static_cast<const std::byte*>(
            bytes(weight.codes, static_cast<size_t>(weight_codes_bytes(weight))));
        weight.scales = static_cast<const std::byte*>(
            bytes(weight.scales, static_cast<size_t>(weight_scales_bytes(weight))));
        return weight;
    }
    // What an op writes, or reads and writes: back() brings all of it home, gaps too.
    template <class T>
    [[nodiscard]] MatrixView<T> out(MatrixView<T> m) {
        if (m.data == nullptr || m.rows == 0) return m;
        auto* at = const_cast<void*>(bytes(m.data, static_cast<size_t>(bytes_of(m))));
        home_.push_back({m.data, pieces_.size() - 1, static_cast<size_t>(bytes_of(m))});
        return {static_cast<T*>(at), m.rows, m.cols, m.stride};
    }
    template <class T>
    [[nodiscard]] std::span<T> out(std::span<T> values) {
        const MatrixView<T> row(values.data(), 1, static_cast<int64_t>(values.size()));
        return {out(row).data, values.size()};
    }
    void back();

private:
    struct Part {
        int64_t first, count;  // bytes
    };
    struct Piece {
        cuda::DeviceMemory memory;
        size_t offset = 0;  // of the argument: as far from a multiple of 16 as the host's
    };
    struct Home {
        void* to;
        size_t piece, bytes;
    };
    template <class T>
    static constexpr int64_t kSize = sizeof(T);
    template <class T>
    [[nodiscard]] static int64_t bytes_of(const MatrixView<T>& m) {
        return ((m.rows - 1) * m.stride + m.cols) * kSize<T>;
    }
    [[nodiscard]] const void* bytes(const void* from, size_t count) {
        const auto all = static_cast<int64_t>(count);
        return from == nullptr || count == 0 ? from : place(from, all, {{0, all}});
    }
    const void* place(const void* from, int64_t count, const std::vector<Part>& parts);

    std::vector<Piece> pieces_;
    std::vector<Home> home_;
};

}  // namespace millrace::test
