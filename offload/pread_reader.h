#pragma once
// Reads by a small pool of threads that call pread: for machines and containers that refuse io_uring. It costs about
// 0.1 core per GB/s more than the ring and reaches the same bandwidth.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "offload/drive_files.h"
#include "offload/reader.h"

namespace millrace {

class PreadReader final : public Reader {
public:
    // `threads` for each drive, at most `depth`.
    PreadReader(DriveFiles files, int32_t depth, int32_t threads);
    ~PreadReader() override;

    [[nodiscard]] std::string_view name() const override { return "pread"; }
    [[nodiscard]] int32_t depth() const override { return depth_; }
    void submit(const ReadOp& op) override;
    [[nodiscard]] size_t reap(std::span<ReadDone> done, Wait wait) override;
    void wake() override;
    [[nodiscard]] bool is_direct(int32_t file) const override { return files_.is_direct(file); }
    Status use_page_cache(int32_t file) override { return files_.use_page_cache(file); }
    void drop_cached(int32_t file, uint64_t offset, uint64_t bytes) override {
        files_.drop_cached(file, offset, bytes);
    }
    [[nodiscard]] int32_t drive(int32_t file) const override { return files_.drive(file); }
    [[nodiscard]] Result<uint64_t> file_bytes(int32_t file) const override {
        return files_.bytes(file);
    }

private:
    struct Job {
        ReadOp op;
        int fd = -1;
    };
    // The jobs of one drive: a slow one keeps only its own threads waiting.
    struct Lane {
        std::condition_variable_any job_came;
        std::vector<Job> jobs;  // a ring of `depth_`; guarded by mutex_
        size_t first_job = 0;   // guarded by mutex_
        size_t job_count = 0;   // guarded by mutex_
    };
    void work(Lane& lane, const std::stop_token& stop);

    DriveFiles files_;
    const int32_t depth_;
    std::mutex mutex_;
    std::deque<Lane> lanes_;      // [drives]
    std::vector<ReadDone> done_;  // at most `depth_`; guarded by mutex_
    std::atomic<uint32_t> news_{
        0};  // counts completions and wakes; the owner sleeps on it without the mutex
    uint32_t news_seen_ = 0;  // the owner's
    std::vector<std::jthread> workers_;
};

}  // namespace millrace
