#pragma once
// Memory of planned size. `PageBuffer` is an anonymous mapping: zero at first, given to the process page by page when
// first touched, so a buffer for a million tokens costs what is used of it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "core/base/result.h"

namespace millrace {

inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kHugePageBytes = size_t{2} << 20;

[[nodiscard]] constexpr uint64_t round_up(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}
[[nodiscard]] constexpr uint64_t round_down(uint64_t value, uint64_t multiple) {
    return value / multiple * multiple;
}

enum class HugePages { kNo, kIfGranted };

class PageBuffer {
public:
    PageBuffer() = default;
    PageBuffer(PageBuffer&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    PageBuffer& operator=(PageBuffer&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~PageBuffer();

    // `bytes` is rounded up to whole pages. Huge pages are asked for as far as they are filled: the start is aligned to
    // 2 MiB, and what does not fill one at the end stays in small ones. kCapacity when refused.
    [[nodiscard]] static Result<PageBuffer> create(uint64_t bytes, HugePages huge);

    [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
    template <class T>
    [[nodiscard]] T* as() const {
        return reinterpret_cast<T*>(bytes_.data());
    }

private:
    std::span<std::byte> bytes_;
};

}  // namespace millrace
