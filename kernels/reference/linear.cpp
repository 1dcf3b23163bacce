// y = x·Wᵀ (spec §2.5). FP8 and FP4 weights: Σ a·sa·w·sw over what aq128 left of x. All products are exact in double.

#include "kernels/reference/canonical.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

namespace {

constexpr int64_t kBlock = 128;    // columns decoded together, inside one scale block
constexpr int64_t kRowTile = 32;   // rows that share a decoded block
constexpr int64_t kSmall = 16384;  // weights below which waking threads costs more than it gives

}  // namespace

template <class Put>
void ReferenceOps::multiply(const double* x, int64_t rows, const LinearWeight& weight,
                            int64_t first, int64_t count, const Put& put) {
    if (rows == 0) return;
    const int64_t cols = weight.cols;
    ENSURE(((weight.format != WeightFormat::kFp4 && !weight.low_bit()) || cols % 32 == 0) &&
           first + count <= weight.rows);
    const int64_t grain = std::max<int64_t>(1, kSmall / (cols * std::min<int64_t>(rows, 16)));
    in_pieces(pool_, count, grain, [&](int64_t begin, int64_t end) {
        double decoded[kBlock];
        for (int64_t o = begin; o < end; ++o) {
            for (int64_t tile = 0; tile < rows; tile += kRowTile) {
                const int64_t tile_rows = std::min(kRowTile, rows - tile);
                double sums[kRowTile] = {};
                for (int64_t k = 0; k < cols; k += kBlock) {
                    const int64_t n = std::min(kBlock, cols - k);
                    decode_weights(weight, first + o, k, n, decoded);
                    for (int64_t r = 0; r < tile_rows; ++r) {
                        sums[r] += dot(x + (tile + r) * cols + k, decoded, n);
                    }
                }
                for (int64_t r = 0; r < tile_rows; ++r) put(tile + r, o, sums[r]);
            }
        }
    });
}

const double* ReferenceOps::as_doubles(MatrixView<const Bf16> x) {
    const std::span out = inputs_.take(static_cast<size_t>(x.rows * x.cols));
    for (int64_t r = 0; r < x.rows; ++r) {
        const auto row = x.row(r);
        for (int64_t i = 0; i < x.cols; ++i) {
            out[static_cast<size_t>(r * x.cols + i)] = value(row[static_cast<size_t>(i)]);
        }
    }
    return out.data();
}

const double* ReferenceOps::as_doubles(const Fp8Rows& x) {
    const int64_t cols = x.codes.cols;
    const std::span out = inputs_.take(static_cast<size_t>(x.codes.rows * cols));
    for (int64_t r = 0; r < x.codes.rows; ++r) {
        const auto codes = x.codes.row(r);
        const auto scales = x.scales.row(r);
        for (size_t i = 0; i < codes.size(); ++i) {
            out[static_cast<size_t>(r * cols) + i] =
                static_cast<double>(e4m3_value(codes[i])) *
                static_cast<double>(e8m0_value(scales[i / 128]));
        }
    }
    return out.data();
}

const double* ReferenceOps::as_doubles(const LinearInput& x, const LinearWeight& weight) {
    return weight.quantised() ? as_doubles(x.quantised) : as_doubles(x.rows);
}

void ReferenceOps::linear(const LinearInput& x, const LinearWeight& weight, MatrixView<Bf16> y) {
    ENSURE(y.cols == weight.rows);
    const double* in = as_doubles(x, weight);
    multiply(in, y.rows, weight, 0, weight.rows,
             [&](int64_t r, int64_t o, double sum) { y.data[r * y.stride + o] = bf(sum); });
}

void ReferenceOps::linear_bf16(MatrixView<const Bf16> x, const LinearWeight& weight, int groups,
                               MatrixView<Bf16> y) {
    ENSURE(x.cols == groups * weight.cols && weight.rows % groups == 0 && y.cols == weight.rows);
    const int64_t rows = weight.rows / groups;
    for (int64_t g = 0; g < groups; ++g) {
        const double* in = as_doubles(
            MatrixView<const Bf16>(x.data + g * weight.cols, x.rows, weight.cols, x.stride));
        multiply(in, x.rows, weight, g * rows, rows, [&](int64_t r, int64_t o, double sum) {
            y.data[r * y.stride + g * rows + o] = bf(sum);
        });
    }
}

void ReferenceOps::linear_f32(MatrixView<const Bf16> x, const LinearWeight& weight,
                              MatrixView<float> y) {
    ENSURE(x.cols == weight.cols && y.cols == weight.rows && x.rows == y.rows);
    const double* in = as_doubles(x);
    multiply(in, x.rows, weight, 0, weight.rows,
             [&](int64_t r, int64_t o, double sum) { y.data[r * y.stride + o] = f(sum); });
}

}  // namespace millrace
