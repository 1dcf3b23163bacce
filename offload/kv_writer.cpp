#include "offload/kv_writer.h"

#include <pthread.h>

namespace millrace {

Result<std::unique_ptr<KvWriter>> KvWriter::create(KvArchive& archive, uint64_t ring_bytes) {
    return std::unique_ptr<KvWriter>(
        new KvWriter(archive, TRY(PageBuffer::create(ring_bytes, HugePages::kNo))));
}

KvWriter::KvWriter(KvArchive& archive, PageBuffer ring)
    : archive_(archive),
      ring_(std::move(ring)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

KvWriter::~KvWriter() {
    settle();
    thread_.request_stop();
}

// The bytes of the jobs lie behind one another from the first one's begin to end_, around the end of the ring; none is cut
// in two.
std::span<std::byte> KvWriter::reserve(uint64_t bytes) {
    const std::scoped_lock lock(mutex_);
    const uint64_t size = ring_.bytes().size();
    const auto place = [&]() -> std::optional<uint64_t> {
        if (count_ == 0) return bytes <= size ? std::optional(uint64_t{0}) : std::nullopt;
        if (count_ == kJobsMax) return std::nullopt;
        const auto begin = static_cast<uint64_t>(jobs_[first_].bytes.data() - ring_.bytes().data());
        // Equal would look like empty; and a job has at least one byte.
        if (end_ > begin) {
            if (bytes <= size - end_) return end_;
            return bytes < begin ? std::optional(uint64_t{0}) : std::nullopt;
        }
        return end_ + bytes < begin ? std::optional(end_) : std::nullopt;
    };
    const std::optional<uint64_t> at = place();
    if (!at || bytes == 0) {
        ++refused_;
        return {};
    }
    end_ = *at + bytes;
    return ring_.bytes().subspan(*at, bytes);
}

void KvWriter::send(const KvPage& page, KvPart part, std::span<std::byte> bytes) {
    {
        const std::scoped_lock lock(mutex_);
        jobs_[(first_ + count_) % kJobsMax] = {page, part, bytes};
        ++count_;
    }
    changed_.notify_all();
}

void KvWriter::settle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ == 0; });
}

void KvWriter::run(const std::stop_token& stop) {
    pthread_setname_np(pthread_self(), "kv-archive");
    KvScratch scratch;
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [&] { return count_ > 0; })) {
        const Job job = jobs_[first_];
        lock.unlock();
        // Whether it found a place is the archive's to count and to tell.
        (void)archive_.write(job.page, job.part, job.bytes, scratch);
        lock.lock();
        first_ = (first_ + 1) % kJobsMax;
        --count_;
        changed_.notify_all();
    }
}

}  // namespace millrace
