// Activations and KV entries onto their grids: aq128 (spec §2.2), fq64 (§2.3), Hadamard and fq4 (§2.4, §4.5).

#include "kernels/reference/canonical.h"
#include "kernels/reference/formulas.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

namespace {

float largest(std::span<const Bf16> x) {
    float amax = 0;
    for (const Bf16 v : x) amax = std::max(amax, std::fabs(to_float(v)));
    return amax;
}

// One group onto e4m3 codes; returns its scale. Dividing by a power of two is exact.
uint8_t quantise_group(std::span<const Bf16> x, uint8_t* codes) {
    const uint8_t scale = fp8_scale(largest(x));
    const float s = e8m0_value(scale);
    for (size_t i = 0; i < x.size(); ++i) {
        codes[i] = e4m3_code(std::clamp(to_float(x[i]) / s, -448.0F, 448.0F));
    }
    return scale;
}

}  // namespace

void ReferenceOps::quantise(MatrixView<const Bf16> x, Fp8Rows out) {
    ENSURE(x.cols % 128 == 0 && x.rows == out.codes.rows && x.cols == out.codes.cols);
    for (int64_t r = 0; r < x.rows; ++r) {
        for (size_t group = 0; group < static_cast<size_t>(x.cols) / 128; ++group) {
            out.scales.row(r)[group] =
                quantise_group(x.row(r).subspan(group * 128, 128), &out.codes.row(r)[group * 128]);
        }
    }
}

void ReferenceOps::pack_kv(MatrixView<const Bf16> kv, std::span<KvRow> rows) {
    ENSURE(kv.cols == kHeadDim && static_cast<size_t>(kv.rows) == rows.size());
    for (size_t r = 0; r < rows.size(); ++r) {
        const auto x = kv.row(static_cast<int64_t>(r));
        for (size_t group = 0; group < kLatentDim / kKvGroup; ++group) {
            rows[r].scales[group] = quantise_group(x.subspan(group * kKvGroup, kKvGroup),
                                                   &rows[r].codes[group * kKvGroup]);
        }
        rows[r].unused = 0;
        std::copy(x.begin() + kLatentDim, x.end(), rows[r].rope.begin());
    }
}

namespace reference {

void hadamard(MatrixView<const Bf16> x, MatrixView<Bf16> out) {
    ENSURE(x.cols % kIndexDim == 0 && x.cols == out.cols && x.rows == out.rows);
    const double factor = 1.0 / std::sqrt(static_cast<double>(kIndexDim));
    for (int64_t r = 0; r < x.rows; ++r) {
        for (size_t first = 0; first < static_cast<size_t>(x.cols); first += kIndexDim) {
            double v[kIndexDim];
            for (size_t i = 0; i < kIndexDim; ++i) v[i] = value(x.row(r)[first + i]);
            for (size_t half = 1; half < kIndexDim; half *= 2) {
                for (size_t i = 0; i < kIndexDim; ++i) {
                    if ((i & half) != 0) continue;
                    const double low = v[i];
                    const double high = v[i + half];
                    v[i] = low + high;
                    v[i + half] = low - high;
                }
            }
            for (size_t i = 0; i < kIndexDim; ++i) out.row(r)[first + i] = bf(v[i] * factor);
        }
    }
}

void pack_fq4(MatrixView<const Bf16> x, std::span<IndexRow> rows) {
    const size_t per_row = static_cast<size_t>(x.cols) / kIndexDim;
    ENSURE(x.cols % kIndexDim == 0 && static_cast<size_t>(x.rows) * per_row == rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
        const auto vector =
            x.row(static_cast<int64_t>(i / per_row)).subspan(i % per_row * kIndexDim, kIndexDim);
        IndexRow& row = rows[i];
        for (size_t group = 0; group < row.scales.size(); ++group) {
            const auto part = vector.subspan(group * kIndexGroup, kIndexGroup);
            row.scales[group] = fp4_scale(largest(part));
            const float s = e8m0_value(row.scales[group]);
            for (size_t c = 0; c < kIndexGroup; c += 2) {
                const uint8_t even = e2m1_code(std::clamp(to_float(part[c]) / s, -6.0F, 6.0F));
                const uint8_t odd = e2m1_code(std::clamp(to_float(part[c + 1]) / s, -6.0F, 6.0F));
                row.codes[(group * kIndexGroup + c) / 2] = static_cast<uint8_t>(even | (odd << 4));
            }
        }
    }
}

}  // namespace reference

void ReferenceOps::pack_index(MatrixView<const Bf16> x, std::span<IndexRow> rows) {
    const std::span memory = rows_.take(static_cast<size_t>(x.rows * x.cols));
    const MatrixView<Bf16> turned(memory.data(), x.rows, x.cols);
    hadamard(x, turned);
    pack_fq4(turned, rows);
}

}  // namespace millrace
