// Compressed KV entries (spec §4.5), cut by entries and channels.

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/pieces.h"

namespace millrace {

void CpuOps::compressor_pool(std::span<const PoolSource> sources, int ratio,
                             MatrixView<Bf16> entries) {
    ENSURE(static_cast<size_t>(entries.rows) == sources.size());
    // Overlapped blocks: the previous one gives its low channels, the current one its high channels.
    const bool overlapped = ratio == 4;
    const int64_t c = entries.cols;
    const PoolShape shape{.contributors = overlapped ? 2 * ratio : ratio,
                          .previous = overlapped ? ratio : 0,
                          .shift = overlapped ? c : 0,
                          .scores = overlapped ? 2 * c : c};
    // Threads must have something to do when a block of one sequence is full: entries are cut by channels too.
    constexpr int64_t kChannels = 128;
    constexpr int64_t kCost = 8;  // of an exponential, in simple elements
    const int64_t parts = (c + kChannels - 1) / kChannels;
    const int64_t elements = kCost * shape.contributors * std::min(c, kChannels);
    in_pieces(pool_, entries.rows * parts, elements, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const int64_t channel = i % parts * kChannels;
            kernels_.compressor_pool(sources[static_cast<size_t>(i / parts)].rows, shape, channel,
                                     std::min(channel + kChannels, c),
                                     entries.row(i / parts).data());
        }
    });
}

}  // namespace millrace
