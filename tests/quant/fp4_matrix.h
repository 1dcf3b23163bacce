#pragma once
// Random weights rounded to FP4 as the official kernel does it, for tests of what is made of them.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "core/base/random.h"
#include "quant/encode.h"
#include "quant/float_codes.h"
#include "quant/linear_weight.h"

namespace millrace {

enum class Source { kGauss, kStudent6 };

inline double normal(Random& random) {
    const double radius = std::sqrt(-2 * std::log(1 - random.unit()));
    return radius * std::cos(2 * std::numbers::pi * random.unit());
}

inline double draw(Random& random, Source source) {
    const double top = normal(random);
    if (source == Source::kGauss) return top;
    double squares = 0;
    for (int i = 0; i < 6; ++i) squares += std::pow(normal(random), 2);
    return top / std::sqrt(squares / 6);
}

// A matrix with its own bytes; low-bit ones start as zeros.
struct Matrix {
    Matrix(WeightFormat format, int64_t rows, int64_t cols) {
        weight = {.format = format, .scale_format = ScaleFormat::kE8m0, .rows = rows, .cols = cols};
        codes.resize(static_cast<size_t>(weight_codes_bytes(weight)));
        scales.resize(static_cast<size_t>(weight_scales_bytes(weight)));
        weight.codes = codes.data();
        weight.scales = scales.data();
    }
    Matrix(const Matrix&) = delete;
    Matrix& operator=(const Matrix&) = delete;
    Matrix(Matrix&&) = default;
    Matrix& operator=(Matrix&&) = delete;
    ~Matrix() = default;

    // One block of an FP4 matrix.
    void set_block(int64_t row, int64_t block, const std::vector<double>& values) {
        double most = 0;
        for (const double value : values) most = std::max(most, std::fabs(value));
        const uint8_t scale = fp4_scale(static_cast<float>(most));
        const int64_t at = row * (weight.cols / 32) + block;
        scales[static_cast<size_t>(at)] = std::byte{scale};
        for (size_t i = 0; i < 32; i += 2) {
            const auto code = [&](size_t j) {
                return e2m1_code(static_cast<float>(std::ldexp(values[j], 127 - scale)));
            };
            codes[static_cast<size_t>(at) * 16 + i / 2] =
                std::byte{static_cast<uint8_t>(code(i) | code(i + 1) << 4)};
        }
    }

    LinearWeight weight;
    std::vector<std::byte> codes, scales;
};

inline Matrix random_fp4(Source source, int64_t rows, int64_t cols, uint64_t seed) {
    Matrix out(WeightFormat::kFp4, rows, cols);
    Random random(seed);
    std::vector<double> block(32);
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t i = 0; i < cols / 32; ++i) {
            for (double& value : block) value = draw(random, source);
            out.set_block(row, i, block);
        }
    }
    return out;
}

inline Matrix encoded(const LinearWeight& source, WeightFormat format,
                      std::span<const float> importance = {}) {
    Matrix out(format, source.rows, source.cols);
    encode_rows(source, importance,
                {.format = format, .codes = out.codes.data(), .scales = out.scales.data()}, 0,
                source.rows);
    return out;
}

}  // namespace millrace
