#include "app/bench_desktop.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <thread>
#include <vector>

#include "app/desktop.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

using Steady = std::chrono::steady_clock;

double cpu_seconds() {
    rusage usage = {};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double since(Steady::time_point then) {
    return std::chrono::duration<double>(Steady::now() - then).count();
}

double percentile(std::vector<double> values, double share) {
    if (values.empty()) return 0;
    const auto at = static_cast<size_t>(share * static_cast<double>(values.size() - 1));
    std::ranges::nth_element(values, values.begin() + static_cast<ptrdiff_t>(at));
    return values[at];
}

// Of the thread that calls.
double thread_seconds() {
    timespec now = {};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// What the view of the engine costs a token: answers by turns with the pane and without it, in pairs whose first is now the
// one and now the other, so that what drifts is no difference.
class PanePairs {
public:
    [[nodiscard]] bool pane() const { return (answers_ + 1) / 2 % 2 == 0; }
    [[nodiscard]] size_t pairs() const { return answers_ / 2; }

    // Behind a frame while an answer is written.
    void frame(const Running& running, double frame_ms) {
        if (running.writing_s == 0) return;
        last_ = {Steady::now(), thread_seconds(), running.tokens};
        if (first_.tokens == 0) {
            first_ = last_;
        } else {
            frames_ms_.push_back(frame_ms);
        }
    }
    void answer_over() {
        constexpr int64_t kTokensLeast = 32;
        const auto tokens = static_cast<double>(last_.tokens - first_.tokens);
        if (last_.tokens - first_.tokens >= kTokensLeast && !frames_ms_.empty()) {
            const double seconds = std::chrono::duration<double>(last_.at - first_.at).count();
            now_[answers_ % 2] = {.token_s = seconds / tokens,
                                  .cpu_s = (last_.cpu_s - first_.cpu_s) / tokens,
                                  .frames = static_cast<double>(frames_ms_.size()) / tokens,
                                  .frame_ms = percentile(frames_ms_, 0.5),
                                  .pane = pane()};
            if (++answers_ % 2 == 0) take_pair();
        }
        first_ = last_ = {};
        frames_ms_.clear();
    }

    void tell(double feed_s, BenchReport& report) const {
        if (token_ms_.empty()) return report.note("no pair of answers was long enough to compare");
        const double token_ms = percentile(token_ms_, 0.5), view_ms = percentile(view_ms_, 0.5);
        report.add_part("desktop.feed", feed_s * 1e6, "us a token", token_ms * 1e3);
        report.add_part("desktop.view", view_ms * 1e3, "us a token", token_ms * 1e3);
        report.add_time("desktop.view.frame", percentile(frame_ms_, 0.5), "ms", std::nullopt);
        report.add_time("desktop.engine_view", 100 * (feed_s * 1e3 + view_ms) / token_ms, "%", 2);
        report.add_time("desktop.token.slower", percentile(slower_, 0.5), "%", std::nullopt);
        report.note(cat(
            pairs(), " pairs of answers with the pane and without; ", fixed(token_ms, 3),
            " ms a token, ", fixed(percentile(frames_, 0.5), 3),
            " frames a token. Quarters of the view: ", fixed(percentile(view_ms_, 0.25) * 1e3, 0),
            " to ", fixed(percentile(view_ms_, 0.75) * 1e3, 0),
            " us; of slower: ", fixed(percentile(slower_, 0.25), 1), " to ",
            fixed(percentile(slower_, 0.75), 1), " %"));
    }

private:
    struct Moment {
        Steady::time_point at;
        double cpu_s = 0;
        int64_t tokens = 0;
    };
    struct Answer {
        double token_s = 0, cpu_s = 0, frames = 0, frame_ms = 0;
        bool pane = false;
    };
    void take_pair() {
        const Answer& with = now_[0].pane ? now_[0] : now_[1];
        const Answer& without = now_[0].pane ? now_[1] : now_[0];
        token_ms_.push_back(without.token_s * 1e3);
        view_ms_.push_back((with.cpu_s - without.cpu_s) * 1e3);
        frame_ms_.push_back(with.frame_ms - without.frame_ms);
        frames_.push_back(with.frames);
        slower_.push_back(100 * (with.token_s / without.token_s - 1));
    }

    size_t answers_ = 0;  // that count
    Moment first_, last_;
    std::vector<double> frames_ms_;
    std::array<Answer, 2> now_ = {};
    std::vector<double> token_ms_, view_ms_, frame_ms_, frames_, slower_;  // of each pair
};

// Wakes the window once, when the time of idleness is over.
class Alarm {
public:
    Alarm(Window& window, double seconds)
        : thread_([this, &window, seconds](const std::stop_token& stop) {
              std::unique_lock lock(mutex_);
              over_.wait_for(lock, stop, std::chrono::duration<double>(seconds),
                             [] { return false; });
              window.wake();
          }) {}

private:
    std::mutex mutex_;
    std::condition_variable_any over_;
    std::jthread thread_;
};

// Asks for stories, one after the other, then does nothing; collects what it cost.
class Watch {
public:
    Watch(Window& window, const DesktopBench& bench, Steady::time_point began)
        : window_(window), bench_(bench), began_(began) {}

    void operator()(Desk& desk, const FrameCost& cost) {
        if (start_s_ == 0) start_s_ = since(began_);
        const AppState& state = desk.state();
        if (phase_ == Phase::kOpening) {
            if (state.model.phase == ModelPhase::kClosed) {
                failure_ = state.model.text;
                return desk.quit();
            }
            if (state.model.phase != ModelPhase::kReady) return;
            ready_s_ = since(began_);
            phase_ = Phase::kBusy;
            phase_began_ = Steady::now();
        }
        if (phase_ == Phase::kBusy) {
            const double passed_s = since(phase_began_);
            if (state.running) {
                begun_ = true;
                pairs_.frame(*state.running, cost.milliseconds);
                if (state.settings.engine_pane) frames_.push_back(cost.milliseconds);
                return;
            }
            // The store is at work first.
            if (asked_ && !begun_ && passed_s < 4 * bench_.busy_s) return;
            if (begun_) pairs_.answer_over();
            begun_ = false;
            asked_ = passed_s < bench_.busy_s ||
                     (pairs_.pairs() < kPairsLeast && passed_s < 4 * bench_.busy_s);
            if (asked_) {
                desk.change([&](Settings& settings) { settings.engine_pane = pairs_.pane(); });
                // Each in a chat of its own: no prompt is longer than the one before.
                desk.new_chat();
                desk.set_draft("Tell me a story about the mill.");
                desk.send();
            } else {
                if (desk.feed() != nullptr) feed_s_ = recording_seconds(*desk.feed(), kFeedTokens);
                phase_ = Phase::kSettling;
                phase_began_ = Steady::now();
                alarm_ = std::make_unique<Alarm>(window_, kSettle_s);
            }
            return;
        }
        if (phase_ == Phase::kSettling) {
            if (since(phase_began_) < kSettle_s) return;
            phase_ = Phase::kIdle;
            phase_began_ = Steady::now();
            idle_cpu_s_ = cpu_seconds();
            alarm_ = std::make_unique<Alarm>(window_, bench_.idle_s);
        } else if (since(phase_began_) >= bench_.idle_s) {
            idle_share_ = (cpu_seconds() - idle_cpu_s_) / since(phase_began_);
            desk.quit();
        }
    }

    [[nodiscard]] Status tell(BenchReport& report) const {
        if (!failure_.empty()) return Error{ErrorCode::kInvalid, failure_};
        report.add_time("desktop.start", start_s_, "s", 1);
        report.add_time("desktop.ready", ready_s_, "s", std::nullopt);
        report.add_time("desktop.frame.p50", percentile(frames_, 0.5), "ms", std::nullopt);
        report.add_time("desktop.frame.p99", percentile(frames_, 0.99), "ms", 8);
        pairs_.tell(feed_s_, report);
        report.add_time("desktop.idle", 100 * idle_share_, "%", 2);
        report.note(cat(frames_.size(), " frames while answers were written"));
        return {};
    }

private:
    enum class Phase { kOpening, kBusy, kSettling, kIdle };
    static constexpr double kSettle_s = 8;  // notices have gone
    static constexpr size_t kPairsLeast = 8;
    static constexpr int64_t kFeedTokens = 2000;

    Window& window_;
    const DesktopBench& bench_;
    const Steady::time_point began_;
    Phase phase_ = Phase::kOpening;
    Steady::time_point phase_began_;
    double start_s_ = 0, ready_s_ = 0, idle_cpu_s_ = 0, idle_share_ = 0;
    std::vector<double> frames_;  // with the pane
    PanePairs pairs_;
    bool asked_ = false, begun_ = false;
    double feed_s_ = 0;
    std::string failure_;
    std::unique_ptr<Alarm> alarm_;
};

}  // namespace

Status bench_desktop(const DesktopBench& bench, BenchReport& report) {
    const Steady::time_point began = Steady::now();
    const std::unique_ptr<Window> window = TRY(open_window({}));
    Watch watch(*window, bench, began);
    DesktopOptions options;
    if (!bench.model.demo) options.model = bench.model.directory;
    options.state_directory = bench.directory;
    options.home = bench.directory;
    options.watch = [&watch](Desk& desk, const FrameCost& cost) { watch(desk, cost); };
    const Status status = run_desktop(*window, options, opener_of(bench.model, nullptr));
    std::error_code ignored;
    std::filesystem::remove_all(bench.directory, ignored);
    TRY(status);
    return watch.tell(report);
}

}  // namespace millrace
