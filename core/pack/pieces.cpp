#include "core/pack/pieces.h"

#include <algorithm>

#include "core/base/memory.h"
#include "core/base/strings.h"

namespace millrace {

StorePieces::StorePieces(const StorePlan& plan) {
    files.push_back({0, std::string(kDenseName), plan.dense_bytes, std::nullopt});
    dense_chunks = static_cast<size_t>(plan.dense_chunks());
    for (uint64_t offset = 0; offset < plan.dense_bytes; offset += kDenseChunkBytes) {
        const uint64_t bytes = std::min(kDenseChunkBytes, plan.dense_bytes - offset);
        pieces.push_back({0, offset, bytes, round_up(bytes, kStoreBlockBytes), {}});
    }
    const auto parts = static_cast<int32_t>(plan.parts.size());
    for (int32_t l = 0; l < plan.layers; ++l) {
        const auto first = static_cast<int32_t>(files.size());
        for (int32_t p = 0; p < parts; ++p) {
            files.push_back({p, expert_file_name(l), plan.file_bytes({l}, p),
                             ExpertFileHeader{.store = plan.id,
                                              .layer = static_cast<uint32_t>(l),
                                              .part = static_cast<uint32_t>(p),
                                              .parts = static_cast<uint32_t>(parts)}});
        }
        const std::vector<uint64_t> offsets = plan.record_offsets({l});
        for (int32_t e = 0; e < plan.experts; ++e) {
            const ExpertKey key{{l}, {e}};
            const RecordLayout layout = record_layout(plan.format(key), plan.shape);
            pieces.push_back({first + plan.part_of({e}), offsets[static_cast<size_t>(e)],
                              layout.bytes, layout.stride, key});
        }
    }
}

uint64_t StorePieces::largest() const {
    uint64_t most = 0;
    for (const Piece& piece : pieces) most = std::max(most, piece.written);
    return most;
}

std::string describe(const Piece& piece) {
    if (piece.expert.layer.value >= 0) {
        return cat("expert ", piece.expert.expert.value, " of layer ", piece.expert.layer.value);
    }
    return cat("the dense tensors (bytes ", piece.offset, " to ", piece.offset + piece.bytes - 1,
               ")");
}

}  // namespace millrace
