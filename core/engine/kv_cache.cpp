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

// What a chunk of the longest kind overwrites in the rings of one layer.
uint64_t aside_bytes(LayerKind kind, const ModelConfig& config, const KvLimits& limits) {
    if (limits.chunk_max <= limits.rollback_max) return 0;
    const int64_t chunk = limits.chunk_max;
    uint64_t total =
        PositionRing<KvRow>::bytes(std::min(chunk, config.window + limits.rollback_max), 1);
    const int ratio = compress_ratio(kind);
    if (ratio == 0) return total;
    const int64_t width = 2 * compress_overlap(ratio);
    const int64_t taken = std::min(chunk, ring_capacity(ratio, limits));
    total += PositionRing<float>::bytes(taken, width * kHeadDim);
    if (kind == LayerKind::kSparse) total += PositionRing<float>::bytes(taken, width * kIndexDim);
    return total;
}

// All rings of a layer that a step writes.
template <class Visit>
void for_rings(LayerKv& layer, const Visit& visit) {
    visit(layer.window);
    if (layer.kind != LayerKind::kWindow) visit(layer.compressor.rows);
    if (layer.kind == LayerKind::kSparse) visit(layer.index_compressor.rows);
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

Result<CompressorState> make_compressor(Ops& ops, int ratio, int64_t width, uint64_t bytes,
                                        const KvLimits& limits) {
    CompressorState state;
    state.ratio = ratio;
    state.entry_width = width;
    state.rows = {
        TRY(ops.allocate(bytes, HugePages::kNo)),
        ring_capacity(ratio, limits),
        state.row_width()
    };
    return state;
}

Result<LayerKv> make_layer(Ops& ops, LayerKind kind, const ModelConfig& config,
                           const KvLimits& limits) {
    const LayerBytes bytes = layer_bytes(kind, config, limits);
    const int ratio = compress_ratio(kind);
    LayerKv layer;
    layer.kind = kind;
    layer.window = {
        TRY(ops.allocate(bytes.window, HugePages::kNo)),
        config.window + limits.rollback_max,
        1
    };
    if (ratio != 0) {
        layer.compressor = TRY(make_compressor(ops, ratio, kHeadDim, bytes.rows, limits));
        layer.entries = TRY(ops.allocate(bytes.entries, pages_for(bytes.entries)));
    }
    if (kind == LayerKind::kSparse) {
        layer.index_compressor =
            TRY(make_compressor(ops, ratio, kIndexDim, bytes.index_rows, limits));
        layer.index_entries =
            TRY(ops.allocate(bytes.index_entries, pages_for(bytes.index_entries)));
    }
    return layer;
}

template <class Row>
void keep_all(Ops& ops, std::span<const Row> rows, const OpsMemory& to, const int32_t* first,
              int ratio) {
    constexpr auto kBytes = static_cast<int64_t>(sizeof(Row));
    const RecordRing ring{to.bytes.data(), static_cast<int64_t>(to.bytes.size()) / kBytes, kBytes};
    store_records(ops, MatrixView<const Row>(rows.data(), std::ssize(rows), 1), ring, first, ratio);
}

}  // namespace

void LayerKv::keep_entries(Ops& ops, std::span<const KvRow> rows, const int32_t* first) const {
    keep_all(ops, rows, entries, first, compressor.ratio);
}

void LayerKv::keep_index_entries(Ops& ops, std::span<const IndexRow> rows,
                                 const int32_t* first) const {
    keep_all(ops, rows, index_entries, first, index_compressor.ratio);
}

Result<std::unique_ptr<KvCache>> KvCache::create(Ops& ops, const ModelConfig& config,
                                                 int32_t draft_blocks, const KvLimits& limits) {
    const std::vector<Ops*> all(config.layers.size() + static_cast<size_t>(draft_blocks), &ops);
    return create(all, config, limits, nullptr);
}

Result<std::unique_ptr<KvCache>> KvCache::create(std::span<Ops* const> ops,
                                                 const ModelConfig& config, const KvLimits& limits,
                                                 Ops** full) {
    ENSURE(ops.size() >= config.layers.size());
    std::unique_ptr<KvCache> made(new KvCache(limits));
    made->ops_.assign(ops.begin(), ops.end());
    for (size_t i = 0; i < ops.size(); ++i) {
        const LayerKind kind = i < config.layers.size() ? config.layers[i] : LayerKind::kWindow;
        auto layer = make_layer(*ops[i], kind, config, limits);
        if (!layer.ok() && full != nullptr) *full = ops[i];
        made->layers_.push_back(TRY(std::move(layer)));
    }
    made->rooms_ = TRY(rooms_of(ops.first(config.layers.size()), config, limits, full));
    return made;
}

Result<std::vector<KvCache::Room>> KvCache::rooms_of(std::span<Ops* const> ops,
                                                     const ModelConfig& config,
                                                     const KvLimits& limits, Ops** full) {
    std::vector<Room> rooms;
    for (size_t first = 0, end = 0; first < ops.size(); first = end) {
        uint64_t bytes = 0;
        for (; end < ops.size() && ops[end] == ops[first]; ++end)
            bytes += aside_bytes(config.layers[end], config, limits);
        auto aside = ops[first]->allocate(bytes, HugePages::kNo);
        if (!aside.ok() && full != nullptr) *full = ops[first];
        rooms.push_back({ ops[first], first, end, TRY(std::move(aside)) });
    }
    return rooms;
}

uint64_t KvCache::trunk_layer_bytes(LayerKind kind, const ModelConfig& config,
                                    const KvLimits& limits) {
    return layer_bytes(kind, config, limits).total() + aside_bytes(kind, config, limits);
}

uint64_t KvCache::draft_block_bytes(const ModelConfig& config, const KvLimits& limits) {
    return layer_bytes(LayerKind::kWindow, config, limits).total();
}

uint64_t KvCache::bytes(const ModelConfig& config, int32_t draft_blocks, const KvLimits& limits) {
    uint64_t total = static_cast<uint64_t>(draft_blocks) * draft_block_bytes(config, limits);
    for (const LayerKind kind : config.layers) total += trunk_layer_bytes(kind, config, limits);
    return total;
}

void KvCache::save(int64_t first, int64_t count) {
    ENSURE(count <= limits_.chunk_max && limits_.chunk_max > limits_.rollback_max);
    for (const Room& in : rooms_) {
        std::byte* room = in.aside.bytes.data();
        for (size_t i = in.first; i < in.end; ++i) {
            for_rings(layers_[i], [&](const auto& ring) {
                ring.save(*in.ops, first, count, room);
                room += ring.taken_bytes(count);
            });
        }
    }
}

void KvCache::restore(int64_t first, int64_t count) {
    for (const Room& in : rooms_) {
        const std::byte* room = in.aside.bytes.data();
        for (size_t i = in.first; i < in.end; ++i) {
            for_rings(layers_[i], [&](auto& ring) {
                ring.restore(*in.ops, first, count, room);
                room += ring.taken_bytes(count);
            });
        }
    }
}

}  // namespace millrace
