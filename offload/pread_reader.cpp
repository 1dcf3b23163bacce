#include "offload/pread_reader.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/check.h"

namespace millrace {

PreadReader::PreadReader(DriveFiles files, int32_t depth, int32_t threads)
    : files_(std::move(files)), depth_(depth), jobs_(static_cast<size_t>(depth)) {
    ENSURE(depth >= 1 && threads >= 1);
    done_.reserve(static_cast<size_t>(depth));
    for (int32_t i = 0; i < std::min(threads, depth); ++i) {
        workers_.emplace_back([this](const std::stop_token& stop) { work(stop); });
        ::pthread_setname_np(workers_.back().native_handle(), "pread");
    }
}

PreadReader::~PreadReader() {
    for (std::jthread& worker : workers_) worker.request_stop();
}

void PreadReader::submit(const ReadOp& op) {
    {
        const std::lock_guard lock(mutex_);
        ENSURE(job_count_ < jobs_.size());
        jobs_[(first_job_ + job_count_++) % jobs_.size()] = {op, files_.fd(op.file)};
    }
    job_came_.notify_one();
}

size_t PreadReader::reap(std::span<ReadDone> done, Wait wait) {
    for (;;) {
        const uint32_t news = news_.load(std::memory_order_acquire);
        size_t count = 0;
        {
            const std::lock_guard lock(mutex_);
            count = std::min(done.size(), done_.size());
            std::copy_n(done_.begin(), count, done.begin());
            done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
        }
        const bool woken = news != news_seen_;
        news_seen_ = news;
        if (count > 0 || wait == Wait::kNo || woken) return count;
        news_.wait(news, std::memory_order_acquire);
    }
}

void PreadReader::wake() {
    news_.fetch_add(1, std::memory_order_release);
    news_.notify_one();
}

void PreadReader::work(const std::stop_token& stop) {
    for (;;) {
        Job job;
        {
            std::unique_lock lock(mutex_);
            if (!job_came_.wait(lock, stop, [this] { return job_count_ > 0; })) return;
            job = jobs_[first_job_];
            first_job_ = (first_job_ + 1) % jobs_.size();
            --job_count_;
        }
        const ssize_t n =
            ::pread(job.fd, job.op.into, job.op.bytes, static_cast<off_t>(job.op.offset));
        const auto result = static_cast<int32_t>(n < 0 ? -errno : n);
        {
            const std::lock_guard lock(mutex_);
            done_.push_back({job.op.tag, result});
        }
        wake();
    }
}

}  // namespace millrace
