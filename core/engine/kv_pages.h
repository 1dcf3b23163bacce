#pragma once
// A session's KV state as pages of 128 tokens: bytes out and in, nothing lost (kv_cache.h has the state).
//
//   rows   of page k: the compressed entries that tokens 128k … 128k + 127 completed, layer by layer. 128 is a multiple of
//          both ratios, so no entry belongs to two pages.
//   edge   behind page k: the window rows of the last 128 positions, and what the next overlapped entry still asks of the
//          last block (ratio 4: the low channels of its rows). What a longer sequence overwrites.
//
// Rows of all pages and the edge of the last are the state: a session that takes them in goes on with the same bits as one
// that computed the tokens. Draft blocks have windows like everybody; one of a classic MTP block knows the token behind it,
// so its last row at a boundary is a guess's input and not a function of the page: drafts may differ by that, tokens never.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/engine/kv_cache.h"

namespace millrace {

inline constexpr int64_t kKvPageTokens = 128;

class KvPages {
public:
    // `draft_blocks`: how many of the blocks behind the trunk are kept too; 0 where nobody drafts.
    KvPages(const ModelConfig& config, int32_t draft_blocks);

    [[nodiscard]] size_t rows_bytes() const { return rows_bytes_; }
    [[nodiscard]] size_t edge_bytes() const { return edge_bytes_; }

    // `out` and `bytes` have these sizes. Fails as the ops' memory does. Rows: `page` is complete.
    [[nodiscard]] Status export_rows(KvCache& kv, int64_t page, std::span<std::byte> out) const;
    [[nodiscard]] Status import_rows(KvCache& kv, int64_t page,
                                     std::span<const std::byte> bytes) const;
    // `page` is the last complete one, and the session could roll back to its end.
    [[nodiscard]] Status export_edge(KvCache& kv, int64_t page, std::span<std::byte> out) const;
    // What is behind the edge afterwards is not there; the session must know (Session::take_over).
    [[nodiscard]] Status import_edge(KvCache& kv, int64_t page,
                                     std::span<const std::byte> bytes) const;

private:
    std::vector<LayerKind> kinds_;  // by LayerId
    int64_t window_;
    size_t rows_bytes_ = 0, edge_bytes_ = 0;
};

}  // namespace millrace
