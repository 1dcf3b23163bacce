#include "ui/lane.h"

#include <pthread.h>

#include <optional>
#include <thread>

namespace millrace {
namespace {

class ThreadLane final : public Lane {
public:
    explicit ThreadLane(std::string name)
        : thread_([this, called = name.substr(0, 15)](const std::stop_token& stop) {
              pthread_setname_np(pthread_self(), called.c_str());
              run(stop);
          }) {}

    void post(Job job) override {
        {
            const std::scoped_lock lock(mutex_);
            jobs_.push_back(std::move(job));
        }
        arrived_.notify_one();
    }

private:
    void run(const std::stop_token& stop) {
        while (true) {
            std::unique_lock lock(mutex_);
            arrived_.wait(lock, stop, [&] { return !jobs_.empty(); });
            if (jobs_.empty()) return;
            const Job job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
        }
    }

    std::mutex mutex_;
    std::condition_variable_any arrived_;
    std::deque<Job> jobs_;  // guarded by mutex_
    std::jthread thread_;   // last: it uses all of the above
};

class InlineLane final : public Lane {
public:
    void post(Job job) override { job(); }
};

}  // namespace

std::unique_ptr<Lane> start_lane(const std::string& name) {
    return std::make_unique<ThreadLane>(name);
}
std::unique_ptr<Lane> inline_lane() { return std::make_unique<InlineLane>(); }

void Outbox::post(Job job) {
    {
        const std::scoped_lock lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    wake_();
}

bool Outbox::deliver() {
    std::vector<Job> jobs;
    {
        const std::scoped_lock lock(mutex_);
        jobs.swap(jobs_);
    }
    for (const Job& job : jobs) job();
    return !jobs.empty();
}

}  // namespace millrace
