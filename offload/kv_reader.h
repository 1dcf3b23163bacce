#pragma once
// Pages out of the archive, several at a time: one at a time, a drive waits for the processor and the processor for the
// drive.

#include <functional>
#include <span>
#include <vector>

#include "offload/kv_archive.h"

namespace millrace {

class KvReader {
public:
    // Takes room for pages of these sizes. The archive must outlive it.
    [[nodiscard]] static Result<KvReader> create(KvArchive& archive, uint64_t rows_bytes,
                                                 uint64_t edge_bytes);
    // What `create` takes.
    [[nodiscard]] static uint64_t memory_bytes(uint64_t rows_bytes, uint64_t edge_bytes);

    // Reads the rows of `pages` and gives each to `take`, with its place in the list: in no order, several at once, from
    // threads that end before this returns. Returns how many from the first on were all taken.
    [[nodiscard]] size_t read_rows(
        std::span<const KvKey> pages,
        const std::function<void(size_t, std::span<const std::byte>)>& take);
    // The edge of one page; nothing when it is not there. Valid until the next call.
    [[nodiscard]] std::span<const std::byte> read_edge(const KvKey& page);

private:
    static constexpr size_t kLanes = 4;
    struct Lane {
        KvScratch scratch;
        PageBuffer page;
    };
    KvReader(KvArchive& archive, uint64_t rows_bytes, uint64_t edge_bytes, PageBuffer edge,
             std::vector<Lane> lanes)
        : archive_(&archive),
          rows_bytes_(rows_bytes),
          edge_bytes_(edge_bytes),
          edge_(std::move(edge)),
          lanes_(std::move(lanes)) {}

    KvArchive* archive_;
    uint64_t rows_bytes_, edge_bytes_;
    PageBuffer edge_;
    std::vector<Lane> lanes_;
};

}  // namespace millrace
