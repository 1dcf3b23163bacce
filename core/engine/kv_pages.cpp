#include "core/engine/kv_pages.h"

#include <cstring>

#include "core/base/check.h"

namespace millrace {
namespace {

static_assert(kKvPageTokens % 128 == 0 && kKvPageTokens % 4 == 0);

// Copies between the state and bytes, from the front of the bytes to their end.
class Exporter {
public:
    explicit Exporter(std::span<std::byte> out) : out_(out) {}
    void copy(const void* state, size_t bytes) {
        std::memcpy(out_.data(), state, bytes);
        out_ = out_.subspan(bytes);
    }
    [[nodiscard]] bool done() const { return out_.empty(); }

private:
    std::span<std::byte> out_;
};

class Importer {
public:
    explicit Importer(std::span<const std::byte> bytes) : bytes_(bytes) {}
    void copy(void* state, size_t bytes) {
        std::memcpy(state, bytes_.data(), bytes);
        bytes_ = bytes_.subspan(bytes);
    }
    [[nodiscard]] bool done() const { return bytes_.empty(); }

private:
    std::span<const std::byte> bytes_;
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
    for (int64_t p = end - window; p < end; ++p) walk.copy(layer.window.at(p), sizeof(KvRow));
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

void KvPages::export_rows(KvCache& kv, int64_t page, std::span<std::byte> out) const {
    Exporter walk(out);
    for (size_t l = 0; l < kinds_.size(); ++l) {
        walk_rows(kv.layer(LayerId{static_cast<int32_t>(l)}), page, walk);
    }
    ENSURE(walk.done());
}

void KvPages::import_rows(KvCache& kv, int64_t page, std::span<const std::byte> bytes) const {
    Importer walk(bytes);
    for (size_t l = 0; l < kinds_.size(); ++l) {
        walk_rows(kv.layer(LayerId{static_cast<int32_t>(l)}), page, walk);
    }
    ENSURE(walk.done());
}

void KvPages::export_edge(KvCache& kv, int64_t page, std::span<std::byte> out) const {
    Exporter walk(out);
    for (size_t l = 0; l < kinds_.size(); ++l) {
        walk_edge(kv.layer(LayerId{static_cast<int32_t>(l)}), window_, (page + 1) * kKvPageTokens,
                  walk);
    }
    ENSURE(walk.done());
}

void KvPages::import_edge(KvCache& kv, int64_t page, std::span<const std::byte> bytes) const {
    Importer walk(bytes);
    for (size_t l = 0; l < kinds_.size(); ++l) {
        walk_edge(kv.layer(LayerId{static_cast<int32_t>(l)}), window_, (page + 1) * kKvPageTokens,
                  walk);
    }
    ENSURE(walk.done());
}

}  // namespace millrace
