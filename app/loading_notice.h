#pragma once
// "opening MODEL …" if that takes longer than a second. While one lives, nobody else may use its terminal.

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "app/terminal.h"

namespace millrace {

class LoadingNotice {
public:
    LoadingNotice(Terminal& terminal, std::string text)
        : thread_([&terminal, text = std::move(text)](const std::stop_token& stop) {
              constexpr auto kPatience = std::chrono::seconds(1);
              std::mutex mutex;
              std::condition_variable_any changed;
              std::unique_lock lock(mutex);
              changed.wait_for(lock, stop, kPatience, [] { return false; });
              if (stop.stop_requested()) return;
              terminal.progress(text);
              changed.wait(lock, stop, [] { return false; });
              terminal.clear_progress();
          }) {}

private:
    std::jthread thread_;  // stopped and joined by its destructor
};

}  // namespace millrace
