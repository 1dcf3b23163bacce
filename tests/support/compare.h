#pragma once
// Comparing computed with golden values, bit by bit, and counting.

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "core/base/types.h"

namespace millrace::test {

struct Comparison {
    int64_t compared = 0;
    int64_t unequal = 0;  // other bits, beyond what is allowed
    int64_t one_ulp = 0;  // fp32 values one unit in the last place away: allowed for fp32 outputs

    Comparison& operator+=(const Comparison& other) {
        compared += other.compared;
        unequal += other.unequal;
        one_ulp += other.one_ulp;
        return *this;
    }
    [[nodiscard]] std::string text() const {
        return std::to_string(compared) + " values, " + std::to_string(unequal) + " unequal, " +
               std::to_string(one_ulp) + " one unit in the last place away";
    }
};

template <class T>
[[nodiscard]] Comparison compare(std::span<const T> computed, std::span<const T> golden) {
    Comparison result;
    result.compared = static_cast<int64_t>(golden.size());
    if (computed.size() != golden.size()) {
        result.unequal = result.compared + 1;
        return result;
    }
    for (size_t i = 0; i < golden.size(); ++i) {
        if (computed[i] != golden[i]) ++result.unequal;
    }
    return result;
}

template <>
[[nodiscard]] inline Comparison compare(std::span<const float> computed,
                                        std::span<const float> golden) {
    Comparison result;
    result.compared = static_cast<int64_t>(golden.size());
    if (computed.size() != golden.size()) {
        result.unequal = result.compared + 1;
        return result;
    }
    for (size_t i = 0; i < golden.size(); ++i) {
        const auto a = std::bit_cast<int32_t>(computed[i]);
        const auto b = std::bit_cast<int32_t>(golden[i]);
        if (a == b) continue;
        const bool same_sign = (a ^ b) >= 0;
        if (same_sign && std::llabs(int64_t{a} - int64_t{b}) == 1) {
            ++result.one_ulp;
        } else {
            ++result.unequal;
        }
    }
    return result;
}

}  // namespace millrace::test
