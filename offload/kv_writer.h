#pragma once
// Pages on their way into the archive. Whoever computes copies them into a ring and goes on; a thread of its own compresses,
// seals and writes them, one after the other.
//
// Bound: the bytes of the ring. Full: the page is not taken, counted, and may be offered again.

#include <array>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "core/base/memory.h"
#include "offload/kv_archive.h"

namespace millrace {

class KvWriter {
public:
    // The archive must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<KvWriter>> create(KvArchive& archive,
                                                                  uint64_t ring_bytes);
    ~KvWriter();  // writes what was taken, then ends the thread
    KvWriter(const KvWriter&) = delete;
    KvWriter& operator=(const KvWriter&) = delete;

    // One thread. Takes a part of a page, whose bytes `fill` puts into the given memory at once. False: there is no room, or
    // `fill` says that it could not.
    template <class Fill>
    [[nodiscard]] bool offer(const KvPage& page, KvPart part, uint64_t bytes, const Fill& fill) {
        const std::span<std::byte> room = reserve(bytes);
        if (room.empty()) return false;
        if (!fill(room)) return false;
        send(page, part, room);
        return true;
    }
    // Until all that was taken is written or given up.
    void settle();
    [[nodiscard]] uint64_t refused() const { return refused_; }

private:
    struct Job {
        KvPage page;
        KvPart part = KvPart::kRows;
        std::span<std::byte> bytes;
    };
    KvWriter(KvArchive& archive, PageBuffer ring);
    [[nodiscard]] std::span<std::byte> reserve(uint64_t bytes);
    void send(const KvPage& page, KvPart part, std::span<std::byte> bytes);
    void run(const std::stop_token& stop);

    static constexpr size_t kJobsMax = 64;

    KvArchive& archive_;
    const PageBuffer ring_;
    uint64_t end_ = 0;      // of what was last taken; the offering thread's
    uint64_t refused_ = 0;  // the offering thread's
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::array<Job, kJobsMax> jobs_;  // guarded, a ring of them; the first is being written
    size_t first_ = 0, count_ = 0;    // guarded
    std::jthread thread_;             // last: it uses all of the above
};

}  // namespace millrace
