#include "offload/pread_reader.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/check.h"

namespace millrace {

PreadReader::PreadReader(DriveFiles files, int32_t depth, int32_t threads)
    : files_(std::move(files)), depth_(depth) {
    ENSURE(depth >= 1 && threads >= 1);
    done_.reserve(static_cast<size_t>(depth));
    for (int32_t d = 0; d < std::max(files_.drives(), 1); ++d) {
        lanes_.emplace_back().jobs.resize(static_cast<size_t>(depth));
    }
    for (Lane& lane : lanes_) {
        for (int32_t i = 0; i < std::min(threads, depth); ++i) {
            workers_.emplace_back([this, &lane](const std::stop_token& stop) { work(lane, stop); });
            ::pthread_setname_np(workers_.back().native_handle(), "pread");
        }
    }
}

PreadReader::~PreadReader() {
    for (std::jthread& worker : workers_) worker.request_stop();
}

void PreadReader::submit(const ReadOp& op) {
    Lane& lane = lanes_[static_cast<size_t>(files_.drive(op.file))];
    {
        const std::lock_guard lock(mutex_);
        ENSURE(lane.job_count < lane.jobs.size());
        lane.jobs[(lane.first_job + lane.job_count++) % lane.jobs.size()] = {op,
                                                                             files_.fd(op.file)};
    }
    lane.job_came.notify_one();
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

void PreadReader::work(Lane& lane, const std::stop_token& stop) {
    for (;;) {
        Job job;
        {
            std::unique_lock lock(mutex_);
            if (!lane.job_came.wait(lock, stop, [&] { return lane.job_count > 0; })) return;
            job = lane.jobs[lane.first_job];
            lane.first_job = (lane.first_job + 1) % lane.jobs.size();
            --lane.job_count;
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
