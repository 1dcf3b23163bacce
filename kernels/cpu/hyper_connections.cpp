// Hyper-connections (spec §4.2, §4.10): the mixes by pieces of columns on all threads, then each row by itself.

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/pieces.h"

namespace millrace {
namespace {

// Rows that share a piece of fn while it is in the cache.
constexpr int64_t kMixRows = 32;

[[nodiscard]] int64_t pieces_of(int64_t columns) {
    return (columns + kMixColumns - 1) / kMixColumns;
}

// m = (Σ over pieces, in order) · inv_rms.
void add_pieces(std::span<const float> pieces, float scale, std::span<float> mixes) {
    for (size_t m = 0; m < mixes.size(); ++m) {
        float total = 0;
        for (size_t at = m; at < pieces.size(); at += mixes.size()) total += pieces[at];
        mixes[m] = total * scale;
    }
}

}  // namespace

std::span<const float> CpuOps::mix_pieces(MatrixView<const Bf16> streams, std::span<const float> fn,
                                          int64_t outputs) {
    ENSURE(fn.size() == static_cast<size_t>(outputs * streams.cols));
    const int64_t pieces = pieces_of(streams.cols);
    const int64_t blocks = (streams.rows + kMixRows - 1) / kMixRows;
    const int64_t each = pieces * outputs;
    const std::span sums = mixes_.take(static_cast<size_t>(streams.rows * each));
    pool_.run(pieces * blocks, [&](int64_t i) {
        const int64_t column = i / blocks * kMixColumns;
        const int64_t row = i % blocks * kMixRows;
        kernels_.hyper_connections.mix(
            {.x = streams.data + row * streams.stride + column,
             .x_stride = streams.stride,
             .tokens = std::min(kMixRows, streams.rows - row),
             .fn = fn.data() + column,
             .fn_stride = streams.cols,
             .outputs = outputs,
             .columns = std::min(kMixColumns, streams.cols - column),
             .sums = sums.data() + row * each + column / kMixColumns * outputs,
             .sums_stride = each});
    });
    return sums;
}

void CpuOps::hc_reduce(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                       MatrixView<Bf16> y, MatrixView<float> post, MatrixView<float> comb) {
    ENSURE(streams.cols == kStreams * y.cols && streams.rows == y.rows && post.rows == y.rows &&
           comb.rows == y.rows && post.cols == kStreams && comb.cols == kStreams * kStreams);
    ENSURE(site.base.size() == kMixes && site.scale.size() == 3);
    const HyperConnectionKernels& kernels = kernels_.hyper_connections;
    const std::span sums = mix_pieces(streams, site.fn, kMixes);
    const auto each = static_cast<size_t>(pieces_of(streams.cols) * kMixes);
    in_pieces(pool_, streams.rows, streams.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const Bf16* x = streams.row(r).data();
            float mixes[kMixes];
            float pre[kStreams];
            add_pieces(sums.subspan(static_cast<size_t>(r) * each, each),
                       kernels.inv_rms(x, streams.cols, site.norm_eps), mixes);
            kernels.split(mixes, site.base.data(), site.scale.data(), site.eps, site.rounds, pre,
                          post.row(r).data(), comb.row(r).data());
            kernels.weighted_sum(x, y.cols, pre, y.row(r).data());
        }
    });
}

void CpuOps::hc_expand(MatrixView<const Bf16> y, MatrixView<const float> post,
                       MatrixView<const float> comb, MatrixView<Bf16> streams) {
    ENSURE(streams.cols == kStreams * y.cols && streams.rows == y.rows && post.rows == y.rows &&
           comb.rows == y.rows && post.cols == kStreams && comb.cols == kStreams * kStreams);
    in_pieces(pool_, y.rows, streams.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            kernels_.hyper_connections.expand(y.row(r).data(), post.row(r).data(),
                                              comb.row(r).data(), y.cols, streams.row(r).data());
        }
    });
}

void CpuOps::hc_head(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                     MatrixView<Bf16> z) {
    ENSURE(streams.cols == kStreams * z.cols && streams.rows == z.rows);
    ENSURE(site.base.size() == kStreams && site.scale.size() == 1);
    const HyperConnectionKernels& kernels = kernels_.hyper_connections;
    const std::span sums = mix_pieces(streams, site.fn, kStreams);
    const auto each = static_cast<size_t>(pieces_of(streams.cols) * kStreams);
    in_pieces(pool_, streams.rows, streams.cols, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const Bf16* x = streams.row(r).data();
            float weights[kStreams];
            add_pieces(sums.subspan(static_cast<size_t>(r) * each, each),
                       kernels.inv_rms(x, streams.cols, site.norm_eps), weights);
            kernels.head_weights(site.base.data(), site.scale[0], site.eps, weights);
            kernels.weighted_sum(x, z.cols, weights, z.row(r).data());
        }
    });
}

}  // namespace millrace
