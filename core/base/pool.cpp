#include "core/base/pool.h"

#include <pthread.h>

#include "core/base/check.h"

namespace millrace {

Pool::Pool(int threads) {
    ENSURE(threads >= 1);
    workers_.reserve(static_cast<size_t>(threads) - 1);
    for (int i = 1; i < threads; ++i) {
        workers_.emplace_back([this] { work(); });
        ::pthread_setname_np(workers_.back().native_handle(), "compute");
    }
}

Pool::~Pool() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
}

void Pool::start(int64_t count, const void* body, Call call) {
    if (count <= 0) return;
    if (workers_.empty() || count == 1) {
        for (int64_t i = 0; i < count; ++i) call(body, i);
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        body_ = body;
        call_ = call;
        count_ = count;
        next_.store(0, std::memory_order_relaxed);
        busy_ = static_cast<int>(workers_.size());
        ++round_;
    }
    wake_.notify_all();
    drain();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
}

void Pool::drain() {
    for (;;) {
        const int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
        if (i >= count_) return;
        call_(body_, i);
    }
}

void Pool::work() {
    uint64_t seen = 0;
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [&] { return stopping_ || round_ != seen; });
            if (stopping_) return;
            seen = round_;
        }
        drain();
        const std::lock_guard lock(mutex_);
        if (--busy_ == 0) done_.notify_one();
    }
}

}  // namespace millrace
