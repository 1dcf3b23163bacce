#include "offload/kv_reader.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace millrace {

Result<KvReader> KvReader::create(KvArchive& archive, uint64_t rows_bytes, uint64_t edge_bytes) {
    std::vector<Lane> lanes(kLanes);
    for (Lane& lane : lanes) {
        lane.page = TRY(PageBuffer::create(rows_bytes, HugePages::kNo));
        // Asked for now: memory is not found out about in the middle of a conversation.
        (void)TRY(lane.scratch.file_room(KvSealer::file_bytes_max(rows_bytes)));
    }
    PageBuffer edge = TRY(PageBuffer::create(edge_bytes, HugePages::kNo));
    (void)TRY(lanes.front().scratch.file_room(KvSealer::file_bytes_max(edge_bytes)));
    return KvReader(archive, rows_bytes, edge_bytes, std::move(edge), std::move(lanes));
}

uint64_t KvReader::memory_bytes(uint64_t rows_bytes, uint64_t edge_bytes) {
    const uint64_t page = rows_bytes + KvSealer::file_bytes_max(rows_bytes);
    return kLanes * page + edge_bytes + KvSealer::file_bytes_max(edge_bytes);
}

std::span<const std::byte> KvReader::read_edge(const KvKey& page) {
    const std::span<std::byte> room = edge_.bytes().first(edge_bytes_);
    if (!archive_->read(page, KvPart::kEdge, room, lanes_.front().scratch)) return {};
    return room;
}

size_t KvReader::read_rows(std::span<const KvKey> pages,
                           const std::function<void(size_t, std::span<const std::byte>)>& take) {
    std::atomic<size_t> next{0}, failed{pages.size()};
    const auto work = [&](Lane& lane) {
        const std::span<std::byte> room = lane.page.bytes().first(rows_bytes_);
        for (size_t i = next++; i < failed; i = next++) {
            if (archive_->read(pages[i], KvPart::kRows, room, lane.scratch)) {
                take(i, room);
                continue;
            }
            // The lowest that failed; pages behind it are of no use.
            size_t lowest = failed;
            while (i < lowest && !failed.compare_exchange_weak(lowest, i)) {
            }
        }
    };
    std::vector<std::jthread> threads;
    for (size_t i = 1; i < std::min(lanes_.size(), pages.size()); ++i) {
        threads.emplace_back([&work, &lane = lanes_[i]] {
            pthread_setname_np(pthread_self(), "kv-reader");
            work(lane);
        });
    }
    work(lanes_.front());
    threads.clear();
    return failed;
}

}  // namespace millrace
