// The thread that opens models: what it does when nobody waits for a model any more.

#include "ui/model_host.h"

#include <doctest/doctest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace millrace {
namespace {

// Reports of a host, with a way to wait for one.
class Reports {
public:
    ModelPort::Listener listener() {
        return [this](ModelReport report) {
            const std::scoped_lock lock(mutex_);
            reports_.push_back(std::move(report));
            arrived_.notify_all();
        };
    }
    // The first report whose text is this.
    ModelReport wait_for(const std::string& text) {
        std::unique_lock lock(mutex_);
        size_t at = 0;
        arrived_.wait(lock, [&] {
            while (at < reports_.size() && reports_[at].text != text) ++at;
            return at < reports_.size();
        });
        return reports_[at];
    }
    size_t count(const std::string& text) {
        const std::scoped_lock lock(mutex_);
        size_t found = 0;
        for (const ModelReport& report : reports_) found += report.text == text ? 1 : 0;
        return found;
    }

private:
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::vector<ModelReport> reports_;
};

// A model of the size of "slow" takes as long to open as somebody waits for it.
Result<OpenedModel> opener(const Path& directory, const std::function<bool(std::string)>& say) {
    if (directory == "slow") {
        while (say("reading")) std::this_thread::yield();
        return Error{ErrorCode::kCancelled, "nobody waits"};
    }
    return Error{ErrorCode::kNotFound, directory.string() + " is not there"};
}

}  // namespace

TEST_CASE("another model ends the opening of the one before, without a word about it") {
    Reports reports;
    const auto host = make_model_host(opener, reports.listener());
    host->open("slow");
    CHECK(reports.wait_for("reading").kind == ModelReport::Kind::kOpening);
    host->open("other");
    CHECK(reports.wait_for("other is not there").kind == ModelReport::Kind::kClosed);
    CHECK(reports.count("nobody waits") == 0);
    CHECK(reports.count("reading") == 1);  // the same words are not told again
}

TEST_CASE("leaving while a model is being opened does not wait until it is open") {
    Reports reports;
    auto host = make_model_host(opener, reports.listener());
    host->open("slow");
    static_cast<void>(reports.wait_for("reading"));
    host.reset();  // the opener would never come to an end by itself
    CHECK(reports.count("nobody waits") == 0);
}

}  // namespace millrace
