#pragma once
// How far a low-bit matrix is from the FP4 matrix it was made of.

#include <cstdint>
#include <span>

#include "quant/linear_weight.h"

namespace millrace {

// Σ importance · (source − made)² and Σ importance · source² over some rows: sums, so that rows, matrices and experts can
// be added before the quotient is taken.
struct SquaredError {
    double error = 0;
    double energy = 0;

    SquaredError& operator+=(const SquaredError& other) {
        error += other.error;
        energy += other.energy;
        return *this;
    }
    // 0 for a source of zeros.
    [[nodiscard]] double relative() const { return energy > 0 ? error / energy : 0; }
};

// Of rows [first_row, first_row + row_count) of two matrices of one shape, both as rows: kFp4 or low-bit. `importance`:
// [cols], or empty for all alike; what is not a positive number counts as 0.
[[nodiscard]] SquaredError squared_error(const LinearWeight& source, const LinearWeight& made,
                                         std::span<const float> importance, int64_t first_row,
                                         int64_t row_count);

}  // namespace millrace
