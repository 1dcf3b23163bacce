#include "core/engine/kv_pages.h"

#include "core/base/check.h"

namespace millrace {
namespace {

static_assert(kKvPageTokens % 128 == 0 && kKvPageTokens % 4 == 0);

// Copies between the state and bytes, from the front of the bytes to their end.
class Exporter {
public:
    Exporter(KvCache& kv, std::span<std::byte> out) : kv_(kv), out_(out) {}
    // What is copied from now on is this layer's.
    [[nodiscard]] LayerKv& enter(LayerId id) {
        ops_ = &kv_.ops(id);
        return kv_.layer(id);
    }
    void copy(const void* state, size_t bytes) {
        if (status_.ok()) status_ = ops_->read(out_.data(), state, bytes);
        out_ = out_.subspan(bytes);
    }
    [[nodiscard]] Status done() const {
        ENSURE(out_.empty());
        return status_;
    }

private:
    KvCache& kv_;
    Ops* ops_ = nullptr;
    std::span<std::byte> out_;
    Status status_;
};

class Importer {
public:
    Importer(KvCache& kv, std::span<const std::byte> bytes) : kv_(kv), bytes_(bytes) {}
    [[nodiscard]] LayerKv& enter(LayerId id) {
        ops_ = &kv_.ops(id);
        return kv_.layer(id);
    }
    void copy(void* state, size_t bytes) {
        if (status_.ok()) status_ = ops_->write(state, bytes_.data(), bytes);
        bytes_ = bytes_.subspan(bytes);
    }
    [[nodiscard]] Status done() const {
        ENSURE(bytes_.empty());
        return status_;
    }

private:
    KvCache& kv_;
    Ops* ops_ = nullptr;
    std::span<const std::byte> bytes_;
    Status status_;
};

template <class Walk>
void walk_rows(LayerKv& layer, int64_t page, Walk& walk) {
    const int ratio = compress_ratio(layer.kind);
    if (ratio == 0) return;
    const int64_t count = kKvPageTokens / ratio, first = page * count;
    walk.copy(layer.entry(first), static_cast<size_t>(count) * sizeof(KvRow));
    if (layer.kind != LayerKind::kSparse) return;
    walk.copy(layer.index_entry(first), static_cast<size_t>(count) * sizeof(IndexRow));
}

// A row is (u | s), each a low and a high half where blocks overlap; the block before the next one gives its low halves.
template <class Walk>
void walk_tail(CompressorState& state, int64_t end, Walk& walk) {
    if (compress_overlap(state.ratio) == 1)
        return;  // a block that is complete gives nothing any more
    const auto half = static_cast<size_t>(state.entry_width) * sizeof(float);
    for (int64_t p = end - state.ratio; p < end; ++p) {
        float* row = state.rows.at(p);
        walk.copy(row, half);
        walk.copy(row + 2 * state.entry_width, half);
    }
}

template <class Walk>
void walk_edge(LayerKv& layer, int64_t window, int64_t end, Walk& walk) {
    layer.window.for_pieces(end - window, window,
                            [&](KvRow* rows, size_t bytes) { walk.copy(rows, bytes); });
    if (layer.kind == LayerKind::kWindow) return;
    walk_tail(layer.compressor, end, walk);
    if (layer.kind == LayerKind::kSparse) walk_tail(layer.index_compressor, end, walk);
}

size_t rows_bytes_of(LayerKind kind) {
    const int ratio = compress_ratio(kind);
    if (ratio == 0) return 0;
    const size_t index = kind == LayerKind::kSparse ? sizeof(IndexRow) : 0;
    return static_cast<size_t>(kKvPageTokens / ratio) * (sizeof(KvRow) + index);
}

size_t edge_bytes_of(LayerKind kind, int64_t window) {
    const size_t rows = static_cast<size_t>(window) * sizeof(KvRow);
    constexpr size_t kTail = 4 * 2 * (kHeadDim + kIndexDim) * sizeof(float);
    return kind == LayerKind::kSparse ? rows + kTail : rows;
}

}  // namespace

KvPages::KvPages(const ModelConfig& config, int32_t draft_blocks)
    : kinds_(config.layers), window_(config.window) {
    ENSURE(window_ <= kKvPageTokens);
    kinds_.insert(kinds_.end(), static_cast<size_t>(draft_blocks), LayerKind::kWindow);
    for (const LayerKind kind : kinds_) {
        rows_bytes_ += rows_bytes_of(kind);
        edge_bytes_ += edge_bytes_of(kind, window_);
    }
}

Status KvPages::export_rows(KvCache& kv, int64_t page, std::span<std::byte> out) const {
    Exporter walk(kv, out);
    for (size_t l = 0; l < kinds_.size(); ++l) {
        walk_rows(walk.enter(LayerId{static_cast<int32_t>(l)}), page, walk);
    }
    return walk.done();
}

Status KvPages::import_rows(KvCache& kv, int64_t page, std::span<const std::byte> bytes) const {
    Importer walk(kv, bytes);
    for (size_t l = 0; l < kinds_.size(); ++l) {
        walk_rows(walk.enter(LayerId{static_cast<int32_t>(l)}), page, walk);
    }
    return walk.done();
}

Status KvPages::export_edge(KvCache& kv, int64_t page, std::span<std::byte> out) const {
    Exporter walk(kv, out);
    for (size_t l = 0; l < kinds_.size(); ++l) {
        walk_edge(walk.enter(LayerId{static_cast<int32_t>(l)}), window_, (page + 1) * kKvPageTokens,
                  walk);
    }
    return walk.done();
}

Status KvPages::import_edge(KvCache& kv, int64_t page, std::span<const std::byte> bytes) const {
    Importer walk(kv, bytes);
    for (size_t l = 0; l < kinds_.size(); ++l) {
        walk_edge(walk.enter(LayerId{static_cast<int32_t>(l)}), window_, (page + 1) * kKvPageTokens,
                  walk);
    }
    return walk.done();
}

}  // namespace millrace
