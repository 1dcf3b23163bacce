#pragma once
// The real host of models, as the desk has it, and what it reports.

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "core/engine/session_archive.h"
#include "tests/support/tiny_model.h"
#include "ui/model_host.h"

namespace millrace::test {

class Reports {
public:
    // To be given to a port that ends before this does.
    [[nodiscard]] ModelPort::Listener listener() {
        return [this](ModelReport report) {
            const std::scoped_lock lock(mutex_);
            reports_.push_back(std::move(report));
            arrived_.notify_all();
        };
    }
    // What has come since the last call, up to the first report of which this is true.
    std::vector<ModelReport> until(const std::function<bool(const ModelReport&)>& is_last) {
        std::unique_lock lock(mutex_);
        auto last = reports_.end();
        REQUIRE(arrived_.wait_for(lock, std::chrono::seconds(60), [&] {
            last = std::ranges::find_if(reports_, is_last);
            return last != reports_.end();
        }));
        std::vector<ModelReport> out(std::make_move_iterator(reports_.begin()),
                                     std::make_move_iterator(last + 1));
        reports_.erase(reports_.begin(), last + 1);
        return out;
    }
    std::vector<ModelReport> rest() {
        const std::scoped_lock lock(mutex_);
        return std::exchange(reports_, {});
    }

private:
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::vector<ModelReport> reports_;
};

// Opens a directory as the demo model, with an archive if one is given.
inline ModelOpener demo_opener(const ArchiveUse& archive = {}) {
    return [archive](const Path& directory,
                     const std::function<bool(std::string)>&) -> Result<OpenedModel> {
        OpenedModel opened;
        opened.conversation = std::make_unique<Conversation>(
            TRY(Conversation::open(directory, EffortTable::v0731())));
        RuntimeOptions options = tiny_options();
        options.ops = "cpu";
        options.threads = 1;
        options.rollback_tokens = 128;
        opened.engine = TRY(Engine::start(open_runtime(directory, options), archive));
        opened.facts.name = "Demo";
        opened.facts.context_max = opened.engine->context_max();
        return opened;
    };
}

// The demo model, open.
class HostWorld {
public:
    explicit HostWorld(const ArchiveUse& archive = {})
        : port_(make_model_host(demo_opener(archive), reports_.listener())) {
        port_->open(demo_checkpoint());
        CHECK(until(ModelReport::Kind::kReady).back().facts->name == "Demo");
    }
    // The reports up to the first of this kind.
    std::vector<ModelReport> until(ModelReport::Kind kind) {
        std::vector<ModelReport> out = reports_.until([kind](const ModelReport& report) {
            return report.kind == kind || report.kind == ModelReport::Kind::kFailed;
        });
        REQUIRE(out.back().kind == kind);
        return out;
    }
    [[nodiscard]] ModelPort& port() { return *port_; }

private:
    Reports reports_;
    std::unique_ptr<ModelPort> port_;  // first to go: it reports until then
};

}  // namespace millrace::test
