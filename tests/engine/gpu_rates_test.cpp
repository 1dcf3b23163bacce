#include "core/engine/gpu_rates.h"

#include <doctest/doctest.h>

#include "core/engine/gpu_tier.h"

namespace millrace {

TEST_CASE("from so many rows on a copy is no slower than the CPU") {
    // It copies as fast as the CPU computes one row: never the CPU.
    CHECK(copied_rows_of({.copy_ns = 100, .one_row_ns = 100, .next_row_ns = 10}) == 1);
    CHECK(copied_rows_of({.copy_ns = 50, .one_row_ns = 100, .next_row_ns = 0}) == 1);
    CHECK(copied_rows_of({.copy_ns = 530, .one_row_ns = 260, .next_row_ns = 30}) == 10);
    CHECK(copied_rows_of({.copy_ns = 531, .one_row_ns = 260, .next_row_ns = 30}) == 11);
    CHECK(copied_rows_of({.copy_ns = 101, .one_row_ns = 100, .next_row_ns = 50}) == 2);
    // Rows cost the CPU nothing, or next to nothing.
    CHECK(copied_rows_of({.copy_ns = 200, .one_row_ns = 100, .next_row_ns = 0}) ==
          GpuTierOptions::kNever);
    CHECK(copied_rows_of({.copy_ns = 1e9, .one_row_ns = 1, .next_row_ns = 1e-3}) ==
          GpuTierOptions::kNever);
}

}  // namespace millrace
