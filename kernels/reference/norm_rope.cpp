// Norms (spec §2.6, §4.3) and rotary embedding (spec §4.4).

#include "kernels/reference/canonical.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

void ReferenceOps::rms_norm(MatrixView<const Bf16> x, std::span<const Bf16> weight, float eps,
                            MatrixView<Bf16> out) {
    ENSURE(static_cast<size_t>(x.cols) == weight.size() && x.cols == out.cols &&
           x.rows == out.rows);
    for (int64_t r = 0; r < x.rows; ++r) {
        const float scale = inv_rms(x.row(r), eps);
        for (size_t i = 0; i < weight.size(); ++i) {
            out.row(r)[i] = b(to_float(weight[i]) * (to_float(x.row(r)[i]) * scale));
        }
    }
}

void ReferenceOps::head_norm(MatrixView<Bf16> q, float eps) {
    ENSURE(q.cols % kHeadDim == 0);
    for (int64_t r = 0; r < q.rows; ++r) {
        for (int64_t first = 0; first < q.cols; first += kHeadDim) {
            const auto head = q.row(r).subspan(static_cast<size_t>(first), kHeadDim);
            double sum = 0;
            for (const Bf16 v : head) sum += value(b(to_float(v) * to_float(v)));
            const Bf16 mean = bf(sum / kHeadDim);
            const Bf16 shifted = b(to_float(mean) + eps);
            const Bf16 scale = bf(1.0 / std::sqrt(value(shifted)));
            for (Bf16& v : head) v = b(to_float(v) * to_float(scale));
        }
    }
}

void ReferenceOps::rope(MatrixView<Bf16> x, int64_t width, std::span<const int32_t> positions,
                        const RopeTable& table, Rotation rotation) {
    ENSURE(x.cols % width == 0 && width >= kRopeDim &&
           positions.size() == static_cast<size_t>(x.rows));
    for (int64_t r = 0; r < x.rows; ++r) {
        float cosine[kRopePairs];
        float sine[kRopePairs];
        for (size_t i = 0; i < kRopePairs; ++i) {
            // At a million positions one unit of this fp32 product is 1/16 rad: its rounding is part of the function.
            const float angle =
                static_cast<float>(positions[static_cast<size_t>(r)]) * table.frequencies[i];
            cosine[i] = f(std::cos(static_cast<double>(angle)));
            sine[i] = f(std::sin(static_cast<double>(angle)));
            if (rotation == Rotation::kInverse) sine[i] = -sine[i];
        }
        for (int64_t end = width; end <= x.cols; end += width) {
            Bf16* tail = x.row(r).data() + end - kRopeDim;
            for (size_t i = 0; i < kRopePairs; ++i) {
                const double even = value(tail[2 * i]);
                const double odd = value(tail[2 * i + 1]);
                const double c = static_cast<double>(cosine[i]);
                const double s = static_cast<double>(sine[i]);
                tail[2 * i] = bf(even * c - odd * s);
                tail[2 * i + 1] = bf(even * s + odd * c);
            }
        }
    }
}

}  // namespace millrace
