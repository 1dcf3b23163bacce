// Norms, rotation and sums, a row at a time.

#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/pieces.h"

namespace millrace {

std::unique_ptr<Ops> make_cpu_ops(Pool& pool, const CpuOptions& options) {
    ENSURE(isa_available(options.isa));
    return std::make_unique<CpuOps>(pool, options);
}

void CpuOps::embed(const LinearWeight& table, std::span<const TokenId> tokens,
                   MatrixView<Bf16> streams) {
    ENSURE(table.format == WeightFormat::kBf16 && streams.cols == kStreams * table.cols &&
           static_cast<size_t>(streams.rows) == tokens.size());
    const size_t bytes = static_cast<size_t>(table.cols) * sizeof(Bf16);
    in_pieces(pool_, streams.rows, streams.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const int32_t token = tokens[static_cast<size_t>(r)].value;
            ENSURE(token >= 0 && token < table.rows);
            const std::byte* from = table.codes + static_cast<size_t>(token) * bytes;
            for (int64_t j = 0; j < kStreams; ++j)
                std::memcpy(streams.row(r).data() + j * table.cols, from, bytes);
        }
    });
}

void CpuOps::rms_norm(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                      MatrixView<Bf16> out) {
    ENSURE(static_cast<size_t>(x.cols) == weight.size() && x.cols == out.cols &&
           x.rows == out.rows);
    in_pieces(pool_, x.rows, x.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            kernels_.rows.rms_norm(x.row(r).data(), weight.data(), x.cols, eps, out.row(r).data());
        }
    });
}

void CpuOps::head_norm(MatrixView<Bf16> q, float eps) {
    ENSURE(q.cols % kHeadDim == 0);
    const int64_t heads = q.cols / kHeadDim;
    in_pieces(pool_, q.rows * heads, kHeadDim, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i)
            kernels_.rows.head_norm(q.row(i / heads).data() + i % heads * kHeadDim, eps);
    });
}

void CpuOps::rope(MatrixView<Bf16> x, int64_t width, std::span<const int32_t> positions,
                  const RopeTable& table, Rotation rotation) {
    ENSURE(width >= kRopeDim && x.cols % width == 0 &&
           positions.size() == static_cast<size_t>(x.rows));
    // A row costs its sines and cosines besides what it touches of every head.
    constexpr int64_t kAngles = 4096;
    in_pieces(pool_, x.rows, kAngles + x.cols / width * kRopeDim, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const auto position = static_cast<float>(positions[static_cast<size_t>(r)]);
            float cosine[kRopePairs];
            float sine[kRopePairs];
            for (size_t i = 0; i < kRopePairs; ++i) {
                // The rounding of this product is part of the function: at a million positions one unit is 1/16 rad.
                const float angle = position * table.frequencies[i];
                cosine[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
                sine[i] = static_cast<float>(std::sin(static_cast<double>(angle)));
                if (rotation == Rotation::kInverse) sine[i] = -sine[i];
            }
            kernels_.rows.rotate(x.row(r).data(), x.cols, width, cosine, sine);
        }
    });
}

void CpuOps::index_weights(MatrixView<Bf16> weights) {
    const double heads = static_cast<double>(weights.cols);
    const auto factor = static_cast<float>(1.0 / std::sqrt(static_cast<double>(kIndexDim)) *
                                           (1.0 / std::sqrt(heads)));
    in_pieces(pool_, weights.rows, weights.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r)
            kernels_.rows.scale(weights.row(r).data(), weights.cols, factor);
    });
}

void CpuOps::add(MatrixView<const Bf16> a, MatrixView<const Bf16> b, int count,
                 MatrixView<Bf16> out) {
    ENSURE(b.cols == a.cols * count && out.cols == b.cols && a.rows == b.rows &&
           b.rows == out.rows);
    in_pieces(pool_, out.rows, out.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            for (int64_t i = 0; i < b.cols; i += a.cols) {
                kernels_.rows.add(a.row(r).data(), b.row(r).data() + i, a.cols,
                                  out.row(r).data() + i);
            }
        }
    });
}

void CpuOps::stream_mean(MatrixView<const Bf16> streams, MatrixView<Bf16> out) {
    ENSURE(streams.cols == kStreams * out.cols && streams.rows == out.rows);
    in_pieces(pool_, out.rows, streams.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r)
            kernels_.rows.mean_of_four(streams.row(r).data(), out.cols, out.row(r).data());
    });
}

}  // namespace millrace
