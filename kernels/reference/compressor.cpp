// Compressed KV entries (spec §4.5): a softmax over the tokens of a block, per channel, weighs what they contribute.

#include "kernels/reference/canonical.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

void ReferenceOps::compressor_rows(MatrixView<const Bf16> x, const LinearWeight& wkv,
                                   const LinearWeight& wgate, std::span<const float> ape, int ratio,
                                   std::span<const int32_t> positions, MatrixView<float> rows) {
    const int64_t width = wkv.rows;
    ENSURE(rows.cols == 2 * width && wgate.rows == width && rows.rows == x.rows);
    ENSURE(ape.size() == static_cast<size_t>(ratio * width));
    linear_f32(x, wkv, {rows.data, rows.rows, width, rows.stride});
    linear_f32(x, wgate, {rows.data + width, rows.rows, width, rows.stride});
    for (int64_t r = 0; r < rows.rows; ++r) {
        const float* shift = ape.data() + positions[static_cast<size_t>(r)] % ratio * width;
        float* score = rows.row(r).data() + width;
        for (int64_t i = 0; i < width; ++i) score[i] += shift[i];
    }
}

void ReferenceOps::compressor_pool(std::span<const PoolSource> sources, int ratio,
                                   MatrixView<Bf16> entries) {
    const int coff = ratio == 4 ? 2 : 1;
    const int64_t c = entries.cols;
    ENSURE(static_cast<size_t>(entries.rows) == sources.size());
    pool_.run(entries.rows, [&](int64_t e) {
        const float* const* rows = sources[static_cast<size_t>(e)].rows;
        for (int64_t i = 0; i < c; ++i) {
            // Overlapped blocks: the previous one gives its low channels, the current one its high channels.
            const auto channel = [&](int row) { return coff == 2 && row >= ratio ? c + i : i; };
            double most = -INFINITY;
            for (int row = 0; row < coff * ratio; ++row) {
                if (rows[row] == nullptr) continue;
                most = std::max(most, static_cast<double>(rows[row][coff * c + channel(row)]));
            }
            double sum = 0;
            double weights = 0;
            for (int row = 0; row < coff * ratio; ++row) {
                if (rows[row] == nullptr) continue;
                const double score = static_cast<double>(rows[row][coff * c + channel(row)]);
                const double weight = std::exp(score - most);
                sum += weight * static_cast<double>(rows[row][channel(row)]);
                weights += weight;
            }
            entries.row(e)[static_cast<size_t>(i)] = bf(sum / weights);
        }
    });
}

}  // namespace millrace
