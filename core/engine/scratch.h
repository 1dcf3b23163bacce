#pragma once
// Memory for the activations of one chunk, laid out once. A component's scratch is a struct of views with a static
// `take(Arena&, …)`; the same call on a counting arena says how many bytes it needs, so plan and layout cannot differ.

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/tensor.h"
#include "kernels/ops.h"

namespace millrace {

class Arena {
public:
    // Counts only: every view it gives has the right shape and no memory.
    Arena() = default;
    explicit Arena(std::span<std::byte> memory) : base_(memory.data()), size_(memory.size()) {}

    template <class T>
    [[nodiscard]] std::span<T> list(int64_t count) {
        used_ = round_up(used_, kAlignment);
        const uint64_t at = used_;
        used_ += static_cast<uint64_t>(count) * sizeof(T);
        if (used_ > peak_) peak_ = used_;
        if (base_ == nullptr) return {};
        ENSURE(used_ <= size_);
        return {reinterpret_cast<T*>(base_ + at), static_cast<size_t>(count)};
    }
    template <class T>
    [[nodiscard]] MatrixView<T> rows(int64_t count, int64_t cols) {
        return {list<T>(count * cols).data(), count, cols};
    }

    // Two components that never run at the same time may lie over each other: take one, go back, take the other.
    [[nodiscard]] uint64_t mark() const { return used_; }
    void back_to(uint64_t mark) { used_ = mark; }
    // What all that was taken needs.
    [[nodiscard]] uint64_t peak_bytes() const { return peak_; }

private:
    static constexpr uint64_t kAlignment = 64;
    std::byte* base_ = nullptr;
    uint64_t size_ = 0;
    uint64_t used_ = 0;
    uint64_t peak_ = 0;
};

// Room for `rows` rows of `cols` after aq128.
[[nodiscard]] inline Fp8Rows take_fp8(Arena& arena, int64_t rows, int64_t cols) {
    return {arena.rows<uint8_t>(rows, cols), arena.rows<uint8_t>(rows, (cols + 127) / 128)};
}

[[nodiscard]] inline Fp8Rows first_rows(const Fp8Rows& x, int64_t n) {
    return {x.codes.slice_rows(0, n), x.scales.slice_rows(0, n)};
}

}  // namespace millrace
