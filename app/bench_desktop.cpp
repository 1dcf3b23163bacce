#include "app/bench_desktop.h"

#include <sys/resource.h>

#include <algorithm>
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
            desk.change([](Settings& settings) { settings.engine_pane = true; });
        }
        if (phase_ == Phase::kBusy) {
            if (state.running) {
                frames_.push_back(cost.milliseconds);
            } else if (since(phase_began_) < bench_.busy_s) {
                desk.set_draft("Tell me a story about the mill.");
                desk.send();
            } else {
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
        report.add_time("desktop.idle", 100 * idle_share_, "%", 2);
        report.note(cat(frames_.size(), " frames while answers were written"));
        return {};
    }

private:
    enum class Phase { kOpening, kBusy, kSettling, kIdle };
    static constexpr double kSettle_s = 8;  // notices have gone

    Window& window_;
    const DesktopBench& bench_;
    const Steady::time_point began_;
    Phase phase_ = Phase::kOpening;
    Steady::time_point phase_began_;
    double start_s_ = 0, ready_s_ = 0, idle_cpu_s_ = 0, idle_share_ = 0;
    std::vector<double> frames_;
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
