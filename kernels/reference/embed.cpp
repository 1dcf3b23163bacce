// Rows in and out of the streams: embedding, the draft blocks' sums and means (spec §4.1, §4.11, §4.12).

#include <cstring>

#include "kernels/reference/canonical.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

std::unique_ptr<Ops> make_reference_ops(Pool& pool) { return std::make_unique<ReferenceOps>(pool); }

void ReferenceOps::embed(const LinearWeight& table, std::span<const TokenId> tokens,
                         MatrixView<Bf16> streams) {
    ENSURE(table.format == WeightFormat::kBf16 && streams.cols == kStreams * table.cols);
    const size_t bytes = static_cast<size_t>(table.cols) * sizeof(Bf16);
    for (size_t r = 0; r < tokens.size(); ++r) {
        ENSURE(tokens[r].value >= 0 && tokens[r].value < table.rows);
        const std::byte* from = table.codes + static_cast<size_t>(tokens[r].value) * bytes;
        for (int64_t j = 0; j < kStreams; ++j) {
            std::memcpy(streams.row(static_cast<int64_t>(r)).data() + j * table.cols, from, bytes);
        }
    }
}

void ReferenceOps::add(MatrixView<const Bf16> x, MatrixView<const Bf16> y, int count,
                       MatrixView<Bf16> out) {
    ENSURE(y.cols == x.cols * count && out.cols == y.cols && x.rows == y.rows &&
           y.rows == out.rows);
    for (int64_t r = 0; r < x.rows; ++r) {
        for (int64_t i = 0; i < y.cols; ++i) {
            const float sum =
                to_float(x.data[r * x.stride + i % x.cols]) + to_float(y.data[r * y.stride + i]);
            out.data[r * out.stride + i] = b(sum);
        }
    }
}

void ReferenceOps::stream_mean(MatrixView<const Bf16> streams, MatrixView<Bf16> out) {
    const int64_t d = out.cols;
    ENSURE(streams.cols == kStreams * d && streams.rows == out.rows);
    for (int64_t r = 0; r < out.rows; ++r) {
        const auto x = streams.row(r);
        for (int64_t i = 0; i < d; ++i) {
            double sum = 0;
            for (int64_t j = 0; j < kStreams; ++j) sum += value(x[static_cast<size_t>(j * d + i)]);
            out.row(r)[static_cast<size_t>(i)] = bf(sum / kStreams);
        }
    }
}

}  // namespace millrace
