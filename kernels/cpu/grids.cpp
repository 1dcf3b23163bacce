// Activations and KV entries onto their grids.

#include <array>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/pieces.h"

namespace millrace {

void CpuOps::quantise(MatrixView<const Bf16> x, Fp8Rows out) {
    ENSURE(x.cols % 128 == 0 && x.rows == out.codes.rows && x.cols == out.codes.cols);
    ENSURE(out.scales.rows == x.rows && out.scales.cols == x.cols / 128);
    in_pieces(pool_, x.rows, x.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            kernels_.grids.quantise(x.row(r).data(), x.cols, out.codes.row(r).data(),
                                    out.scales.row(r).data());
        }
    });
}

void CpuOps::pack_kv(MatrixView<const Bf16> kv, std::span<KvRow> rows) {
    ENSURE(kv.cols == kHeadDim && static_cast<size_t>(kv.rows) == rows.size());
    in_pieces(pool_, kv.rows, kHeadDim, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r)
            kernels_.grids.pack_kv(kv.row(r).data(), &rows[static_cast<size_t>(r)]);
    });
}

void CpuOps::pack_index(MatrixView<const Bf16> x, std::span<IndexRow> rows) {
    const int64_t per_row = x.cols / kIndexDim;
    ENSURE(x.cols % kIndexDim == 0 && static_cast<size_t>(x.rows * per_row) == rows.size());
    in_pieces(pool_, x.rows * per_row, kIndexDim, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            std::array<Bf16, kIndexDim> turned;
            kernels_.grids.hadamard(x.row(i / per_row).data() + i % per_row * kIndexDim,
                                    turned.data());
            kernels_.grids.pack_fq4(turned.data(), &rows[static_cast<size_t>(i)]);
        }
    });
}

}  // namespace millrace
