#include "core/model/token_cost.h"

#include <algorithm>

namespace millrace {
namespace {

// Sizes of the compact rows (kernels/kv_rows.h asserts them too).
constexpr uint64_t kKvRowBytes = 584, kIndexRowBytes = 68;

struct Seen {
    uint64_t keys = 0;    // attended
    uint64_t scored = 0;  // by the indexer
};

Seen seen_by(const ModelConfig& config, LayerKind kind, int64_t position) {
    const int64_t length = position + 1;
    const int64_t window = std::min<int64_t>(length, config.window);
    switch (kind) {
        case LayerKind::kWindow: return {static_cast<uint64_t>(window), 0};
        case LayerKind::kHeavy: return {static_cast<uint64_t>(window + length / 128), 0};
        case LayerKind::kSparse: {
            const int64_t entries = length / 4;
            return {static_cast<uint64_t>(window + std::min<int64_t>(entries, config.index_topk)),
                    static_cast<uint64_t>(entries)};
        }
    }
    return {};
}

// Multiply-adds that one token does with matrices; the head is counted apart.
uint64_t matrix_macs(const ExpectedTensor& tensor, const ModelConfig& config) {
    if (tensor.shape.rank != 2 || tensor.storage == Storage::kI64) return 0;
    if (tensor.block.value >= config.layer_count()) return 0;
    const auto count = static_cast<uint64_t>(tensor.shape.count());
    switch (tensor.kind) {
        case TensorClass::kEmbedding:
        case TensorClass::kHead:
        case TensorClass::kHashTable: return 0;
        case TensorClass::kRoutedExpert:
            return tensor.expert.value < config.experts_per_token ? count : 0;
        case TensorClass::kCompressor:
        case TensorClass::kIndexer:
            // The position terms are added, not multiplied.
            return tensor.storage == Storage::kF32 ? 0 : count;
        default: return count;
    }
}

}  // namespace

uint64_t kv_bytes_read(const ModelConfig& config, int64_t position) {
    uint64_t bytes = 0;
    for (const LayerKind kind : config.layers) {
        const Seen seen = seen_by(config, kind, position);
        bytes += seen.keys * kKvRowBytes + seen.scored * kIndexRowBytes;
    }
    return bytes;
}

uint64_t prefill_macs(const ModelConfig& config, int64_t tokens) {
    uint64_t a_token = 0;
    for (const ExpectedTensor& tensor : make_inventory(config, {})) {
        a_token += matrix_macs(tensor, config);
    }
    uint64_t macs = a_token * static_cast<uint64_t>(tokens) +
                    static_cast<uint64_t>(config.vocabulary * config.hidden);
    // Scores and the sum over values; of the indexer one score a head.
    const auto a_key = static_cast<uint64_t>(int64_t{2} * config.heads * config.head_dim);
    const auto a_score =
        static_cast<uint64_t>(int64_t{1} * config.index_heads * config.index_head_dim);
    for (int64_t p = 0; p < tokens; ++p) {
        for (const LayerKind kind : config.layers) {
            const Seen seen = seen_by(config, kind, p);
            macs += seen.keys * a_key + seen.scored * a_score;
        }
    }
    return macs;
}

}  // namespace millrace
