#pragma once
// Work that must not hold up a frame. A lane does its jobs one after the other on a thread of its own; what they find goes
// back to the window's thread through an Outbox.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace millrace {

using Job = std::function<void()>;

class Lane {
public:
    virtual ~Lane() = default;  // what was posted is done first
    // Never refuses: jobs are what a person did, so there are as many as a person can do.
    virtual void post(Job job) = 0;
};

// A named thread.
[[nodiscard]] std::unique_ptr<Lane> start_lane(const std::string& name);
// Does each job at once, on the thread that posts: for tests.
[[nodiscard]] std::unique_ptr<Lane> inline_lane();

// Jobs for the window's thread. `wake` is called after each post, from the poster's thread.
class Outbox {
public:
    explicit Outbox(std::function<void()> wake) : wake_(std::move(wake)) {}
    void post(Job job);  // any thread
    // Does all that has been posted; true if there was anything. The window's thread.
    bool deliver();

private:
    std::function<void()> wake_;
    std::mutex mutex_;
    std::vector<Job> jobs_;  // guarded by mutex_
};

}  // namespace millrace
