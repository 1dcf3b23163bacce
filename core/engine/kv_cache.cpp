#include "core/engine/kv_cache.h"

namespace millrace {
namespace {

// Sizes of everything one layer keeps, in the order it is allocated.
struct LayerBytes {
    uint64_t window = 0, rows = 0, entries = 0, index_rows = 0, index_entries = 0;
    [[nodiscard]] uint64_t total() const {
        return window + rows + entries + index_rows + index_entries;
    }
};

// An entry is made of coff·ratio rows; after a rollback those of the block that is then unfinished must still be there.
int64_t ring_capacity(int ratio, const KvLimits& limits) {
    return int64_t{compress_overlap(ratio)} * ratio + limits.rollback_max;
}

LayerBytes layer_bytes(LayerKind kind, const ModelConfig& config, const KvLimits& limits) {
    LayerBytes bytes;
    bytes.window = PositionRing<KvRow>::bytes(config.window + limits.rollback_max, 1);
    const int ratio = compress_ratio(kind);
    if (ratio == 0) return bytes;
    const int64_t coff = compress_overlap(ratio);
    const int64_t capacity = ring_capacity(ratio, limits);
    const auto count = static_cast<uint64_t>(limits.context_max / ratio);
    bytes.rows = PositionRing<float>::bytes(capacity, 2 * coff * kHeadDim);
    bytes.entries = count * sizeof(KvRow);
    if (kind == LayerKind::kSparse) {
        bytes.index_rows = PositionRing<float>::bytes(capacity, 2 * coff * kIndexDim);
        bytes.index_entries = count * sizeof(IndexRow);
    }
    return bytes;
}

// Entries are read at places that the indexer picks, so large pages save look-ups; but a short session must not pay for
// long ones: they come where one is a small part of the whole.
HugePages pages_for(uint64_t bytes) {
    return bytes >= 4 * kHugePageBytes ? HugePages::kIfGranted : HugePages::kNo;
}

Result<CompressorState> make_compressor(int ratio, int64_t width, uint64_t bytes,
                                        const KvLimits& limits) {
    CompressorState state;
    state.ratio = ratio;
    state.entry_width = width;
    state.rows = {
        TRY(PageBuffer::create(bytes, HugePages::kNo)),
        ring_capacity(ratio, limits),
        state.row_width()
    };
    return state;
}

Result<LayerKv> make_layer(LayerKind kind, const ModelConfig& config, const KvLimits& limits) {
    const LayerBytes bytes = layer_bytes(kind, config, limits);
    const int ratio = compress_ratio(kind);
    LayerKv layer;
    layer.kind = kind;
    layer.window = {
        TRY(PageBuffer::create(bytes.window, HugePages::kNo)),
        config.window + limits.rollback_max,
        1
    };
    if (ratio != 0) {
        layer.compressor = TRY(make_compressor(ratio, kHeadDim, bytes.rows, limits));
        layer.entries = TRY(PageBuffer::create(bytes.entries, pages_for(bytes.entries)));
    }
    if (kind == LayerKind::kSparse) {
        layer.index_compressor = TRY(make_compressor(ratio, kIndexDim, bytes.index_rows, limits));
        layer.index_entries =
            TRY(PageBuffer::create(bytes.index_entries, pages_for(bytes.index_entries)));
    }
    return layer;
}

}  // namespace

Result<std::unique_ptr<KvCache>> KvCache::create(const ModelConfig& config, int32_t draft_blocks,
                                                 const KvLimits& limits) {
    std::vector<LayerKv> layers;
    for (const LayerKind kind : config.layers) {
        layers.push_back(TRY(make_layer(kind, config, limits)));
    }
    for (int32_t i = 0; i < draft_blocks; ++i) {
        layers.push_back(TRY(make_layer(LayerKind::kWindow, config, limits)));
    }
    return std::unique_ptr<KvCache>(new KvCache(limits, std::move(layers)));
}

uint64_t KvCache::bytes(const ModelConfig& config, int32_t draft_blocks, const KvLimits& limits) {
    uint64_t total = static_cast<uint64_t>(draft_blocks) *
                     layer_bytes(LayerKind::kWindow, config, limits).total();
    for (const LayerKind kind : config.layers) total += layer_bytes(kind, config, limits).total();
    return total;
}

}  // namespace millrace
