#pragma once
// FP4 → the low-bit formats (quant/linear_weight.h), block by block.
//
// A block of FP4 knows only 15 values, so that every pair of a book and a scale step is tried and the best one taken: the
// block is a histogram of codes, weighted by the importance of its columns, and a table says what each code costs with
// each of 16 books · 8 steps. kQ2v, whose points are two weights, adds up tables of pairs and then weighs the best
// candidates exactly. The row's base is chosen last: the largest step that is needed decides, and blocks more than 15
// steps below it are searched again among the steps there are.

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/linear_weight.h"

namespace millrace {

// A whole matrix of the source's shape: room for weight_codes_bytes and weight_scales_bytes.
struct EncodeTarget {
    WeightFormat format;
    std::byte* codes;
    std::byte* scales;
};

// Writes rows [first_row, first_row + row_count). `source`: kFp4 as rows, with E8M0 scales. `importance`: [cols], the mean
// square of every input column; the error that is made least is Σ importance · (weight − result)². Empty: all columns
// alike. Columns that are not positive numbers count as 0; a block in which nothing counts is treated as if all did. Any
// thread may call, several at once on different rows; nothing is allocated.
void encode_rows(const LinearWeight& source, std::span<const float> importance,
                 const EncodeTarget& target, int64_t first_row, int64_t row_count);

}  // namespace millrace
